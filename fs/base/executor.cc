#include "fs/base/executor.h"

#include <pthread.h>

namespace meshfs {

bool Gate::enter() {
    MutexLock lock(mutex_);
    if (closed_) return false;
    ++inside_;
    return true;
}

void Gate::leave() {
    MutexLock lock(mutex_);
    if (--inside_ == 0) empty_.notify_all();
}

void Gate::close() {
    MutexLock lock(mutex_);
    closed_ = true;
    while (inside_ > 0) empty_.wait(mutex_);
}

void Gate::open() {
    MutexLock lock(mutex_);
    closed_ = false;
}

Executor::Executor(std::string name, size_t threads, size_t queue_max) : queue_max_(queue_max) {
    for (size_t i = 0; i < threads; ++i) threads_.emplace_back(name, [this] { run(); });
}

Executor::~Executor() { stop(); }

bool Executor::try_post(Task task) {
    MutexLock lock(mutex_);
    if (stopped_ || queue_.size() >= queue_max_) return false;
    queue_.push_back(std::move(task));
    work_.notify_one();
    return true;
}

bool Executor::post(Task task) {
    MutexLock lock(mutex_);
    while (!stopped_ && queue_.size() >= queue_max_) room_.wait(mutex_);
    if (stopped_) return false;
    queue_.push_back(std::move(task));
    work_.notify_one();
    return true;
}

size_t Executor::queued() const {
    MutexLock lock(mutex_);
    return queue_.size();
}

void Executor::stop() {
    {
        MutexLock lock(mutex_);
        stopped_ = true;
        work_.notify_all();
        room_.notify_all();
    }
    for (auto& thread : threads_)
        if (thread.joinable()) thread.join();
}

void Executor::run() {
    while (true) {
        Task task;
        {
            MutexLock lock(mutex_);
            while (queue_.empty() && !stopped_) work_.wait(mutex_);
            if (queue_.empty()) return;
            task = std::move(queue_.front());
            queue_.pop_front();
            room_.notify_one();
        }
        task();
    }
}

void name_this_thread(const std::string& name) {
    pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
}

}  // namespace meshfs
