// flock and fcntl locks of this mount alone: of an embedded store, or with `nolock`.
#pragma once

#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

#include "fs/base/mutex.h"
#include "fs/meta/meta.h"

namespace meshfs {

// Any thread; never blocks.  FileLock::session is not looked at.
class LockTable {
public:
    // EAGAIN: `conflict` has it.  Replaces what the owner had of the range (POSIX), or of the file (flock).
    Status lock(Ino ino, const FileLock& wanted, FileLock* conflict);
    std::optional<FileLock> test(Ino ino, const FileLock& wanted);
    void unlock(Ino ino, const FileLock& range);
    void unlock_owner(Ino ino, FileLock::Family family, uint64_t owner);

private:
    std::optional<FileLock> find_conflict(Ino ino, const FileLock& wanted) REQUIRES(mutex_);
    void cut(Ino ino, const FileLock& range) REQUIRES(mutex_);
    Mutex mutex_;
    std::unordered_map<uint64_t, std::vector<FileLock>> locks_ GUARDED_BY(mutex_);
};

}  // namespace meshfs
