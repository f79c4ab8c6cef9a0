#include "fs/base/clock.h"

#include <atomic>
#include <cerrno>
#include <ctime>

#include "fs/base/scheduler.h"
#include "fs/base/waiting.h"

namespace meshfs {
namespace {

Time simulated_time(int64_t boot_ns) {
    return {1'600'000'000 + boot_ns / kNsPerSecond, static_cast<uint32_t>(boot_ns % kNsPerSecond)};
}

// On simulated threads it shows simulated time.
class SystemClock final : public Clock {
public:
    Time now() override {
        if (Scheduler* scheduler = Scheduler::current()) return simulated_time(scheduler->boot_ns());
        timespec t{};
        clock_gettime(CLOCK_REALTIME, &t);
        return {t.tv_sec, static_cast<uint32_t>(t.tv_nsec)};
    }
    int64_t boot_ns() override {
        if (Scheduler* scheduler = Scheduler::current()) return scheduler->boot_ns();
        timespec t{};
        clock_gettime(CLOCK_BOOTTIME, &t);
        return t.tv_sec * kNsPerSecond + t.tv_nsec;
    }
    void sleep_ns(int64_t ns) override {
        if (Scheduler* scheduler = Scheduler::current()) return scheduler->sleep_until(scheduler->boot_ns() + ns);
        before_waiting();
        timespec left{ns / kNsPerSecond, ns % kNsPerSecond};
        while (nanosleep(&left, &left) != 0 && errno == EINTR) {
        }
    }
};

}  // namespace

Clock& Clock::system() {
    static SystemClock clock;
    return clock;
}

struct ManualClock::State {
    std::atomic<int64_t> boot_ns{1'000 * kNsPerSecond};
};
ManualClock::ManualClock() : state_(new State) {}
ManualClock::~ManualClock() { delete state_; }
Time ManualClock::now() { return simulated_time(boot_ns()); }
int64_t ManualClock::boot_ns() { return state_->boot_ns.load(); }
void ManualClock::advance_ns(int64_t ns) { state_->boot_ns.fetch_add(ns); }

}  // namespace meshfs
