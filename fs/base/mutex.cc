#include "fs/base/mutex.h"

#include <chrono>

#include "fs/base/clock.h"
#include "fs/base/scheduler.h"
#include "fs/base/waiting.h"

namespace meshfs {

void Mutex::lock_contended() {
    if (Scheduler* scheduler = Scheduler::current()) scheduler->lock(mutex_);
    else mutex_.lock();
}

void CondVar::wait(Mutex& mutex) {
    if (Scheduler* scheduler = Scheduler::current()) scheduler->wait(this, mutex, INT64_MAX);
    else before_waiting(), waiting_.wait(mutex.mutex_);
}

bool CondVar::wait_until(Mutex& mutex, int64_t boot_ns) {
    if (Scheduler* scheduler = Scheduler::current()) return scheduler->wait(this, mutex, boot_ns);
    int64_t left_ns = boot_ns - Clock::system().boot_ns();
    if (left_ns <= 0) return false;
    before_waiting();
    waiting_.wait_for(mutex.mutex_, std::chrono::nanoseconds(left_ns));
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
