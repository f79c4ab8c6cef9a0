// Callers that wait for a lock (F_SETLKW), without a thread.
//
// A wait is tried again when a lock of its file is let go in this mount, when Meta tells that another mount did,
// and once each `commit` in case that word was lost.
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "fs/base/executor.h"
#include "fs/meta/meta.h"

namespace meshfs {

class LockWaits {
public:
    // attempt: takes the lock, or EAGAIN and who has it; may block.  watch: be told of the file's locks; may be null.
    using Attempt = std::function<Status(Ino, const FileLock&, FileLock* conflict)>;
    using Watch = std::function<void(Ino, std::function<void()> changed)>;
    LockWaits(Executor& workers, Attempt attempt, Watch watch)
        : workers_(workers), attempt_(std::move(attempt)), watch_(std::move(watch)) {}

    // done: called once, on a worker; EDEADLK: owners of this mount would wait for each other; EINTR: cancelled.
    void wait(uint64_t ticket, Ino ino, const FileLock& wanted, Then<void> done);
    void cancel(uint64_t ticket);
    void try_again(Ino ino);  // never blocks
    void begin_anew();        // with another session: files are watched anew
    void try_all_again();
    void stop();              // ends all waits with EINTR

private:
    struct Wait {
        uint64_t ticket;
        Ino ino;
        FileLock wanted;
        Then<void> done;
        FileLock blocked_by;
        bool is_tried = false, again = false, is_cancelled = false;
    };
    void attempt(const std::shared_ptr<Wait>& wait);
    bool closes_a_circle(const Wait& wait) REQUIRES(mutex_);

    Executor& workers_;
    const Attempt attempt_;
    const Watch watch_;
    Mutex mutex_;
    std::vector<std::shared_ptr<Wait>> waits_ GUARDED_BY(mutex_);  // oldest first
    std::unordered_map<uint64_t, bool> watched_ GUARDED_BY(mutex_);
};

}  // namespace meshfs
