// Groups that were held, while an operation over several objects has them.
#include "fs/meta/held_group.h"

namespace meshfs {

// Under X nobody but that operation changes the object: what was known of it stays true.
void HeldGroups::lend(const HeldPtr& held, const Lease& lease) {
    auto copy = std::make_shared<Lent>(Lent{lease, std::move(held->mirror)});
    held->mirror = {};
    copy->mirror.set_lease(encode(lease));
    MutexLock lock(mutex_);
    if (lent_.size() >= kLentMax) lent_.clear();
    lent_[held->object.name] = std::move(copy);
}

std::optional<Answer> HeldGroups::answer_of_lent(const Query& query) const {
    if (!may_answer()) return {};
    MutexLock lock(mutex_);
    auto lent = lent_.find(query.object().name);
    bool is_there = lent != lent_.end() && !lent->second->is_going;
    return is_there ? lent->second->mirror.answer(query) : std::nullopt;
}

void HeldGroups::forget_lent(const std::string& group) {
    MutexLock lock(mutex_);
    lent_.erase(group);
}

bool HeldGroups::was_held(const ObjectName& group, const Lease& exclusive) const {
    MutexLock lock(mutex_);
    auto lent = lent_.find(group.name);
    return lent != lent_.end() && lent->second->lease == exclusive;
}

std::shared_ptr<HeldGroups::Lent> HeldGroups::end_lending(const ObjectName& group) {
    MutexLock lock(mutex_);
    auto lent = lent_.find(group.name);
    if (lent == lent_.end()) return nullptr;
    lent->second->is_going = true;
    return lent->second;
}

// Once its step is in, anybody here may have found it ours, and let go of it since: then the copy is of before, and reserve()
// has forgotten it.  If it was taken over meanwhile, this session's window is over, and what is written is guarded on the lease.
void HeldGroups::hold_again(const ObjectName& group, const std::shared_ptr<Lent>& lent, const Lease& lease,
                            const std::vector<Effect>& effects) {
    auto held = std::make_shared<Held>();
    held->object = group;
    held->used = held->written_at = clock_.boot_ns();
    {
        MutexLock lock(mutex_);
        auto found = lent_.find(group.name);
        bool is_there = found != lent_.end() && found->second == lent;
        if (found != lent_.end()) lent_.erase(found);
        if (!is_there || !is_own(lease) || !table_.emplace(group.name, held).second) return;
    }
    MutexLock lock(held->mutex);
    held->mirror = std::move(lent->mirror);
    held->hold(lease, clock_.boot_ns());
    held->mirror.apply(effects, true);
    promises_.taken();
    bytes_ += held->count();
    {
        MutexLock table(mutex_);
        quiet_.emplace(group.name, held);
    }
    held->changed.notify_all();
}

}  // namespace meshfs
