#include "fs/base/mutex.h"

#include <chrono>

#include "fs/base/clock.h"
#include "fs/base/scheduler.h"
#include "fs/base/waiting.h"

namespace meshfs {
namespace {

// What std::condition_variable asks for, of a mutex that its caller has and keeps.  (condition_variable_any would need none, but has
// a mutex of its own on the heap, and there are several in each open file.)
struct HeldLock {
    explicit HeldLock(std::mutex& mutex) : lock(mutex, std::adopt_lock) {}
    ~HeldLock() { lock.release(); }
    std::unique_lock<std::mutex> lock;
};

}  // namespace

void Mutex::lock_contended() {
    if (Scheduler* scheduler = Scheduler::current()) scheduler->lock(mutex_);
    else mutex_.lock();
}

void CondVar::wait(Mutex& mutex) {
    if (Scheduler* scheduler = Scheduler::current()) return scheduler->wait(this, mutex, INT64_MAX), void();
    before_waiting();
    HeldLock held(mutex.mutex_);
    waiting_.wait(held.lock);
}

bool CondVar::wait_until(Mutex& mutex, int64_t boot_ns) {
    if (Scheduler* scheduler = Scheduler::current()) return scheduler->wait(this, mutex, boot_ns);
    int64_t left_ns = boot_ns - Clock::system().boot_ns();
    if (left_ns <= 0) return false;
    before_waiting();
    HeldLock held(mutex.mutex_);
    waiting_.wait_for(held.lock, std::chrono::nanoseconds(left_ns));
    return Clock::system().boot_ns() < boot_ns;
}

void CondVar::notify_one() {
    if (Scheduler* scheduler = Scheduler::current()) scheduler->notify(this, false);
    else waiting_.notify_one();
}

void CondVar::notify_all() {
    if (Scheduler* scheduler = Scheduler::current()) scheduler->notify(this, true);
    else waiting_.notify_all();
}

}  // namespace meshfs
