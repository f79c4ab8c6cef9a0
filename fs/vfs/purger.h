// Removes the bytes of what is dead, in the background: asks Meta what may go, Data to remove it, and says so.
#pragma once

#include <atomic>
#include <map>
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
    // tried again later; the first error is returned at the end.  dead: gets what of packs went.
    struct DeadMembers {
        std::map<BlobId, std::set<uint64_t>> packs;  // the offsets in each
        size_t members = 0;
        void add(const Extent& packed);
    };
    static Result<uint64_t> purge_all(Meta& meta, Data& data, const std::atomic<bool>* stopping = nullptr,
                                      std::atomic<uint64_t>* waiting = nullptr, DeadMembers* dead = nullptr);

private:
    void remove_dead_packs();

    static constexpr size_t kPacksMax = 1024, kMembersMax = 65'536;  // past it gc finds them, or their inodes are asked
    Store& store_;
    Meta& meta_;
    Data& data_;
    std::atomic<bool> is_running_{false}, stopping_{false};
    std::atomic<uint64_t> waiting_{0};
    DeadMembers dead_;  // of packs that are not removed; of the round in work
    Executor thread_{"purge", 1, 2};
};

}  // namespace meshfs
