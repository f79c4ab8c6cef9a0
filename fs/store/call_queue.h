// The completion thread of stores that have none of their own: a queue, timers, and what is in flight.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>

#include "fs/base/mutex.h"
#include "fs/base/thread.h"
#include "fs/store/memory_cluster.h"

namespace meshfs {

// Any thread.  What is posted without delay runs in the order it came.
class CallQueue final : public MemoryInbox {
public:
    explicit CallQueue(const std::string& thread_name);
    ~CallQueue() override;  // join()

    // A call that takes `bytes` of memory begins: 0, and leave() follows; or the errno that refuses it: ESHUTDOWN
    // after stop(), EAGAIN past the bounds of store.h.
    int enter(uint64_t bytes);
    void leave(uint64_t bytes);
    // After stop() nothing waits for its delay any more; after join() what is posted is dropped.
    void post(int64_t delay_ns, std::function<void()> run) override;
    // When the clock reaches boot_ns; those of one moment in the order they came.  0: as without delay.
    void post_at(int64_t boot_ns, std::function<void()> run);

    bool is_stopped() override;
    void close();  // only marks it stopped
    void stop();   // returns when nothing is queued or in flight any more; not from the thread
    void join();   // the thread has ended

private:
    bool take(std::function<void()>& run) REQUIRES(mutex_);
    void run();

    Mutex mutex_;
    CondVar changed_;
    std::deque<std::function<void()>> queue_ GUARDED_BY(mutex_);
    std::multimap<int64_t, std::function<void()>> timers_ GUARDED_BY(mutex_);  // by boot_ns
    size_t calls_ GUARDED_BY(mutex_) = 0;
    uint64_t bytes_ GUARDED_BY(mutex_) = 0;
    bool busy_ GUARDED_BY(mutex_) = false;
    bool stopped_ GUARDED_BY(mutex_) = false;
    bool ended_ GUARDED_BY(mutex_) = false;
    Thread thread_;  // last: it uses what is above
};

}  // namespace meshfs
