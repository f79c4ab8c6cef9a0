// flock and fcntl locks of this mount alone: of an embedded store, or with `nolock`.
#pragma once

#include <optional>
#include <unordered_map>

#include "fs/base/mutex.h"
#include "fs/base/result.h"
#include "fs/meta/lock_list.h"

namespace meshfs {

// Any thread; never blocks.  All locks are of one session.
class LockTable {
public:
    // EAGAIN: `conflict` has it.  Replaces what the owner had of the range (POSIX), or of the file (flock).
    Status lock(Ino ino, const FileLock& wanted, FileLock* conflict);
    std::optional<FileLock> test(Ino ino, const FileLock& wanted);
    void unlock(Ino ino, const FileLock& range);
    void unlock_owner(Ino ino, FileLock::Family family, uint64_t owner);

private:
    Mutex mutex_;
    std::unordered_map<uint64_t, LockList> locks_ GUARDED_BY(mutex_);
};

}  // namespace meshfs
