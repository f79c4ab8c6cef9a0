// What this mount remembers of where things were: names of numbers, ranges of directories, slots of its own.
//
// Hints are never answers: whoever uses one checks it against what is read.  All are bounded.  Threads: any.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fs/base/mutex.h"
#include "fs/meta/format.h"

namespace meshfs {

// number -> the group and name it had when last seen.  A table where a newcomer takes its place's owner's.
class InoHints {
public:
    struct Hint {
        Ino ino{};
        GroupId group{};
        std::string name;
    };
    void put(Ino ino, GroupId group, std::string_view name);
    std::optional<Hint> find(Ino ino) const;
    void forget(Ino ino);

private:
    static constexpr size_t kEntries = 1u << 15;
    static size_t index_of(Ino ino) { return (raw(ino) * 0x9e3779b97f4a7c15u) >> 49; }
    mutable Mutex mutex_;
    std::vector<Hint> table_ GUARDED_BY(mutex_);  // kEntries once used
};

// The range map of a directory: first name -> group, without the header's own range.
using RangeMap = std::map<std::string, GroupId, std::less<>>;

class RangeMaps {
public:
    // The group that `name` was in; none: not known, ask the header.
    std::optional<GroupId> find(Ino directory, std::string_view name) const;
    std::optional<RangeMap> get(Ino directory) const;
    void put(Ino directory, RangeMap map);
    void forget(Ino directory);

private:
    static constexpr size_t kRangesMax = 1u << 18;  // of all directories; past it all are forgotten
    mutable Mutex mutex_;
    std::unordered_map<uint64_t, RangeMap> maps_ GUARDED_BY(mutex_);
    size_t ranges_ GUARDED_BY(mutex_) = 0;
};

// What the ranges of large directories added up to when last asked, for a second.
class RangeSums {
public:
    static constexpr int64_t kKeptNs = 1'000'000'000;
    std::optional<Sum> find(Ino directory, int64_t boot_ns) const;
    void put(Ino directory, const Sum& sum, int64_t boot_ns);
    void forget(Ino directory);  // after an own change

private:
    static constexpr size_t kDirectoriesMax = 1024;
    struct Entry {
        Sum sum;
        int64_t at = 0;
    };
    mutable Mutex mutex_;
    std::unordered_map<uint64_t, Entry> sums_ GUARDED_BY(mutex_);
};

// Records u<...> that this session wrote or found, until they are purged.  What does not fit is gc's to find.
class UnlinkedQueue {
public:
    struct Item {
        ObjectName object;
        std::string key;
        int64_t since_ns = 0;  // by boot_ns(): when it was pushed first; 0: now
        int64_t due_ns = 0;    // not to be looked at before
    };
    void push(Item item);
    std::vector<Item> take(size_t max, int64_t now_ns);  // those that are due, the longest due first
    size_t size() const;

private:
    static constexpr size_t kItemsMax = 1u << 20;
    mutable Mutex mutex_;
    std::multimap<int64_t, Item> items_ GUARDED_BY(mutex_);  // by due_ns
};

// Slots that this session reserved and has not used.  A number taken is never given out again, so losing
// them (bounds, death) only leaves holes.
class SlotReserve {
public:
    // In one mutation; few where groups are small, since a group's names are counted once a reservation.
    static constexpr uint32_t kAtOnceMax = 64;
    std::optional<Slot> take(GroupId group);
    void give(GroupId group, std::vector<Slot> slots);

private:
    static constexpr size_t kGroupsMax = 4096;
    Mutex mutex_;
    std::unordered_map<uint64_t, std::vector<Slot>> free_ GUARDED_BY(mutex_);  // used from the back
};

// Lanes of this session in groups: a mutation holds one, so that its number is consumed by it alone.
class Lanes {
public:
    static constexpr unsigned kLanes = 64;
    uint8_t acquire(const std::string& object);  // the lowest free one; waits
    void release(const std::string& object, uint8_t lane);
    uint64_t next_number();                      // of a try; unique in this session

private:
    Mutex mutex_;
    CondVar released_;
    std::unordered_map<std::string, uint64_t> busy_ GUARDED_BY(mutex_);  // bit: lane
    uint64_t last_number_ GUARDED_BY(mutex_) = 0;
};

}  // namespace meshfs
