#include "fs/base/thread.h"

#include <exception>
#include <utility>

#include "fs/base/executor.h"
#include "fs/base/scheduler.h"

namespace meshfs {

Thread::Thread(std::string name, std::function<void()> body) {
    if (Scheduler* scheduler = Scheduler::current()) {
        simulated_ = scheduler->spawn(scheduler->group(), std::move(name), std::move(body));
        return;
    }
    thread_ = std::thread([name = std::move(name), body = std::move(body)] {
        name_this_thread(name);
        body();
    });
}

Thread& Thread::operator=(Thread&& other) noexcept {
    if (joinable()) std::terminate();
    thread_ = std::move(other.thread_);
    simulated_ = std::exchange(other.simulated_, 0);
    return *this;
}

Thread::~Thread() {
    if (simulated_ != 0) std::terminate();
}

void Thread::join() {
    if (simulated_ == 0) return thread_.join();
    // A thread of a dead group ends when the group is reaped; its owner waits like it.
    Scheduler::current()->join(simulated_);
    simulated_ = 0;
}

}  // namespace meshfs
