// Whether anybody else uses the volume.
//
// Only a hint, and nobody is judged: who is there and silent from one look to the next is taken for dead.  Who has come since is
// heard of when he wants something, or looks for himself.
#pragma once

#include <cstdint>
#include <map>

#include "fs/base/thread.h"
#include "fs/meta/format.h"

namespace meshfs {

class MetaCore;

class Alone {
public:
    explicit Alone(MetaCore& core) : core_(core) {}
    ~Alone() { stop(); }

    void start();  // looks on a thread of its own, which waits for the store and keeps nobody waiting
    void stop();
    // At once, then, as long as there are others, ever more seldom.  One thread at a time.
    void look();

private:
    bool is_anybody_there();
    void run();

    MetaCore& core_;
    int64_t next_ = 0, pause_ = 0;          // by boot_ns()
    std::map<SessionId, uint64_t> beats_;   // of others, when they were looked at last
    Mutex mutex_;
    CondVar ends_;
    bool is_ending_ GUARDED_BY(mutex_) = false;
    Thread thread_;
};

}  // namespace meshfs
