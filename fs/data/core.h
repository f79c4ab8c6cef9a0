// What the files of one mount share: the store, the bounds, who is told to flush.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <set>

#include "fs/base/mutex.h"
#include "fs/data/data.h"

namespace meshfs {

// Bytes accepted and not stored are bounded by `dirty_bytes_max`: past half of it the answers to writers are held
// back and given as fast as bytes reach the store, first come first served.
class Budget {
public:
    Budget(Clock& clock, uint64_t dirty_bytes_max) : clock_(clock), max_(dirty_bytes_max) {}
    void count(uint64_t bytes);  // as dirty
    // Calls `then`, the answer to a write of so many bytes, now or when there is room: once they are where a flush
    // finds them, for the next thing its caller does may be fsync.
    void answer(uint64_t bytes, std::function<void()> then);
    void drop(uint64_t bytes);    // overwritten before they were stored
    void stored(uint64_t bytes);
    uint64_t dirty() const;
    bool is_short() const { return dirty() > max_ / 2; }
    uint64_t max() const { return max_; }
    void set_max(uint64_t dirty_bytes_max);

private:
    void release(uint64_t bytes);
    struct Waiting {
        uint64_t bytes;
        std::function<void()> then;
    };
    Clock& clock_;
    std::atomic<uint64_t> max_;
    mutable Mutex mutex_;
    uint64_t dirty_ GUARDED_BY(mutex_) = 0;
    std::deque<Waiting> waiting_ GUARDED_BY(mutex_);
};

class Data::Core {
public:
    Core(Store& store_in, Clock& clock_in, DataSettings settings_in, DataHooks hooks_in)
        : store(store_in), clock(clock_in), settings(settings_in), hooks(std::move(hooks_in)),
          budget(clock, settings.dirty_bytes_max) {}
    Store& store;
    Clock& clock;
    const DataSettings settings;
    const DataHooks hooks;
    Budget budget;

    // The objects first .. end - 1 of a blob that may exist: all of them, or, of a sparse file so large that asking each
    // would not end, those that a listing of the pool finds.
    Status visit_objects(const Layout& layout, BlobId blob, uint64_t first, uint64_t end,
                         const std::function<void(uint64_t index)>& visit);
};

inline constexpr uint64_t kFlushBytes = 16u << 20;   // a file with so many dirty bytes is flushed at once
inline constexpr uint64_t kReachAhead = 256;         // objects recorded before they exist
inline constexpr uint64_t kVisitMax = 1u << 20;      // objects asked one by one; beyond, the pool is listed

}  // namespace meshfs
