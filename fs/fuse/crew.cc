#include "fs/fuse/crew.h"

#include <signal.h>

#include <utility>

#include "fs/base/waiting.h"
#include "fs/fuse/receive_buffer.h"

namespace meshfs {
namespace {

thread_local const Crew* t_reads_for = nullptr;
thread_local bool t_runs_task = false;

}  // namespace

Crew::Crew(size_t threads, ReadOne read_one) : threads_max_(threads), read_one_(std::move(read_one)) {
    for (size_t i = 0; i < threads; ++i) threads_.emplace_back("fuse", [this] { work(); });
}

Crew::~Crew() {
    {
        MutexLock lock(mutex_);
        is_ending_ = true;
        work_.notify_all();
    }
    for (auto& thread : threads_) thread.join();
}

void Crew::add_reader() {
    MutexLock lock(mutex_);
    ++to_read_;
    work_.notify_one();
}

void Crew::interrupt_readers(int signal) {
    MutexLock lock(mutex_);
    for (pthread_t reader : reading_) pthread_kill(reader, signal);
}

void Crew::post(Task task) {
    MutexLock lock(mutex_);
    queue_.push_back(std::move(task));
    work_.notify_one();
}

bool Crew::reserve() {
    MutexLock lock(mutex_);
    if (idle_ <= reserved_ + to_read_ + queue_.size()) return false;
    ++reserved_;
    return true;
}

void Crew::hand_over() {
    t_reads_for = nullptr;
    MutexLock lock(mutex_);
    reading_.erase(pthread_self());
    --reserved_;
    ++to_read_;
    work_.notify_one();
}

bool Crew::run_here(Task& task) {
    if (t_reads_for != this || t_runs_task || !reserve()) return false;
    t_runs_task = true;
    {
        OnWaiting on_waiting([this] { hand_over(); });
        std::exchange(task, nullptr)();
    }
    t_runs_task = false;
    if (t_reads_for != this) return true;
    MutexLock lock(mutex_);
    --reserved_;
    if (!queue_.empty()) work_.notify_one();
    return true;
}

void Crew::drain() {
    MutexLock lock(mutex_);
    while (idle_ < threads_max_ || !queue_.empty()) all_idle_.wait(mutex_);
}

size_t Crew::waiting() {
    MutexLock lock(mutex_);
    return queue_.size() + (threads_max_ - idle_ - reading_.size());
}

void Crew::read_on() {
    {
        MutexLock lock(mutex_);
        reading_.insert(pthread_self());
    }
    t_reads_for = this;
    ReceiveBuffer buffer;
    while (t_reads_for == this && read_one_(buffer)) {
    }
    if (t_reads_for != this) return;  // somebody else reads on
    t_reads_for = nullptr;
    MutexLock lock(mutex_);
    reading_.erase(pthread_self());
}

void Crew::work() {
    for (;;) {
        Task task;
        {
            MutexLock lock(mutex_);
            if (++idle_ == threads_max_) all_idle_.notify_all();
            while (to_read_ == 0 && (queue_.empty() || idle_ <= reserved_) && !(is_ending_ && queue_.empty()))
                work_.wait(mutex_);
            if (to_read_ > 0) {
                --to_read_;
            } else if (!queue_.empty()) {
                task = std::move(queue_.front());
                queue_.pop_front();
            } else {
                return;
            }
            --idle_;
        }
        task ? task() : read_on();
    }
}

}  // namespace meshfs
