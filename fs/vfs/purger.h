// Removes the bytes of what is dead, in the background: asks Meta what may go, Data to remove it, and says so.
#pragma once

#include <atomic>
#include <memory>

#include "fs/base/executor.h"
#include "fs/data/data.h"
#include "fs/meta/meta.h"

namespace meshfs {

class Purger {
public:
    Purger(Meta& meta, Data& data) : meta_(meta), data_(data) {}
    ~Purger() { stop(); }
    // Runs a round unless one is running.  Never blocks.
    void wake();
    void stop();  // ends after the file in work
    uint64_t waiting() const { return waiting_; }
    // All that may go now, on the calling thread; how many went.  For gc.  The first error ends it: what cannot be
    // removed stays queued.
    static Result<uint64_t> purge_all(Meta& meta, Data& data, const std::atomic<bool>* stopping = nullptr,
                                      std::atomic<uint64_t>* waiting = nullptr);

private:
    Meta& meta_;
    Data& data_;
    std::atomic<bool> is_running_{false}, stopping_{false};
    std::atomic<uint64_t> waiting_{0};
    Executor thread_{"purge", 1, 2};
};

}  // namespace meshfs
