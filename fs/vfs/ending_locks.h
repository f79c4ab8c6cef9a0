// Locks of handles that were closed and are not released yet: to their programs they are gone, here they are
// still held.
//
// The kernel says so after close(2) has returned.  Whoever wants a lock meanwhile waits for that moment; and
// the next owner may be known by the same address, so that he, too, must not be taken for the first.
#pragma once

#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "fs/base/clock.h"
#include "fs/base/mutex.h"
#include "fs/base/types.h"

namespace meshfs {

// Any thread.
class EndingLocks {
public:
    using Owner = std::pair<bool, uint64_t>;  // is it flock, owner
    void enter(Ino ino, const std::set<Owner>& owners) {
        MutexLock lock(mutex_);
        for (const Owner& owner : owners) ++ending_[{ino, owner}];
    }
    void leave(Ino ino, const std::set<Owner>& owners) {
        MutexLock lock(mutex_);
        for (const Owner& owner : owners) {
            auto found = ending_.find({ino, owner});
            if (found != ending_.end() && --found->second == 0) ending_.erase(found);
        }
        left_.notify_all();
    }
    // Waits, for a second at most; false: it was not ending, or did not end.
    bool wait_for(Ino ino, const Owner& owner) {
        const int64_t until = Clock::system().boot_ns() + kNsPerSecond;
        MutexLock lock(mutex_);
        if (!ending_.contains({ino, owner})) return false;
        while (ending_.contains({ino, owner}))
            if (!left_.wait_until(mutex_, until)) return !ending_.contains({ino, owner});
        return true;
    }

private:
    Mutex mutex_;
    CondVar left_;
    std::map<std::pair<Ino, Owner>, int> ending_ GUARDED_BY(mutex_);  // how many handles
};

}  // namespace meshfs
