// Numbers for groups that are made before they have a name: on record in s.<session> before the group can be
// there, so that gc finds what a mount made and died before it named it.
//
// A key records a run of 16 numbers, the next ones of 64 and 256; it goes when all of its groups have their
// names.  So the record of a mount that makes directories all the time stays short, and costs a store call
// for each 256 of them.
#pragma once

#include <map>

#include "fs/base/mutex.h"
#include "fs/meta/numbers.h"
#include "fs/meta/own_keys.h"

namespace meshfs {

// Threads: any.
class Births {
public:
    explicit Births(OwnKeys& keys) : keys_(keys) {}
    // Blocks, for a new run.
    Result<GroupId> next(Session& session, Numbers& numbers);
    // It has its name, or is not there and never will be.  Of whose fate is not known this is not said: gc
    // asks, after this session.
    void settled(GroupId group);
    // At the session's end: no more are given.
    void close();

private:
    static constexpr uint64_t kRunMin = 16, kRunMax = 256;
    struct Run {
        uint64_t count = 0, given = 0, settled = 0;
    };
    using Runs = std::map<uint64_t, Run>;  // by the first number
    void drop(Runs::iterator run) REQUIRES(mutex_);

    OwnKeys& keys_;
    Mutex mutex_;
    CondVar recorded_;
    bool is_recording_ GUARDED_BY(mutex_) = false;
    uint64_t last_size_ GUARDED_BY(mutex_) = 0;
    uint64_t open_ GUARDED_BY(mutex_) = UINT64_MAX;  // the run of which numbers are given
    Runs runs_ GUARDED_BY(mutex_);                   // on record
    Numbers::Run taken_ GUARDED_BY(mutex_);          // not on record, as far as is known; none: count 0
};

}  // namespace meshfs
