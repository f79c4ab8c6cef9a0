// Groups: finding the one with a name, reading it in one query, changing it in one guarded mutation.
//
// A free group ("F e") changes by mutations guarded on its lease, on a lane of this session, and on every key
// the decision was made from.  The lane's number makes a change happen at most once and lets a retry know its
// own work, however often a call is lost, late or repeated.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/meta/core.h"

namespace meshfs {

// What to read besides lease and `about`.
struct Wanted {
    std::vector<std::string> keys;
    std::vector<Query::Range> ranges;
};

// A group, or h.<ino>, at one moment.
struct GroupView {
    ObjectName object;
    Lease lease;
    std::string lease_value;  // as read: a guard
    About about;              // h.<ino> has none
    std::string about_value;
    Answer answer;

    GroupId group() const { return about.group; }
    bool is_dead() const { return lease.kind == Lease::Kind::dead; }
    // The value of a key that was asked for; null: absent.
    const std::string* key(const std::string& name) const {
        auto found = answer.keys.find(name);
        return found == answer.keys.end() ? nullptr : &found->second;
    }
    void guard(Mutation& m, const std::string& name) const {  // that it is so still
        const std::string* value = key(name);
        m.key_is(name, value != nullptr ? std::optional(*value) : std::nullopt);
    }
    // Its record; none: absent; EIO with object and key.
    template <class Decode>
    auto record(Decode decode, const std::string& name) const
        -> Result<std::optional<typename decltype(decode(std::string_view()))::Value>> {
        const std::string* value = key(name);
        using Record = typename decltype(decode(std::string_view()))::Value;
        if (value == nullptr) return std::optional<Record>();
        auto result = decode_at(decode, object, name, *value);
        if (!result.ok()) return result.error();
        return std::optional<Record>(std::move(result).value());
    }
};

// As it is, whoever has its lease.  ENOENT: no such object.
Result<GroupView> read_group_now(MetaCore& core, const ObjectName& object, const Wanted& wanted);
// The same once nobody has it exclusively: what is half done by several objects' intents is never seen.
Result<GroupView> read_group(MetaCore& core, const ObjectName& object, const Wanted& wanted);

// The header of a directory, dead or alive.  ESTALE: there is none (any more).
Result<GroupView> read_header(MetaCore& core, Ino directory, const Wanted& wanted);
// The group of a directory whose range has `name`.  ESTALE: no such directory; ENOENT: it is removed.
Result<GroupView> read_range(MetaCore& core, Ino directory, std::string_view name, const Wanted& wanted);
// The whole range map of a directory, read anew and remembered; empty: one range.  merged: gets the groups that once had
// a range, and are dead as long as the directory lives.
Result<RangeMap> read_range_map(MetaCore& core, Ino directory, std::vector<GroupId>* merged = nullptr);

// What a builder sees of the group and asks to be done with it.
class GroupChange {
public:
    const GroupView& view() const { return view_; }
    const std::string* key(const std::string& name) const { return view_.key(name); }

    void set(std::string key, std::string value) { set_.emplace_back(std::move(key), std::move(value)); }
    void remove(std::string key) { removed_.push_back(std::move(key)); }
    void add(const Sum& delta) { delta_ += delta, has_delta_ = true; }
    // A slot nobody had.  ENOSPC: the group gave out all of its 2^24.
    Result<Slot> new_slot();
    // Keys read and not written that the decision does not depend on.
    void do_not_guard(std::string key) { unguarded_.push_back(std::move(key)); }

private:
    friend class ChangeLoop;
    GroupChange(MetaCore& core, const GroupView& view, std::vector<Slot> spare)
        : core_(core), view_(view), spare_(std::move(spare)) {}
    MetaCore& core_;
    const GroupView& view_;
    std::vector<Key> set_;
    std::vector<std::string> removed_, unguarded_;
    Sum delta_;
    bool has_delta_ = false;
    std::vector<Slot> slots_;     // this session's own, given to the builder
    std::vector<Slot> spare_;     // the same, of an earlier try that came to nothing
    std::vector<Slot> reserved_;  // ours once this try is in
    bool has_reserved_ = false;
    uint32_t reserved_end_ = 0;  // the next slot of the group, then
};

// Decides from what was read.  May be called several times; what it leaves in its captures is of the last
// time, and that is the time that counts.  An error ends the change; no effects: nothing is written.
using BuildChange = std::function<Status(GroupChange&)>;

// Where a change goes.
struct ChangeTarget {
    Ino directory{};             // with `name`: the range of that directory that has it
    std::string name;
    std::optional<ObjectName> object;  // or this very object
    uint64_t request_id = 0;
    bool may_be_dead = false;  // records u<...> outlive their directory
};
// ENOENT: the directory is removed; ESTALE: there is none, or the object is gone.  Waits for leases of others,
// retries lost races as often as it takes, with pauses up to 50 ms.
Status change_group(MetaCore& core, const ChangeTarget& target, const Wanted& wanted, const BuildChange& build);

// EINVAL, ENAMETOOLONG.  "." and ".." are the caller's.
Status check_name(std::string_view name);

}  // namespace meshfs
