// The threads of a mount: a few read requests, the others are there for what has to wait.
//
// Who reads a request carries it out himself: what memory answers costs no other thread.  Before he waits, one of the
// others, who was reserved for it, reads on in his place; so there are always as many readers, none of whom waits.  With
// nobody left to reserve a request is queued, as is what shall not run here.  The queue is bounded by the kernel:
// max_background, and one foreground request a waiting process.
//
// Threads: any.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <deque>
#include <functional>
#include <set>
#include <vector>

#include "fs/base/executor.h"
#include "fs/base/mutex.h"
#include "fs/base/thread.h"

namespace meshfs {

class Crew {
public:
    using Task = Executor::Task;
    // Takes one request from the kernel and calls run_here() for it at most; false: there will be none any more.
    using ReadOne = std::function<bool(class ReceiveBuffer&)>;

    Crew(size_t threads, ReadOne read_one);
    ~Crew();  // nobody reads any more; runs what is queued

    // One thread more reads, and who takes its place, until read_one() is false.
    void add_reader();
    // Ends the read(2) of those that read, if it is in one.
    void interrupt_readers(int signal);

    // False: this thread does not read, or runs one already, or nobody can be reserved; the task is untouched.
    bool run_here(Task& task);
    void post(Task task);  // never blocks
    void run(Task task) {
        if (!run_here(task)) post(std::move(task));
    }
    void drain();  // returns when everybody is idle; nothing may be posted any more
    size_t waiting();  // tasks queued or running elsewhere than at their reader

private:
    void work();
    bool reserve();
    void hand_over();
    void read_on();

    const size_t threads_max_;
    const ReadOne read_one_;
    Mutex mutex_;
    CondVar work_, all_idle_;
    std::deque<Task> queue_ GUARDED_BY(mutex_);
    size_t idle_ GUARDED_BY(mutex_) = 0;
    size_t reserved_ GUARDED_BY(mutex_) = 0;  // of those that are idle, for readers that run a task
    size_t to_read_ GUARDED_BY(mutex_) = 0;   // and for reading, now
    std::set<pthread_t> reading_ GUARDED_BY(mutex_);
    bool is_ending_ GUARDED_BY(mutex_) = false;
    std::vector<Thread> threads_;
};

}  // namespace meshfs
