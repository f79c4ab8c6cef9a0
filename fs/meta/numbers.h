// Numbers that are given out once: sessions and groups, from the object `volume`.
#pragma once

#include <memory>

#include "fs/base/clock.h"
#include "fs/base/mutex.h"
#include "fs/meta/format.h"

namespace meshfs {

// A session's number and its block of groups: 4,096 at first, then 16 times more each time, up to 2^20.
// Threads: any; next_groups blocks on the store once a block.
class Numbers {
public:
    // Takes a session number and a block in one guarded mutation.
    static Result<std::unique_ptr<Numbers>> take(Store& store, Clock& clock);

    SessionId session() const { return session_; }
    // At most `max` numbers, one after the other.
    struct Run {
        uint64_t first = 0, count = 0;
    };
    Result<Run> next_groups(uint64_t max);
    // The block in use: groups below `next` may exist, those of [next, end) do not.
    struct Block {
        uint64_t first = 0, next = 0, end = 0;
    };
    Block block();

private:
    Numbers(Store& store, Clock& clock, SessionId session, Block block)
        : store_(store), clock_(clock), session_(session), block_(block) {}
    Run take_run(uint64_t max) REQUIRES(mutex_);

    Store& store_;
    Clock& clock_;
    const SessionId session_;
    Mutex mutex_;
    CondVar refilled_;
    bool refilling_ GUARDED_BY(mutex_) = false;
    Block block_ GUARDED_BY(mutex_);
    uint64_t last_size_ GUARDED_BY(mutex_) = kFirstBlock;
    static constexpr uint64_t kFirstBlock = 4096, kBlockMax = uint64_t{1} << 20;
};

}  // namespace meshfs
