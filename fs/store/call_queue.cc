#include "fs/store/call_queue.h"

namespace meshfs {

CallQueue::CallQueue(const std::string& thread_name) : thread_(thread_name, [this] { run(); }) {}
CallQueue::~CallQueue() { join(); }

int CallQueue::enter(uint64_t bytes) {
    MutexLock lock(mutex_);
    if (stopped_) return ESHUTDOWN;
    if (calls_ >= kCallsMax || (calls_ > 0 && bytes_ + bytes > kBytesInFlightMax)) return EAGAIN;
    ++calls_;
    bytes_ += bytes;
    return 0;
}

void CallQueue::leave(uint64_t bytes) {
    MutexLock lock(mutex_);
    --calls_;
    bytes_ -= bytes;
    if (calls_ == 0) changed_.notify_all();
}

void CallQueue::post(int64_t delay_ns, std::function<void()> run) {
    post_at(delay_ns <= 0 ? 0 : Clock::system().boot_ns() + delay_ns, std::move(run));
}

void CallQueue::post_at(int64_t boot_ns, std::function<void()> run) {
    MutexLock lock(mutex_);
    if (ended_) return;
    if (boot_ns == 0) queue_.push_back(std::move(run));
    else timers_.emplace(boot_ns, std::move(run));
    changed_.notify_all();
}

bool CallQueue::is_stopped() {
    MutexLock lock(mutex_);
    return stopped_;
}

void CallQueue::close() {
    MutexLock lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
}

void CallQueue::stop() {
    close();
    MutexLock lock(mutex_);
    while (!queue_.empty() || !timers_.empty() || busy_ || calls_ > 0) changed_.wait(mutex_);
}

void CallQueue::join() {
    stop();
    {
        MutexLock lock(mutex_);
        ended_ = true;
        changed_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
}

// A timer that is due, or any once stopped: whom it would tell must hear something.
bool CallQueue::take(std::function<void()>& run) {
    bool is_due = !timers_.empty() && (stopped_ || timers_.begin()->first <= Clock::system().boot_ns());
    if (is_due) {
        run = std::move(timers_.begin()->second);
        timers_.erase(timers_.begin());
    } else if (!queue_.empty()) {
        run = std::move(queue_.front());
        queue_.pop_front();
    } else {
        return false;
    }
    return true;
}

void CallQueue::run() {
    mutex_.lock();
    while (true) {
        std::function<void()> next;
        if (take(next)) {
            busy_ = true;
            mutex_.unlock();
            next();
            next = nullptr;  // what it holds goes before stop() returns
            mutex_.lock();
            busy_ = false;
            if (queue_.empty()) changed_.notify_all();
        } else if (ended_) {
            break;
        } else if (timers_.empty()) {
            changed_.wait(mutex_);
        } else {
            changed_.wait_until(mutex_, timers_.begin()->first);
        }
    }
    mutex_.unlock();
}

}  // namespace meshfs
