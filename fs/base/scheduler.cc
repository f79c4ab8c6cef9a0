#include "fs/base/scheduler.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <semaphore>
#include <thread>

#include "fs/base/mutex.h"

namespace meshfs {

struct Scheduler::SimThread {
    enum class State : uint8_t { ready, waiting, ended };
    ThreadNumber number = 0;
    Group group = 0;
    std::string name;
    State state = State::ready;
    const void* waits_for = nullptr;   // a condition, a thread to join; null: only for time
    int64_t deadline_ns = INT64_MAX;   // while waiting
    bool was_notified = false;
    std::binary_semaphore token{0};
    std::thread thread;                // none: the one that called run()
};

namespace {

constexpr int64_t kStartNs = 1'000'000'000'000;
constexpr int64_t kMutexRetryNs = 10'000;

}  // namespace

Scheduler::Scheduler(uint64_t seed, uint64_t steps_max)
    : seed_(seed), steps_max_(steps_max), random_(seed), now_ns_(kStartNs) {}

Scheduler::~Scheduler() {
    for (auto& t : threads_)
        if (t->thread.joinable()) t->thread.join();
}

void Scheduler::run(const std::function<void()>& main) {
    auto first = std::make_unique<SimThread>();
    first->name = "main";
    threads_.push_back(std::move(first));
    current_ = this;
    self_ = threads_[0].get();
    main();
    for (auto& t : threads_)
        if (t.get() != self_ && t->state != SimThread::State::ended) give_up("main returned before a thread ended");
    self_->state = SimThread::State::ended;
    current_ = nullptr;
    self_ = nullptr;
}

Scheduler::ThreadNumber Scheduler::spawn(Group group, std::string name, std::function<void()> body) {
    auto owned = std::make_unique<SimThread>();
    SimThread* t = owned.get();
    t->number = static_cast<ThreadNumber>(threads_.size());
    t->group = group;
    t->name = std::move(name);
    threads_.push_back(std::move(owned));
    t->thread = std::thread([this, t, body = std::move(body)] {
        t->token.acquire();
        current_ = this;
        self_ = t;
        body();
        t->state = SimThread::State::ended;
        notify(t, true);
        pass();  // never comes back to this thread
    });
    return t->number;
}

bool Scheduler::join(ThreadNumber number) {
    SimThread* t = threads_.at(number).get();
    while (t->state != SimThread::State::ended) {
        if (is_dead(t->group) && !is_dead(self_->group)) return false;
        self_->state = SimThread::State::waiting;
        self_->waits_for = t;
        self_->deadline_ns = INT64_MAX;
        pass();
    }
    return true;
}

void Scheduler::yield() {
    if (running_event_ == nullptr) pass();  // an event is one step
}

void Scheduler::post(Group group, int64_t delay_ns, std::function<void()> event) {
    events_.emplace(now_ns_ + std::max<int64_t>(delay_ns, 0), Event{group, std::move(event)});
}

void Scheduler::sleep_until(int64_t boot_ns) {
    self_->state = SimThread::State::waiting;
    self_->waits_for = nullptr;
    self_->deadline_ns = boot_ns;
    pass();
}

bool Scheduler::wait(const void* condition, Mutex& mutex, int64_t deadline_ns) {
    if (running_event_ != nullptr) give_up("an event waits");
    SimThread& self = *self_;
    self.state = SimThread::State::waiting;
    self.waits_for = condition;
    self.deadline_ns = deadline_ns;
    self.was_notified = false;
    mutex.unlock();
    pass();
    bool was_notified = self.was_notified;
    mutex.lock();
    return was_notified || now_ns_ < deadline_ns;
}

void Scheduler::notify(const void* condition, bool all) {
    std::vector<SimThread*> waiting;
    for (auto& t : threads_)
        if (t->state == SimThread::State::waiting && t->waits_for == condition) waiting.push_back(t.get());
    if (waiting.empty()) return;
    if (!all) waiting = {waiting[random_.below(waiting.size())]};
    for (SimThread* t : waiting) {
        t->state = SimThread::State::ready;
        t->was_notified = true;
    }
}

// No one holds a mutex where it passes the token on, or this would be needed often.
void Scheduler::lock(std::mutex& mutex) {
    while (!mutex.try_lock()) {
        if (running_event_ != nullptr) give_up("an event waits for a mutex");
        sleep_until(now_ns_ + kMutexRetryNs);
    }
}

Scheduler::GroupState& Scheduler::state_of(Group group) {
    if (groups_.size() <= group) groups_.resize(group + 1);
    return groups_[group];
}

void Scheduler::kill(Group group) {
    state_of(group).is_dead = true;
    for (auto& t : threads_)
        if (t->group == group) notify(t.get(), true);  // who joins it
}

void Scheduler::revive(Group group) { state_of(group) = {}; }
void Scheduler::freeze(Group group, int64_t ns) { state_of(group).frozen_until_ns = now_ns_ + ns; }
bool Scheduler::is_dead(Group group) const { return group < groups_.size() && groups_[group].is_dead; }

Scheduler::Group Scheduler::group() const { return running_event_ != nullptr ? running_event_->group : self_->group; }

bool Scheduler::may_run(Group group) const {
    return group >= groups_.size() || (!groups_[group].is_dead && groups_[group].frozen_until_ns <= now_ns_);
}

// The earliest event that is due, if its group lives; events of the dead lie there until revive().
void Scheduler::run_event() {
    auto it = events_.begin();
    while (!may_run(it->second.group)) ++it;
    Event event = std::move(it->second);
    events_.erase(it);
    note(event.group + 1000);
    running_event_ = &event;
    event.run();
    running_event_ = nullptr;
}

void Scheduler::wake_those_due() {
    for (auto& t : threads_)
        if (t->state == SimThread::State::waiting && t->deadline_ns <= now_ns_) t->state = SimThread::State::ready;
}

// To the next moment at which anything can happen.
bool Scheduler::advance() {
    int64_t next_ns = INT64_MAX;
    auto when_may_run = [&](Group group, int64_t ns) {
        if (is_dead(group)) return INT64_MAX;
        return group < groups_.size() ? std::max(ns, groups_[group].frozen_until_ns) : ns;
    };
    for (auto& t : threads_) {
        if (t->state == SimThread::State::ended) continue;
        int64_t ns = t->state == SimThread::State::ready ? now_ns_ : t->deadline_ns;
        if (ns != INT64_MAX) next_ns = std::min(next_ns, when_may_run(t->group, ns));
    }
    for (const auto& [ns, event] : events_) {
        if (ns >= next_ns) break;
        next_ns = std::min(next_ns, when_may_run(event.group, ns));
    }
    if (next_ns == INT64_MAX) return false;
    now_ns_ = std::max(now_ns_, next_ns);
    return true;
}

// Draws who is next: an event runs here, another thread gets the token.
void Scheduler::pass() {
    SimThread* self = self_;
    std::vector<SimThread*> ready;
    while (true) {
        if (++steps_ > steps_max_) give_up("too many steps: nothing comes to an end");
        wake_those_due();
        ready.clear();
        for (auto& t : threads_)
            if (t->state == SimThread::State::ready && may_run(t->group)) ready.push_back(t.get());
        bool event_is_due = false;
        for (auto it = events_.begin(); it != events_.end() && it->first <= now_ns_ && !event_is_due; ++it)
            event_is_due = may_run(it->second.group);
        size_t choices = ready.size() + event_is_due;
        if (choices == 0) {
            bool all_ended = std::all_of(threads_.begin(), threads_.end(),
                                         [](auto& t) { return t->state == SimThread::State::ended; });
            if (all_ended) return;
            if (!advance()) give_up("nobody can ever run again");
            continue;
        }
        size_t choice = choices == 1 ? 0 : random_.below(choices);
        if (choice == ready.size()) {
            run_event();
            continue;
        }
        SimThread* next = ready[choice];
        note(next->number);
        if (next == self) return;
        const bool has_ended = self->state == SimThread::State::ended;  // with the token all else is the next one's
        next->token.release();
        if (!has_ended) self->token.acquire();
        return;
    }
}

void Scheduler::give_up(const char* why) const {
    std::fprintf(stderr, "simulation: seed %llu, step %llu, %.6f s: %s\n", static_cast<unsigned long long>(seed_),
                 static_cast<unsigned long long>(steps_), static_cast<double>(now_ns_ - kStartNs) / 1e9, why);
    for (const auto& t : threads_) {
        const char* state = t->state == SimThread::State::ready     ? "ready"
                            : t->state == SimThread::State::waiting ? "waiting"
                                                                    : "ended";
        std::fprintf(stderr, "  thread %u \"%s\" of group %u%s: %s\n", t->number, t->name.c_str(), t->group,
                     is_dead(t->group) ? " (dead)" : "", state);
    }
    std::fflush(stderr);
    std::abort();
}

}  // namespace meshfs
