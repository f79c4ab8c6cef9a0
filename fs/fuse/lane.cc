#include "fs/fuse/lane.h"

#include <memory>
#include <utility>

namespace meshfs {

Executor::Task Lane::counted(Executor::Task task) {
    // Shared with the copy that try_post() takes: a refused task must not be lost, and copying it could be dear.
    return [this, held = std::make_shared<Executor::Task>(std::move(task))] {
        (*held)();
        *held = nullptr;
        refill();
        MutexLock lock(mutex_);
        if (--posted_ == 0) idle_.notify_all();
    };
}

void Lane::post(Executor::Task task) {
    {
        MutexLock lock(mutex_);
        ++posted_;
        parked_.push_back(counted(std::move(task)));
    }
    refill();
}

void Lane::refill() {
    MutexLock lock(mutex_);
    while (!parked_.empty() && executor_.try_post(parked_.front())) parked_.pop_front();
}

void Lane::drain() {
    MutexLock lock(mutex_);
    while (posted_ > 0) idle_.wait(mutex_);
}

size_t Lane::waiting() {
    MutexLock lock(mutex_);
    return posted_;
}

}  // namespace meshfs
