// One change of several objects: X on all, what is there, what shall be, one intent.
//
// The counterpart of group_change.h for what one mutation cannot do.  Under X nothing else changes these objects, so
// what is read decides; nothing has happened until commit().
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fs/meta/group.h"
#include "fs/meta/intent.h"
#include "fs/meta/lease.h"
#include "fs/meta/ops/names.h"

namespace meshfs {

class JointChange {
public:
    // ERESTART: one of the objects is dead or gone: look again what they are.
    static Result<JointChange> begin(MetaCore& core, std::vector<Exclusive::Wish> objects);

    // What is in an object taken, with its sum.
    Result<GroupView> read(const ObjectName& object, Wanted wanted);

    // What a name that comes, goes or moves does to this group; adds up.
    ops::NameEffects& at(const GroupView& group);
    // A slot nobody had.  ENOSPC: the group gave out all of its 2^24.
    Result<Slot> new_slot(const GroupView& group);
    void set_about(const GroupView& group, About about);
    // The object is dead once the change is in; nothing is in it.
    void kill(const GroupView& object);
    // The dentry of a file leaves the group of its number's first name, or moves again; none: it is in h.<ino>.
    void move_away(Ino ino, std::optional<Place> to) { away_.emplace_back(place_of(ino), to); }
    // A name goes from one group to the other; before commit(), which waits for what the kernel keeps of a group that gets free.
    void name_goes(GroupId from, GroupId to) { core_->held.names_went(from, to); }
    // A new object, free.
    void make(const ObjectName& object, std::vector<Key> records);
    // A group that was made whole under X, its number known to nobody, is free once the change is in.
    void free_new_group(const ObjectName& object, const Lease& lease);

    // All of it, or nothing.  Objects not changed are let go.  Errors: commit_intent()'s.
    Status commit();

private:
    JointChange(MetaCore& core, Exclusive held) : core_(&core), held_(std::move(held)) {}
    struct Draft {
        GroupView view;  // at its first use: lease, about, sum
        ops::NameEffects effects;
        std::optional<About> about;
        Lease::Kind next = Lease::Kind::free;
    };
    Draft& draft_of(const GroupView& group);
    Result<IntentStep> step_of(const Draft& draft);
    Status add_away_steps();

    MetaCore* core_;
    Exclusive held_;
    std::map<std::string, Draft> drafts_;  // by object name
    std::vector<ObjectName> grown_;        // groups whose count of slots says: time to count the names
    std::vector<ObjectName> shrunk_;       // those of which is_time_to_merge() says it
    std::vector<std::pair<Place, std::optional<Place>>> away_;  // where numbers were born, and where they are
    Intent others_;                        // objects made, away records
};

// Looks, takes X, decides, commits: `once` does, and says ERESTART when what it looked at was gone under X.
template <class Once>
auto joint_change(MetaCore& core, Once once) -> decltype(once()) {
    constexpr int kRoundsMax = 64;
    for (int round = 0; round < kRoundsMax; ++round) {
        if (round > 1) core.clock.sleep_ns(kNsPerMs << std::min(round, 5));
        auto result = once();
        if (result.code() != ERESTART) return result;
    }
    return fail(EIO, "objects contradict each other, or never stand still");
}

}  // namespace meshfs
