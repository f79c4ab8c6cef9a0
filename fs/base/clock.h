// What time it is, and waiting for time to pass.
#pragma once

#include <cstdint>

#include "fs/base/types.h"

namespace meshfs {

class Clock {
public:
    virtual ~Clock() = default;
    // CLOCK_REALTIME: for file times.
    virtual Time now() = 0;
    // CLOCK_BOOTTIME, nanoseconds: for leases and deadlines; counts time spent suspended.
    virtual int64_t boot_ns() = 0;
    virtual void sleep_ns(int64_t ns) = 0;

    static Clock& system();
};

// Moves only when told.  sleep_ns moves it.  Any thread.
class ManualClock final : public Clock {
public:
    ManualClock();
    ~ManualClock() override;
    Time now() override;
    int64_t boot_ns() override;
    void sleep_ns(int64_t ns) override { advance_ns(ns); }
    void advance_ns(int64_t ns);

private:
    struct State;
    State* state_;
};

inline constexpr int64_t kNsPerSecond = 1'000'000'000;
inline constexpr int64_t kNsPerMs = 1'000'000;

}  // namespace meshfs
