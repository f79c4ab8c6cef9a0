// One change of a group that is free or held by this mount: read, decide, apply under guards, and know what became of it.
#include <algorithm>

#include "fs/base/log.h"
#include "fs/meta/group.h"
#include "fs/meta/merge.h"
#include "fs/meta/split.h"

namespace meshfs {
namespace {

// Lost races are retried with pauses of up to 50 ms; who loses for minutes is told instead of spinning for ever.
constexpr int kTriesMax = 10'000;
// Of finding out what became of a mutation whose answer was lost.
constexpr int kSettleRoundsMax = 16;

}  // namespace

Result<Slot> GroupChange::new_slot() {
    if (!spare_.empty()) {
        slots_.push_back(spare_.back());
        spare_.pop_back();
        return slots_.back();
    }
    if (!has_reserved_) {
        if (auto slot = core_.slots.take(view_.group())) {
            slots_.push_back(*slot);
            return *slot;
        }
    }
    if (reserved_.empty()) {
        const uint32_t first = has_reserved_ ? reserved_end_
                                             : std::max(raw(view_.about.next_slot),
                                                        view_.group() == kRootGroup ? kFirstSlotOfRoot : kFirstSlot);
        reserved_end_ = std::min(first + core_.slots_at_once(), kSlotMax + 1);
        for (uint32_t slot = reserved_end_; slot > first; --slot) reserved_.push_back(Slot{slot - 1});  // used from the back
        has_reserved_ = true;
    }
    if (reserved_.empty()) return fail(ENOSPC, "no slot is left in object " + view_.object.name);
    Slot slot = reserved_.back();
    reserved_.pop_back();
    return slot;
}

class ChangeLoop {
public:
    ChangeLoop(MetaCore& core, const ChangeTarget& target, const Wanted& wanted, const BuildChange& build)
        : core_(core), target_(target), wanted_(wanted), build_(build) {}
    ~ChangeLoop() {
        drop_slots();
        let_go_of_lane();
    }

    // grown: the group, if slots were reserved in it; shrunk: if it is time to see whether it has few names.
    Status run(std::optional<ObjectName>& grown, std::optional<ObjectName>& shrunk) {
        TRY(core_.check_may_change());
        for (int tries = 0; tries < kTriesMax; ++tries) {
            if (tries > 2) {
                TRY(core_.check_may_change());
                core_.clock.sleep_ns(pause_ns(tries));
            }
            Outcome outcome = TRY(one_try());
            if (outcome != Outcome::done) continue;
            if (has_grown_) grown = object_;
            if (has_shrunk_) shrunk = object_;
            return {};
        }
        return fail(EBUSY, "object " + object_.name + " changed under every one of 10,000 tries");
    }

private:
    enum class Outcome { done, again };

    // 1, 2, 4 .. 32 ms, and up to half as much again so that losers part.
    int64_t pause_ns(int tries) {
        int64_t pause = kNsPerMs << std::min(tries - 3, 5);
        return pause + static_cast<int64_t>(core_.lanes.next_number() * 0x9e3779b9u % static_cast<uint64_t>(pause / 2));
    }

    Result<Outcome> one_try() {
        take_lane(find_object());
        Wanted wanted = wanted_;
        wanted.keys.push_back(lane_key_);
        wanted.keys.push_back(sum_key_);
        auto view = read_group_now(core_, object_, wanted);
        if (!view.ok()) return missing(view.error());
        if (TRY(was_last_try_in(*view))) {
            spare_.clear();  // some of these it has used
            return Outcome::done;
        }
        if (!target_.object) {
            bool is_it = !view->is_dead() && view->about.directory == target_.directory &&
                         view->about.covers(target_.name);
            if (!is_it) return find_again();
        }
        if (view->is_dead() && !target_.may_be_dead) return fail(ESTALE);
        if (!view->lease.is_free() && !view->lease.is_kept_by(core_.session_id()) && !view->is_dead()) {
            let_go_of_lane();
            TRY(core_.wait_for_free(object_));
            return Outcome::again;
        }
        if (view->about.group != slots_group_) drop_slots();
        slots_group_ = view->about.group;
        GroupChange change(core_, *view, std::move(spare_));
        spare_.clear();
        auto built = build_(change);
        if (!built.ok()) {
            keep_slots(change);
            return built.error();
        }
        if (change.set_.empty() && change.removed_.empty() && !change.has_reserved_ && !change.has_delta_) {
            spare_ = std::move(change.spare_);
            return Outcome::done;
        }
        return apply(*view, change);
    }

    Result<Outcome> apply(const GroupView& view, GroupChange& change) {
        Mutation mutation = TRY(mutation_of(view, change));
        auto status = core_.store.apply(std::move(mutation));
        if (status.code() == ETIMEDOUT) status = settle(view);
        if (status.ok()) {
            if (change.has_delta_) core_.sums.forget(view.about.directory);
            has_grown_ = change.has_reserved_;
            core_.slots.give(slots_group_, std::move(change.reserved_));
            core_.slots.give(slots_group_, std::move(change.spare_));
            return Outcome::done;
        }
        // Of ECANCELED alone it is certain that it has not happened and will not: else a file may have its number.
        if (status.code() != ECANCELED) change.slots_.clear();
        keep_slots(change);
        switch (status.code()) {
            case ECANCELED:
            case EAGAIN:
            case ENOENT: return Outcome::again;  // ENOENT: the group went, which the next read tells
            default: return status.error();
        }
    }

    Result<Mutation> mutation_of(const GroupView& view, GroupChange& change) {
        number_ = core_.lanes.next_number();
        has_shrunk_ = false;
        Mutation m(object_);
        m.xattr_is(kLeaseXattr, view.lease_value);
        view.guard(m, lane_key_);
        for (const auto& key : wanted_.keys)
            if (std::find(change.unguarded_.begin(), change.unguarded_.end(), key) == change.unguarded_.end())
                view.guard(m, key);
        auto lease = view.lease.is_free() ? core_.held.wants(object_, view.lease.epoch + 1) : std::nullopt;
        if (lease) m.set_xattr(kLeaseXattr, encode(*lease));
        if (lease || change.has_reserved_) m.xattr_is(kAboutXattr, view.about_value);
        if (change.has_reserved_) {
            About about = view.about;
            about.next_slot = Slot{change.reserved_end_};
            m.set_xattr(kAboutXattr, encode(about));
        }
        if (change.has_delta_) {
            auto sum = view.record(decode_sum, sum_key_);
            // A damaged one stays for `check`: what it counted is found by counting.
            if (sum.ok()) {
                Sum now = sum->value_or(Sum{});
                change.set(sum_key_, encode(now += change.delta_));
                has_shrunk_ = is_time_to_merge(core_, view.about, change.delta_, now);
            } else {
                log_error("a directory's counts are not kept up", {{"why", sum.error().detail()}});
            }
        }
        change.set(lane_key_, encode(LaneRecord{.number = number_, .request_id = target_.request_id}));
        for (const auto& [key, value] : change.set_)
            if (value.size() > kValueMax) return fail(ENOSPC, "record of " + std::to_string(value.size()) + " bytes");
        if (!change.removed_.empty()) m.remove_keys(change.removed_);
        m.set_keys(std::move(change.set_));
        return m;
    }

    // The last try timed out: it happened, will, or not.  Consumes the number it is guarded on, or finds that it
    // happened.  Ok: it is in; ECANCELED: it is not and will never be; ETIMEDOUT: the store does not say.
    Status settle(const GroupView& before) {
        for (int round = 0; round < kSettleRoundsMax; ++round) {
            if (round > 2) core_.clock.sleep_ns(pause_ns(round));
            auto view = read_group_now(core_, object_, {.keys = {lane_key_}});
            if (view.code() == ENOENT) return fail(ECANCELED);  // with the group all its late changes end
            if (!view.ok()) return view.error();
            if (TRY(was_last_try_in(*view))) return {};
            // Its guards can never hold again: the epoch was raised, or an earlier round consumed the number.
            const std::string *now = view->key(lane_key_), *then = before.key(lane_key_);
            bool is_same = (now == nullptr) == (then == nullptr) && (now == nullptr || *now == *then);
            if (!is_same || view->lease_value != before.lease_value) return fail(ECANCELED);
            Mutation m(object_);
            m.xattr_is(kLeaseXattr, before.lease_value);
            before.guard(m, lane_key_);
            m.set_keys({{lane_key_, encode(LaneRecord{.number = core_.lanes.next_number()})}});
            auto status = core_.store.apply(std::move(m));
            if (status.ok()) return fail(ECANCELED);
            bool again = status.code() == ETIMEDOUT || status.code() == ECANCELED || status.code() == EAGAIN ||
                         status.code() == ENOENT;
            if (!again) return status;
        }
        return fail(ETIMEDOUT, "object " + object_.name + " does not answer");
    }

    Result<bool> was_last_try_in(const GroupView& view) {
        if (number_ == 0) return false;
        auto lane = TRY(view.record(decode_lane, lane_key_));
        return lane && lane->number == number_;
    }

    ObjectName find_object() {
        if (target_.object) return *target_.object;
        auto group = core_.maps.find(target_.directory, target_.name);
        return group_object(group.value_or(place_of(target_.directory).group));
    }

    Result<Outcome> missing(const Error& error) {
        if (error.code() != ENOENT) return error;
        if (target_.object) return fail(ESTALE);
        return find_again();
    }

    // The map was stale: heals it, or says what became of the directory.
    Result<Outcome> find_again() {
        let_go_of_lane();
        TRY(read_range(core_, target_.directory, target_.name, {}));
        return Outcome::again;
    }

    void take_lane(const ObjectName& object) {
        if (has_lane_ && object == object_) return;
        let_go_of_lane();
        object_ = object;
        lane_ = core_.lanes.acquire(object.name);
        has_lane_ = true;
        lane_key_ = lane_key(core_.session_id(), lane_);
        sum_key_ = sum_key(core_.session_id(), lane_);
        number_ = 0;
    }
    void let_go_of_lane() {
        if (has_lane_) core_.lanes.release(object_.name, lane_);
        has_lane_ = false;
        number_ = 0;
    }

    // Own slots of a try that came to nothing serve the next; its reservation never happened.
    void keep_slots(GroupChange& change) {
        spare_ = std::move(change.spare_);
        spare_.insert(spare_.end(), change.slots_.begin(), change.slots_.end());
    }
    void drop_slots() {
        core_.slots.give(slots_group_, std::move(spare_));
        spare_.clear();
    }

    MetaCore& core_;
    const ChangeTarget& target_;
    const Wanted& wanted_;
    const BuildChange& build_;

    ObjectName object_;
    bool has_lane_ = false;
    uint8_t lane_ = 0;
    std::string lane_key_, sum_key_;
    uint64_t number_ = 0;  // of the last try in this lane, 0: none
    std::vector<Slot> spare_;
    GroupId slots_group_{};
    bool has_grown_ = false, has_shrunk_ = false;
};

Status change_group(MetaCore& core, const ChangeTarget& target, const Wanted& wanted, const BuildChange& build) {
    if (!target.object && raw(place_of(target.directory).slot) != 0) return fail(ENOTDIR);
    std::optional<ObjectName> grown, shrunk;
    TRY(ChangeLoop(core, target, wanted, build).run(grown, shrunk));
    if (grown) split_if_large(core, *grown);
    if (shrunk) merge_if_small(core, *shrunk);
    return {};
}

}  // namespace meshfs
