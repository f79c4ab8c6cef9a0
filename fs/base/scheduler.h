// Deterministic simulation: threads that run one at a time, in an order drawn from a seed, in a time that
// only passes when nobody can run.  The same seed gives the same run, to the last step.
//
// The thread that holds the token runs.  It passes it on where it waits (CondVar, Clock, a contended Mutex,
// Thread::join) and where it is told to (yield: each store call).  Ordinary threads know nothing of this: they
// pay one look at a thread-local pointer where they would wait anyway.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "fs/base/mutex.h"
#include "fs/base/random.h"

namespace meshfs {

// All calls but run() and current(): on a simulated thread of this scheduler, or in an event.
class Scheduler {
public:
    // What dies and freezes together: the threads and events of one client.  Group 0 is the judge.
    using Group = uint32_t;

    // Ends the process, with a line that names the seed, after steps_max steps or if nobody can ever run again.
    explicit Scheduler(uint64_t seed, uint64_t steps_max = 5'000'000);
    ~Scheduler();
    Scheduler(const Scheduler&) = delete;
    Scheduler& operator=(const Scheduler&) = delete;

    // The scheduler of the calling thread; null on ordinary threads.
    static Scheduler* current() { return current_; }

    // The calling thread is the first simulated one, of group 0, until `main` returns; by then all others must
    // have ended.  Once.
    void run(const std::function<void()>& main);

    using ThreadNumber = uint32_t;
    ThreadNumber spawn(Group group, std::string name, std::function<void()> body);
    // False: its group is dead, so it will not end before revive().
    bool join(ThreadNumber thread);

    // Lets others run; may return at once.
    void yield();
    // Runs it once, after that time, on whichever thread holds the token then: it must not wait.
    void post(Group group, int64_t delay_ns, std::function<void()> event);
    void sleep_until(int64_t boot_ns);
    int64_t boot_ns() const { return now_ns_; }

    // For CondVar and Mutex.  False: the time has come and nobody notified.
    bool wait(const void* condition, Mutex& mutex, int64_t deadline_ns) REQUIRES(mutex);
    void notify(const void* condition, bool all);
    void lock(std::mutex& mutex);

    // Its threads and events stop where they are: for ever, or until revive(), or for that time.
    void kill(Group group);
    void revive(Group group);
    void freeze(Group group, int64_t ns);
    bool is_dead(Group group) const;
    Group group() const;  // of the running thread or event

    Random& random() { return random_; }
    uint64_t seed() const { return seed_; }
    uint64_t steps() const { return steps_; }
    // Of every decision so far, and of what was given to note().
    uint64_t trace() const { return trace_; }
    void note(uint64_t what) { trace_ = (trace_ ^ what) * 0x100000001b3; }

private:
    struct SimThread;
    struct Event {
        Group group;
        std::function<void()> run;
    };
    struct GroupState {
        bool is_dead = false;
        int64_t frozen_until_ns = 0;
    };

    bool may_run(Group group) const;
    void pass();
    void wake_those_due();
    bool advance();
    void run_event();
    [[noreturn]] void give_up(const char* why) const;
    GroupState& state_of(Group group);

    static inline constinit thread_local Scheduler* current_ = nullptr;
    static inline constinit thread_local SimThread* self_ = nullptr;
    // All below belongs to who holds the token.
    const uint64_t seed_;
    const uint64_t steps_max_;
    Random random_;
    uint64_t steps_ = 0, trace_ = 0xcbf29ce484222325;
    int64_t now_ns_;
    std::vector<std::unique_ptr<SimThread>> threads_;
    std::multimap<int64_t, Event> events_;  // by time; those of one moment in the order they came
    std::vector<GroupState> groups_;
    const Event* running_event_ = nullptr;
};

}  // namespace meshfs
