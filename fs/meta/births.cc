#include "fs/meta/births.h"

#include <algorithm>

namespace meshfs {

Result<GroupId> Births::next(Session& session, Numbers& numbers) {
    uint64_t size;
    Numbers::Run run;
    {
        MutexLock lock(mutex_);
        for (;;) {
            auto open = runs_.find(open_);
            if (open != runs_.end() && open->second.given < open->second.count)
                return GroupId{open->first + open->second.given++};
            if (!is_recording_) break;
            recorded_.wait(mutex_);
        }
        is_recording_ = true;
        size = last_size_ == 0 ? kRunMin : std::min(last_size_ * 4, kRunMax);
        run = taken_;
    }
    Status status;
    if (run.count == 0) {
        auto taken = numbers.next_groups(size);
        if (taken.ok()) run = *taken;
        else status = taken.error();
    }
    if (status.ok())
        status = keys_.put(session, {{births_key(GroupId{run.first}), encode(BirthsRecord{run.count})}});
    MutexLock lock(mutex_);
    is_recording_ = false;
    recorded_.notify_all();
    taken_ = status.ok() ? Numbers::Run{} : run;
    TRY(status);
    last_size_ = size;
    open_ = run.first;
    runs_[open_] = {.count = run.count, .given = 1};
    return GroupId{run.first};
}

void Births::settled(GroupId group) {
    MutexLock lock(mutex_);
    auto run = runs_.upper_bound(raw(group));
    if (run == runs_.begin()) return;
    --run;
    if (++run->second.settled == run->second.count) drop(run);
}

void Births::drop(Runs::iterator run) {
    keys_.drop(births_key(GroupId{run->first}));
    runs_.erase(run);
}

void Births::close() {
    MutexLock lock(mutex_);
    open_ = UINT64_MAX;
    if (taken_.count > 0) keys_.drop(births_key(GroupId{taken_.first}));
    for (auto run = runs_.begin(); run != runs_.end();) {
        auto next = std::next(run);
        if (run->second.settled == run->second.given) drop(run);
        run = next;
    }
}

}  // namespace meshfs
