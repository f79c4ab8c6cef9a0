// A pool for requests that never makes the reader wait.
//
// With a full queue a request is parked here, outside the pool, and goes in as soon as one ends.  What can be
// parked is bounded by the kernel: max_background, and one foreground request a waiting process.
#pragma once

#include <deque>

#include "fs/base/executor.h"
#include "fs/base/mutex.h"

namespace meshfs {

class Lane {
public:
    explicit Lane(Executor& executor) : executor_(executor) {}  // which outlives it
    void post(Executor::Task task);  // never blocks
    void drain();                    // returns when all that was posted has run; nothing may be posted any more
    size_t waiting();

private:
    void refill();
    Executor::Task counted(Executor::Task task);

    Executor& executor_;
    Mutex mutex_;
    CondVar idle_;
    std::deque<Executor::Task> parked_ GUARDED_BY(mutex_);
    size_t posted_ GUARDED_BY(mutex_) = 0;  // and not yet run
};

}  // namespace meshfs
