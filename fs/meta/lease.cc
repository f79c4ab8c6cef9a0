#include "fs/meta/lease.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "fs/meta/core.h"
#include "fs/meta/group.h"
#include "fs/meta/intent.h"

namespace meshfs {
namespace {

// volume.move first, then groups by number, then h.<ino>: hex without leading zeros sorts by length, then as text.
bool comes_before(const ObjectName& a, const ObjectName& b) {
    auto rank = [](const std::string& name) { return name.starts_with("g.") ? 1 : name.starts_with("h.") ? 2 : 0; };
    return std::make_tuple(rank(a.name), a.name.size(), std::cref(a.name)) <
           std::make_tuple(rank(b.name), b.name.size(), std::cref(b.name));
}

bool may_have_raced(int code) { return code == ECANCELED || code == ETIMEDOUT || code == EAGAIN || code == ENOENT; }

// 1, 2, 4 .. 64 ms, or less.
void wait_to_be_told(MetaCore& core, const RecallTold* told, int tries) {
    constexpr int64_t kLookNs = kNsPerMs / 2;
    const int64_t pause = kNsPerMs << std::min(tries, 6);
    if (told == nullptr) return core.clock.sleep_ns(pause);
    for (int64_t slept = 0; slept < pause && !told->is_told; slept += kLookNs) core.clock.sleep_ns(kLookNs);
}

// X of our own that no operation holds is a lost answer's; it is adopted with a new epoch, so that nothing that was
// sent before can undo it.
Result<Lease> take_one(MetaCore& core, const ObjectName& object, std::optional<Lease> seen) {
    for (int tries = 0;; ++tries) {
        TRY(core.check_may_change());  // what a dead mount has is for visitors, who finish its intents under the leases it had
        std::optional<Lease> now = tries == 0 ? seen : std::nullopt;
        std::string value;
        if (!now) {
            auto view = read_group_now(core, object, {});
            if (view.code() == ENOENT) return fail(ESTALE);
            if (!view.ok()) return view.error();
            now = view->lease;
            value = view->lease_value;
        }
        if (now->kind == Lease::Kind::dead) return fail(ESTALE);
        if (now->is_free() || now->is_exclusive_of(core.session_id())) {
            Lease mine = exclusive_lease(core.session_id(), now->epoch + 1);
            auto status = core.store.apply(lease_change(object, *now, mine));
            if (status.ok()) return mine;
            if (!may_have_raced(status.code())) return status.error();
            if (tries > 2) core.clock.sleep_ns(kNsPerMs << std::min(tries - 3, 5));
        } else {
            TRY(wait_for_holder(core, object, *now, encode(*now), tries));
        }
    }
}

}  // namespace

Mutation lease_change(const ObjectName& object, const Lease& from, const Lease& to) {
    Mutation m(object);
    m.xattr_is(kLeaseXattr, encode(from)).set_xattr(kLeaseXattr, encode(to));
    return m;
}

void Holders::enter(const std::string& object) {
    MutexLock lock(mutex_);
    while (!in_.insert(object).second) left_.wait(mutex_);
}

bool Holders::try_enter(const std::string& object) {
    MutexLock lock(mutex_);
    return in_.insert(object).second;
}

void Holders::leave(const std::string& object) {
    MutexLock lock(mutex_);
    in_.erase(object);
    left_.notify_all();
}

bool Holders::wait_for(const std::string& object) {
    MutexLock lock(mutex_);
    bool was_in = false;
    while (in_.contains(object)) was_in = true, left_.wait(mutex_);
    return was_in;
}

void Recalled::push(const std::string& object) {
    MutexLock lock(mutex_);
    if (objects_.size() < kObjectsMax) objects_.insert(object);
}

std::set<std::string> Recalled::take() {
    MutexLock lock(mutex_);
    return std::exchange(objects_, {});
}

Result<Exclusive> Exclusive::take(MetaCore& core, std::vector<Wish> wishes) {
    std::sort(wishes.begin(), wishes.end(), [](const Wish& a, const Wish& b) { return comes_before(a.object, b.object); });
    Exclusive taken(core);
    for (const Wish& wish : wishes) {
        if (!taken.held_.empty() && taken.held_.back().object == wish.object) continue;
        core.holders.enter(wish.object.name);
        auto lease = take_one(core, wish.object, wish.seen);
        if (!lease.ok()) {
            core.holders.leave(wish.object.name);
            return lease.error();
        }
        taken.held_.push_back({wish.object, *lease});
    }
    return taken;
}

Exclusive::Exclusive(Exclusive&& other) noexcept : core_(other.core_), held_(std::move(other.held_)) {
    other.held_.clear();
}

Exclusive::~Exclusive() {
    for (const Held& held : held_) {
        // Not heard of, it stays ours and is let go by whoever needs it next.  Of the dead, visitors may be finishing an intent
        // under it.
        if (core_->session->check_alive().ok()) {
            Lease next = free_lease(held.lease.epoch + 1);
            if (core_->held.was_held(held.object, held.lease)) next = core_->held.wants(held.object, next.epoch).value_or(next);
            (void)core_->store.apply(lease_change(held.object, held.lease, next));
        }
        core_->holders.leave(held.object.name);
    }
}

Result<Lease> Exclusive::lease(const ObjectName& object) const {
    for (const Held& held : held_)
        if (held.object == object) return held.lease;
    return fail(EINVAL, "object " + object.name + " is not held");
}

void Exclusive::abandon() {
    for (const Held& held : held_) core_->holders.leave(held.object.name);
    held_.clear();
}

void Exclusive::passed_on(const ObjectName& object) {
    for (auto held = held_.begin(); held != held_.end(); ++held) {
        if (held->object != object) continue;
        held_.erase(held);
        core_->holders.leave(object.name);
        return;
    }
}

std::shared_ptr<RecallTold> ask_back(MetaCore& core, const ObjectName& object, const Lease& lease) {
    if (core.session) return core.session->recall(lease.session, object, lease.epoch, core.held.takes_over(object));
    core.store.notify(session_object(lease.session), Buffer::copy_of(object.name), 1, [](Result<Acks>) {});
    return nullptr;
}

bool Reading::may_read(const Lease& now) const {
    return told_ && told_->is_told && told_->written != 0 && now.is_kept_by(holder_) && now.epoch >= told_->written;
}

// Who reads the same again and again has more of having it for a while.
Status Reading::wait(MetaCore& core, const ObjectName& object, const Lease& now) {
    constexpr int kRoundsMax = 12;  // about 100 ms
    if (!core.session) return wait_for_holder(core, object, now, encode(now), rounds_++);  // the caller ends it
    bool may_help = (now.flags & Lease::kept) != 0 && rounds_ < kRoundsMax;
    if (!may_help || (rounds_ == 0 && core.held.is_read_often(object))) return core.wait_for_free(object);
    if (!told_ || told_->is_told || holder_ != now.session) {
        holder_ = now.session;
        told_ = core.session->ask_to_write(holder_, object, now.epoch);
    }
    wait_to_be_told(core, told_.get(), rounds_++);
    return {};
}

void let_go_of_leftover(MetaCore& core, const ObjectName& object) {
    auto view = read_group_now(core, object, {});  // what an operation has passed on to be held, is held from here on
    if (view.ok() && view->lease.is_kept_by(core.session_id()) && core.held.holds(object.name)) return;
    if (!core.holders.try_enter(object.name)) return;
    view = read_group_now(core, object, {});
    bool is_alive = core.session->check_alive().ok();  // looked at inside: abandon() comes after a death
    if (is_alive && view.ok() && view->lease.is_exclusive_of(core.session_id()))
        (void)core.store.apply(lease_change(object, view->lease, free_lease(view->lease.epoch + 1)));
    core.holders.leave(object.name);
}

Status wait_for_holder(MetaCore& core, const ObjectName& object, const Lease& lease, const std::string& lease_value,
                       int tries) {
    if (lease.kind != Lease::Kind::exclusive)
        return fail(EOPNOTSUPP, "object " + object.name + " has a lease of a later MeshFS");
    if (lease.is_kept_by(core.session_id())) return {};
    if (lease.session == core.session_id()) {
        TRY(core.session->check_alive());
        if (!core.holders.wait_for(object.name)) let_go_of_leftover(core, object);
        return {};
    }
    auto state = TRY(core.look_at(lease.session));
    if (state == SessionState::alive) {
        core.held.note_contended(object.name);
        wait_to_be_told(core, ask_back(core, object, lease).get(), tries);
        return {};
    }
    // Only now is the list of its intents final.  What none of them gives away is freed.
    if (!core.session) return fail(EBUSY, "object " + object.name + " is held by a mount that is gone; a mount that may "
                                                                    "write finishes what it began");
    if (state == SessionState::dead) TRY(finish_intents(core, lease.session));
    auto status = core.store.apply(std::move(Mutation(object)
                                                 .xattr_is(kLeaseXattr, lease_value)
                                                 .set_xattr(kLeaseXattr, encode(free_lease(lease.epoch + 1)))));
    return status.ok() || may_have_raced(status.code()) ? Status() : status;
}

}  // namespace meshfs
