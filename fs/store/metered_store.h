// A store around another that counts what is asked of it: "store operations per 1,000 creates" in tests,
// `status` and metrics in a mount.
#pragma once

#include <array>
#include <atomic>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fs/store/forwarding_store.h"

namespace meshfs {

// What happened so far to one kind of call on one pool.
struct StoreCount {
    enum class Kind : uint8_t { mutation, query, read, write, notify };
    Kind kind;
    Pool pool;                   // kPoolsMetered - 1 stands for all pools from there
    uint64_t calls = 0;          // answered
    uint64_t bytes = 0;          // written, or read
    uint64_t refused = 0;        // a guard failed or the object was missing: EEXIST, ENOENT, ECANCELED
    uint64_t errors = 0;         // all others
    uint64_t total_us = 0;       // of all calls together
    std::array<uint64_t, 28> histogram{};  // [i]: calls that took less than 2^i microseconds, but not 2^(i-1)
    // The time that `share` (0 .. 1) of the calls did not pass, to the next power of two; 0 if there are none.
    uint64_t quantile_us(double share) const;
};
const char* name_of(StoreCount::Kind kind);

struct StoreCounts {
    std::vector<StoreCount> counts;  // only those with calls
    // Calls of a kind on all pools.
    uint64_t calls(StoreCount::Kind kind) const;
    uint64_t all_calls() const;
};

inline constexpr Pool kPoolsMetered = 8;

// A call that has no answer yet.
struct StoreWait {
    StoreCount::Kind kind;
    ObjectName object;
    int64_t began_ns = 0;  // CLOCK_BOOTTIME
};

// Any thread.  Adds two clock readings, two short locks and some atomic additions to a call.
class MeteredStore final : public ForwardingStore {
public:
    explicit MeteredStore(std::unique_ptr<Store> inner);
    ~MeteredStore() override;

    StoreCounts counts() const;  // since it was made
    struct Waiting {
        size_t calls = 0;                  // without an answer
        std::optional<StoreWait> longest;
    };
    Waiting waiting() const;
    Store& inner() { return inner_; }

    void start(Mutation, Then<void>) override;
    void start(Query, Then<Answer>) override;
    void start(Transfer, Then<size_t>) override;
    Status apply(Mutation) override;
    Result<Answer> ask(Query) override;
    Result<size_t> transfer(Transfer) override;
    void notify(ObjectName, Buffer message, int seconds_max, Then<Acks>) override;

private:
    struct Counter;
    class Watch;
    Watch watch(StoreCount::Kind kind, const ObjectName& object);
    std::unique_ptr<Counter[]> counters_;  // kind * kPoolsMetered + pool
    mutable Mutex mutex_;
    std::list<StoreWait> waiting_ GUARDED_BY(mutex_);  // in order of start
};

}  // namespace meshfs
