// Bounded threads for blocking work, and the door that closes before they end.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "fs/base/mutex.h"
#include "fs/base/thread.h"

namespace meshfs {

// Refuses new work and waits for old.  Any thread.
class Gate {
public:
    bool enter();  // false: closed; else leave() follows
    void leave();
    void close();  // returns when all who entered have left; any number of times
    void open();   // as at first

private:
    Mutex mutex_;
    CondVar empty_;
    size_t inside_ GUARDED_BY(mutex_) = 0;
    bool closed_ GUARDED_BY(mutex_) = false;
};

// `threads` threads take tasks from a queue of at most `queue_max`, first come first served.
class Executor {
public:
    using Task = std::function<void()>;
    Executor(std::string name, size_t threads, size_t queue_max);
    ~Executor();  // stop()

    bool try_post(Task task);  // false: the queue is full or stopped; never blocks
    bool post(Task task);      // waits for room; false: stopped
    size_t queued() const;
    void stop();               // runs what is queued, then joins; not from a task

private:
    void run();
    const size_t queue_max_;
    mutable Mutex mutex_;
    CondVar work_, room_;
    std::deque<Task> queue_ GUARDED_BY(mutex_);
    bool stopped_ GUARDED_BY(mutex_) = false;
    std::vector<Thread> threads_;
};

// Names the calling thread for ps(1) and gdb(1); 15 bytes are kept.
void name_this_thread(const std::string& name);

}  // namespace meshfs
