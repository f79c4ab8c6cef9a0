// Directories that are removed while their group and the one that names them are held: in memory, like any other change.
//
// The batch that takes the name and the one that makes the directory dead are of two objects.  So the flush says before, as one
// intent (intent.h), what all such batches of its turn shall do, each guarded on the lease under which it will be sent: a crash
// leaves both or neither, as if each directory had been removed by an operation of its own, for a fraction of the calls.  An
// intent whose batches are not all in goes with the mutation that writes the next one, which says all of it again.
#include <algorithm>
#include <unordered_set>

#include "fs/base/log.h"
#include "fs/meta/held_group.h"
#include "fs/meta/intent.h"

namespace meshfs {
namespace {

constexpr size_t kTakesPartMax = 128u << 10;   // of a group that takes part, at first
constexpr size_t kToAnnounceMax = 3u << 20;    // half of what an intent may have
constexpr size_t kEachAtLeast = 1u << 10;      // so that their number is bounded as well
constexpr int kRemoveTriesMax = 16;

}  // namespace

Status HeldGroups::remove_directory(const Mutation& mutation, const ObjectName& child_object, const Lease& lease) {
    for (int tries = 0; tries < kRemoveTriesMax && session_ != nullptr; ++tries) {
        if (tries > 2) clock_.sleep_ns(kNsPerMs);
        HeldPtr parent = find(mutation.object().name), child = find(child_object.name);
        if (!parent || !child) break;
        TRY(make_room(parent));
        TRY(make_room(child));
        auto status = remove_now(parent, mutation, child, lease);
        if (!status) continue;
        if (!status->ok()) return *status;
        promises_.let_go(child_object.name);
        return is_synchronous_ || !may_answer() ? flush(parent) : Status();
    }
    return fail(EOPNOTSUPP);
}

// Others must not read it as it was, and what an intent says again of it must be little.
Status HeldGroups::make_room(const HeldPtr& held) {
    bool is_open, is_full;
    {
        MutexLock lock(held->mutex);
        is_open = (held->lease.flags & Lease::write_through) != 0;
        is_full = held->unwritten() > kTakesPartMax || held->is_under_way;
    }
    if (to_announce_ > kToAnnounceMax) TRY(flush_all());
    if (is_full) TRY(flush(held));
    if (!is_open) return {};
    if (auto refused = change_flags(held, Lease::kept)) return *refused;
    MutexLock lock(held->mutex);
    if (held->state != Held::State::held) return {};
    held->written_at = clock_.boot_ns();
    MutexLock table(mutex_);
    quiet_.emplace(held->object.name, held);
    return {};
}

// None: look again.  Nowhere else are two of them locked.
std::optional<Status> HeldGroups::remove_now(const HeldPtr& parent, const Mutation& mutation, const HeldPtr& child,
                                             const Lease& lease) {
    if (parent == child) return fail(EOPNOTSUPP);
    struct Both {
        Mutex &first, &second;
        Both(Mutex& a, Mutex& b) NO_THREAD_SAFETY_ANALYSIS : first(&a < &b ? a : b), second(&a < &b ? b : a) {
            first.lock();
            second.lock();
        }
        ~Both() NO_THREAD_SAFETY_ANALYSIS {
            second.unlock();
            first.unlock();
        }
    } both(parent->mutex, child->mutex);
    if (!may_answer()) return fail(EOPNOTSUPP);
    for (const auto& held : {parent, child}) {
        if (held->state == Held::State::changing) return {};
        if (held->state == Held::State::gone || held->is_unborn || !held->error.ok()) return fail(EOPNOTSUPP);
        if (held->is_dying) return fail(ECANCELED);
        if ((held->lease.flags & Lease::write_through) != 0) return {};
    }
    if (child->owes || child->is_paying || child->is_wanted) return fail(EOPNOTSUPP);
    if (child->is_under_way) return {};
    for (const Guard& guard : mutation.guards()) {
        bool is_lease = guard.kind == Guard::Kind::xattr_is && guard.name == kLeaseXattr;
        if (is_lease ? !parent->is_of_tenure(guard.value) : !parent->mirror.holds(guard).value_or(false)) return fail(ECANCELED);
    }
    if (!child->is_of_tenure(encode(lease))) return fail(ECANCELED);
    auto names = child->mirror.answer(std::move(Query(child->object).range("", "n", 1, 1)));
    if (!names) return fail(ECANCELED);
    if (!names->ranges.at(0).entries.empty()) return fail(ENOTEMPTY);

    parent->mirror.apply(mutation.effects(), false);
    parent->use(clock_.boot_ns());
    bytes_ += parent->count();
    to_announce_ += child->unwritten() + (parent->dying.empty() ? parent->unwritten() : mutation.bytes()) + kEachAtLeast;
    parent->dying.push_back(child);
    child->is_dying = true;
    child->named_in = parent;
    child->mirror.set_lease(encode(Lease{.kind = Lease::Kind::dead, .epoch = child->lease.epoch + 1}));
    note_dirty(parent);
    note_dirty(child);
    return Status();
}

// What is dying is written with what takes its name.
std::vector<HeldGroups::HeldPtr> HeldGroups::with_parents(const std::vector<HeldPtr>& wanted) {
    std::vector<HeldPtr> all;
    std::unordered_set<const Held*> seen;
    for (HeldPtr held : wanted) {
        for (;;) {
            HeldPtr parent;
            {
                MutexLock lock(held->mutex);
                parent = held->named_in;
            }
            if (!parent) break;
            {
                MutexLock lock(parent->mutex);
                if (parent->state == Held::State::gone) parent = nullptr;
            }
            if (!parent) {  // lost, with the change that took the name: so neither was done
                MutexLock lock(held->mutex);
                if (held->named_in) lose(held, fail(ECANCELED));
                break;
            }
            held = std::move(parent);
        }
        if (seen.insert(held.get()).second) all.push_back(std::move(held));
    }
    return all;
}

Status HeldGroups::announce(const std::vector<Batch>& batches) {
    if (std::all_of(batches.begin(), batches.end(), [](const Batch& b) { return b.dying.empty(); })) return {};
    Intent intent;
    for (const Batch& b : batches) {
        if (b.dying.empty() && b.next.kind != Lease::Kind::dead) continue;
        intent.push_back({.object = b.held->object, .held = b.before, .next = b.next, .about = b.changes.about, .read = {},
                          .set = b.changes.set, .removed = b.changes.removed});
    }
    std::vector<std::string> keys;
    Status status = write_intent(*session_.load(), *intents_, intent, announced_, keys);
    if (status.ok()) announced_.clear(), to_announce_ = 0;
    if (status.ok() || status.code() == ETIMEDOUT || status.code() == EAGAIN)  // it may be there
        announced_.insert(announced_.end(), keys.begin(), keys.end());
    return status;
}

}  // namespace meshfs
