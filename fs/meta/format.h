// What lies in the metadata pool: names of objects, keys, and the records behind them.
//
// meshfs-format(5) has the same to the byte.  Every value is an envelope of fs/base/wire.h (version, length,
// CRC32C); decoders bear anything and answer EIO.  Encoding is canonical: equal records are equal bytes, so a
// value as read is a guard.  Records of intents are with their owner.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/base/result.h"
#include "fs/base/types.h"
#include "fs/meta/inode.h"
#include "fs/meta/lock_list.h"
#include "fs/store/store.h"

namespace meshfs {

// --- objects

ObjectName group_object(GroupId group);                  // g.<group>
ObjectName away_object(GroupId group, Slot slot);        // i.<group>.<slot / 65536>
ObjectName linked_object(Ino ino);                       // h.<ino>
ObjectName session_object(SessionId session);            // s.<session>
ObjectName locks_object(Ino ino);                        // l.<ino>
inline constexpr unsigned kDeadMembersObjects = 64;
ObjectName dead_members_object(BlobId pack);         // k.<pack mod 64>
ObjectName registry_object(unsigned index);              // sessions.<0..15>
ObjectName volume_object();                              // volume
ObjectName volume_move_object();                         // volume.move: a lease and nothing else
inline constexpr unsigned kRegistryObjects = 16;
inline unsigned registry_of(SessionId session) { return raw(session) % kRegistryObjects; }

inline constexpr GroupId kRootGroup{0};
inline constexpr uint64_t kGroupIdMax = (uint64_t{1} << 39) - 1;
inline constexpr uint32_t kSlotMax = (1u << kSlotBits) - 1;
inline constexpr uint32_t kFirstSlot = 1;       // slot 0 is the directory itself
inline constexpr uint32_t kFirstSlotOfRoot = 16;  // 1 is the root's number, 1 and 2 are the cookies of "." and ".."

inline constexpr const char* kLeaseXattr = "lease";
inline constexpr const char* kAboutXattr = "about";
inline constexpr const char* kVolumeXattr = "volume";
inline constexpr const char* kNumbersXattr = "numbers";
inline constexpr const char* kStateXattr = "state";  // of s.<session>
inline constexpr const char* kBeatXattr = "beat";

// --- keys of a group

inline constexpr const char* kInodeKey = "d";  // header: the directory's inode; h.<ino>: the file's
inline constexpr const char* kPlaceKey = "p";  // header: where the directory's dentry is
inline constexpr const char* kSumKey = "m";    // sums up to the last X
std::string name_key(std::string_view name);                 // n<name>
std::string slot_key(Slot slot);                             // i<slot>; in i.<group>.<n> too
std::string unlinked_key(Ino ino);                           // u<ino>
std::string freed_key(Ino ino, uint64_t content_version);    // u<ino><content version>
std::string lane_key(SessionId session, uint8_t lane);       // z<session><lane>
std::string sum_key(SessionId session, uint8_t lane);        // m<session><lane>
std::string range_key(std::string_view first);               // r<first name>
std::string range_sum_key(GroupId group);                    // q<group>
std::string merged_key(GroupId group);                       // o<group>
inline constexpr const char* kLocksKey = "l";  // of l.<ino>
// --- keys of sessions.<n> and s.<session>
std::string registry_key(SessionId session);                 // s<session>
std::string recall_key(const ObjectName& object);            // r<object>
std::string reach_key(BlobId first, BlobId last);            // b<blob>, b<first><last>
std::string births_key(GroupId first);                       // g<group>
std::string dead_member_key(BlobId pack, uint32_t offset);       // p<pack><offset>
Result<BlobId> pack_of_dead_member_key(std::string_view key);
Result<SessionId> session_of_registry_key(std::string_view key);
Result<std::pair<BlobId, BlobId>> blobs_of_reach_key(std::string_view key);
Result<GroupId> group_of_births_key(std::string_view key);
Result<GroupId> group_of_merged_key(std::string_view key);

// The name in n<name> or r<first>; the slot in i<slot>; EIO.
std::string_view name_of_key(std::string_view key);
Result<Slot> slot_of_key(std::string_view key);
Result<Ino> ino_of_unlinked_key(std::string_view key);

// --- records

// Who may serve and change a group; compared whole.
struct Lease {
    enum class Kind : uint8_t {
        free = 'F', exclusive = 'X', shared = 'S', breaking = 'B', dead = 'D', sealed = 'Z'
    };
    // write_through: all that the holder answered is in the store.  kept: of the mount, between its operations; without it,
    // of one operation on several objects.
    enum Flags : uint8_t { write_through = 1, kept = 2 };
    Kind kind = Kind::free;
    SessionId session = kNobody;  // exclusive only
    uint64_t epoch = 1;           // raised by each change of the lease
    uint8_t flags = 0;
    bool is_free() const { return kind == Kind::free; }
    bool is_exclusive_of(SessionId who) const { return kind == Kind::exclusive && session == who; }
    bool is_kept_by(SessionId who) const { return is_exclusive_of(who) && (flags & kept) != 0; }
    bool operator==(const Lease&) const = default;
};
std::string encode(const Lease& lease);
Result<Lease> decode_lease(std::string_view value);
inline Lease free_lease(uint64_t epoch) { return {.kind = Lease::Kind::free, .epoch = epoch}; }
inline Lease exclusive_lease(SessionId session, uint64_t epoch) {
    return {.kind = Lease::Kind::exclusive, .session = session, .epoch = epoch};
}

// What a group is: a range [first, end) of a directory's names.
struct About {
    GroupId group{};
    Ino directory{};
    std::string first;  // empty: the lowest range, the header
    std::string end;    // empty: no end
    Slot next_slot{kFirstSlot};  // kSlotMax + 1: used up
    bool covers(std::string_view name) const {
        return name >= first && (end.empty() || name < end);
    }
    bool is_whole() const { return first.empty() && end.empty(); }
    std::optional<GroupId> if_whole() const { return is_whole() ? std::optional(group) : std::nullopt; }
    bool operator==(const About&) const = default;
};
std::string encode(const About& about);
Result<About> decode_about(std::string_view value);

// n<name>
struct Dentry {
    enum class Kind : uint8_t {
        file = 1,       // the inode is here
        directory = 2,  // its inode is in its own header group
        linked = 3      // its inode is in h.<ino>
    };
    Kind kind = Kind::file;
    Ino ino{};
    uint32_t type = 0;  // S_IF...
    Slot slot{};        // its place in this group: what a cookie names
    // Where the world outside this group knows it: the slot of its birth, or of its arrival from another
    // group.  i<anchor> always leads to `slot`, however often it was renamed here.
    Slot anchor{};
    Inode inode;        // of Kind::file
    bool operator==(const Dentry&) const = default;
};
std::string encode(const Dentry& dentry);
Result<Dentry> decode_dentry(std::string_view value);

// i<slot>
struct SlotRecord {
    enum class Kind : uint8_t {
        name = 1,      // the dentry is n<name>
        moved = 2,     // renamed inside this group: now in slot `to`; `name` is the old name
        unlinked = 3,  // no name any more: u<ino>, here
        away = 4,      // in another group: `to_group`, `to`; later moves are in i.<group>.<n>
        linked = 5     // this name went, others had the inode: the away record says where it is
    };
    Kind kind = Kind::name;
    std::string name;  // kept when the dentry goes: cookies lead here
    Slot to{};
    GroupId to_group{};
    int64_t gone_at = 0;  // seconds since 1970; kinds other than `name` may be forgotten 1 h later, unless an anchor
    bool operator==(const SlotRecord&) const = default;
};
std::string encode(const SlotRecord& record);
Result<SlotRecord> decode_slot(std::string_view value);
inline constexpr int64_t kSlotKeptSeconds = 3600;

// i<slot> in i.<group>.<slot / 65536>: where the dentry of a number born here is, if not in its group.
struct AwayRecord {
    bool is_linked = false;  // in h.<ino>; then the rest is 0.  Else, if u<ino> is in that group: there
    GroupId group{};
    Slot slot{};
    uint64_t moves = 0;  // raised each time
    bool operator==(const AwayRecord&) const = default;
};
std::string encode(const AwayRecord& record);
Result<AwayRecord> decode_away(std::string_view value);

// u<ino>, u<ino><content version>; the latter in h.<ino>, too
struct UnlinkedRecord {
    enum class Kind : uint8_t {
        file = 1,       // an inode without a name
        directory = 2,  // a removed directory: its groups wait to be purged
        extents = 3,    // freed from a living inode: only those are in inode.map
        linked = 4      // as `file`; it once had several names, and h.<ino> is dead
    };
    Kind kind = Kind::file;
    Inode inode;  // of a directory: only the number
    std::vector<SessionId> open;  // sessions that said they have it open
    Time since;
    bool operator==(const UnlinkedRecord&) const = default;
};
std::string encode(const UnlinkedRecord& record);
Result<UnlinkedRecord> decode_unlinked(std::string_view value);
inline constexpr size_t kOpenSessionsMax = 4096;

// m, m<session><lane>, q<group>: what names come to; lanes add up.
struct Sum {
    int64_t names = 0;
    int64_t subdirectories = 0;
    int64_t bytes = 0;
    Time mtime;  // of the last change of a name
    Sum& operator+=(const Sum& other);
    bool operator==(const Sum&) const = default;
};
std::string encode(const Sum& sum);
Result<Sum> decode_sum(std::string_view value);

// z<session><lane>: the last request in this lane.
struct LaneRecord {
    uint64_t number = 0;      // of this session's attempts; rises
    uint64_t request_id = 0;  // of the caller's request, 0: none
    bool operator==(const LaneRecord&) const = default;
};
std::string encode(const LaneRecord& record);
Result<LaneRecord> decode_lane(std::string_view value);

// d: in a header the directory's inode, in h.<ino> the file's.
struct InodeRecord {
    Inode inode;  // without what is filled in when read
    // Directories: when mtime was set by hand.  Sums with an mtime up to this one do not count for it.
    Time mtime_set;
    bool operator==(const InodeRecord&) const = default;
};
std::string encode(const InodeRecord& record);
Result<InodeRecord> decode_inode(std::string_view value);

// p
struct PlaceRecord {
    Ino parent{};  // the directory
    Place dentry;  // its group and anchor; may have moved on, i<slot> there says where
    bool operator==(const PlaceRecord&) const = default;
};
std::string encode(const PlaceRecord& record);
Result<PlaceRecord> decode_place(std::string_view value);

// r<first>; o<group>, of a dead group that was merged: the one its names went to
struct RangeRecord {
    GroupId group{};
    bool operator==(const RangeRecord&) const = default;
};
std::string encode(const RangeRecord& record);
Result<RangeRecord> decode_range(std::string_view value);

// `state` of s.<session>: ended and dead are for ever.
enum class SessionState : uint8_t { alive = 1, ended = 2, dead = 3 };
struct StateRecord {
    SessionState state = SessionState::alive;
    // Dead although it beat, because it did not let go of a lease: who finds this waits T, for it may not know yet.
    bool was_beating = false;
    bool is_fenced = false;  // dead, and none of its writes can land any more
    bool operator==(const StateRecord&) const = default;
};
std::string encode(const StateRecord& record);
Result<StateRecord> decode_state(std::string_view value);

// `beat` of s.<session>
struct BeatRecord {
    uint64_t number = 0;
    bool operator==(const BeatRecord&) const = default;
};
std::string encode(const BeatRecord& record);
Result<BeatRecord> decode_beat(std::string_view value);

// s<session> in sessions.<n>: who that is.
struct SessionRecord {
    std::string host;
    Time started;
    ClientId client;  // of the store: what is fenced
    // The process, as others on its host can look for it.
    std::string boot_id;
    uint64_t pid_namespace = 0;
    uint32_t pid = 0;
    uint64_t process_started = 0;  // clock ticks since boot
    bool operator==(const SessionRecord&) const = default;
};
std::string encode(const SessionRecord& record);
Result<SessionRecord> decode_session(std::string_view value);

// r<object> in s.<session>: `asker` wants it to let go of that object's lease.
struct RecallRecord {
    SessionId asker = kNobody;
    bool operator==(const RecallRecord&) const = default;
};
std::string encode(const RecallRecord& record);
Result<RecallRecord> decode_recall(std::string_view value);

// l of l.<ino>: all locks of a file.
struct LocksRecord {
    SessionId session = kNobody;  // who wrote it, and the number of its try: no value comes twice
    uint64_t number = 0;
    LockList locks;
    bool operator==(const LocksRecord&) const = default;
};
std::string encode(const LocksRecord& record);
Result<LocksRecord> decode_locks(std::string_view value);
inline constexpr size_t kLocksMax = 2500;  // at most 45 bytes each: below kValueMax

// b<first><last>, b<blob> in s.<session>: data objects that may exist of blobs which that session gave out, or wrote to.
struct ReachRecord {
    Ino home{};               // the file they are of, or may become
    bool homes_rise = false;  // each blob's is one more than the one's before
    uint64_t first = 0, last = 0;  // objects of each of these blobs
    bool operator==(const ReachRecord&) const = default;
};
std::string encode(const ReachRecord& record);
Result<ReachRecord> decode_reach(std::string_view value);

// p<pack><offset> in k.<pack mod 64>: that member was removed, or written anew elsewhere.
struct DeadMemberRecord {
    uint64_t length = 0;  // bytes
    bool operator==(const DeadMemberRecord&) const = default;
};
std::string encode(const DeadMemberRecord& record);
Result<DeadMemberRecord> decode_dead_member(std::string_view value);

// g<group> in s.<session>: groups of this number and the next ones may have been made and have no name.
struct BirthsRecord {
    uint64_t count = 0;
    bool operator==(const BirthsRecord&) const = default;
};
std::string encode(const BirthsRecord& record);
Result<BirthsRecord> decode_births(std::string_view value);
inline constexpr uint64_t kBirthsMax = 4096;

// `volume` of object `volume`
struct VolumeRecord {
    enum class State : uint8_t { making = 1, ready = 2 };  // making: format did not end
    State state = State::making;
    uint32_t format_version = 0;
    std::string uuid;
    Time created;
    uint32_t lease_seconds = 0;
    uint64_t features_ignore = 0, features_read_only = 0, features_refuse = 0;
    std::string data_pool;
    SnapContext snaps;
};
std::string encode(const VolumeRecord& record);
// A record of a newer version decodes as far as format_version and features: the caller refuses it.
Result<VolumeRecord> decode_volume(std::string_view value);

// `numbers` of object `volume`: what the next mount takes.
struct NumbersRecord {
    uint32_t next_session = 1;
    uint64_t next_group = 1;
};
std::string encode(const NumbersRecord& record);
Result<NumbersRecord> decode_numbers(std::string_view value);

// --- errors

// For logs and terminals: what is not printable ASCII, blanks, and backslashes, as \xNN.
std::string printable(std::string_view bytes);
// EIO that names the object and the key (escaped for a log), for a record that did not decode.
Error damaged(const ObjectName& object, std::string_view key, const Error& why);

// decode(value), with the place in the error.
template <class Decode>
auto decode_at(Decode decode, const ObjectName& object, std::string_view key, std::string_view value)
    -> decltype(decode(value)) {
    auto result = decode(value);
    if (!result.ok()) return damaged(object, key, result.error());
    return result;
}

}  // namespace meshfs
