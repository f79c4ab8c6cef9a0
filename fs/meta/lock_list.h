// The locks of one file, and what fcntl(2) and flock(2) say a new one does to them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "fs/base/types.h"

namespace meshfs {

// A byte-range or whole-file lock of one owner.
struct FileLock {
    enum class Type : uint8_t { read = 1, write = 2 };
    enum class Family : uint8_t { posix = 1, flock = 2 };
    Family family = Family::posix;
    Type type = Type::read;
    SessionId session{};
    uint64_t owner = 0;
    uint32_t pid = 0;
    uint64_t first = 0, last = UINT64_MAX;  // inclusive
    bool operator==(const FileLock&) const = default;
};
using LockList = std::vector<FileLock>;

// A lock of somebody else that does not go with `wanted`: the first.
std::optional<FileLock> find_conflict(const LockList& locks, const FileLock& wanted);
// Without conflicts: replaces what its owner had of the range; neighbours of one kind become one.
void take_lock(LockList& locks, const FileLock& wanted);
// Takes the range out of what its owner has: a lock around it falls into two.
void drop_lock(LockList& locks, const FileLock& range);

}  // namespace meshfs
