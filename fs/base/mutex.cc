#include "fs/base/mutex.h"

#include <chrono>

#include "fs/base/clock.h"

namespace meshfs {

void CondVar::wait(Mutex& mutex) { waiting_.wait(mutex.mutex_); }

bool CondVar::wait_until(Mutex& mutex, int64_t boot_ns) {
    int64_t left_ns = boot_ns - Clock::system().boot_ns();
    if (left_ns <= 0) return false;
    waiting_.wait_for(mutex.mutex_, std::chrono::nanoseconds(left_ns));
    return Clock::system().boot_ns() < boot_ns;
}

void CondVar::notify_one() { waiting_.notify_one(); }
void CondVar::notify_all() { waiting_.notify_all(); }

}  // namespace meshfs
