// Removes the bytes of what is dead, in the background: asks Meta what may go, Data to remove it, and says so.
#pragma once

#include <atomic>
#include <memory>
#include <set>

#include "fs/base/executor.h"
#include "fs/data/data.h"
#include "fs/meta/meta.h"

namespace meshfs {

class Purger {
public:
    Purger(Store& store, Meta& meta, Data& data) : store_(store), meta_(meta), data_(data) {}
    ~Purger() { stop(); }
    // Runs a round unless one is running.  Never blocks.
    void wake();
    void stop();  // ends after the file in work
    uint64_t waiting() const { return waiting_; }
    // All that may go now, on the calling thread; how many went.  For gc.  What cannot be removed keeps nothing else and is
    // tried again later; the first error is returned at the end.  packs: gets those of which something went.
    static Result<uint64_t> purge_all(Meta& meta, Data& data, const std::atomic<bool>* stopping = nullptr,
                                      std::atomic<uint64_t>* waiting = nullptr, std::set<BlobId>* packs = nullptr);

private:
    void remove_dead_packs();

    static constexpr size_t kPacksMax = 1024;  // past it gc finds them
    Store& store_;
    Meta& meta_;
    Data& data_;
    std::atomic<bool> is_running_{false}, stopping_{false};
    std::atomic<uint64_t> waiting_{0};
    std::set<BlobId> packs_;  // of the round in work: of which something went, and which are not removed
    Executor thread_{"purge", 1, 2};
};

}  // namespace meshfs
