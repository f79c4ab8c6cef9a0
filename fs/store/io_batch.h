// Many transfers and mutations, bounded in flight, one wait.
#pragma once

#include <cstddef>

#include "fs/base/mutex.h"
#include "fs/store/store.h"

namespace meshfs {

// For one thread, which blocks in add() while `in_flight_max` are under way.
class IoBatch {
public:
    explicit IoBatch(Store& store, size_t in_flight_max = 16) : store_(store), max_(in_flight_max) {}
    ~IoBatch();  // waits
    IoBatch(const IoBatch&) = delete;
    IoBatch& operator=(const IoBatch&) = delete;

    // ok_codes: errnos that are no failure here (ENOENT for removals).
    void add(Mutation mutation, std::vector<int> ok_codes = {});
    // each: gets the answer, and judges it: it is no error of the batch.
    void add(Mutation mutation, Then<void> each);
    void add(Transfer transfer, Then<size_t> each = nullptr);
    Status wait();  // all have ended; the first error, if any

private:
    void begin();
    void end(const Status& status);
    Store& store_;
    const size_t max_;
    Mutex mutex_;
    CondVar changed_;
    size_t in_flight_ GUARDED_BY(mutex_) = 0;
    Status first_error_ GUARDED_BY(mutex_);
};

}  // namespace meshfs
