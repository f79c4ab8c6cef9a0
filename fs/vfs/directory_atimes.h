// When directories were listed, until it is written down: a while later, so that walks through a tree write nothing meanwhile,
// and what is removed after it was listed never does.  A lost atime is no loss.
//
// Threads: any.
#pragma once

#include <algorithm>
#include <iterator>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "fs/base/clock.h"
#include "fs/base/mutex.h"
#include "fs/base/types.h"

namespace meshfs {

class DirectoryAtimes {
public:
    using Noted = std::vector<std::pair<Ino, Time>>;
    static constexpr int64_t kAfterNs = 30 * kNsPerSecond;

    void note(Ino directory, Time atime, int64_t boot_ns) {
        MutexLock lock(mutex_);
        if (noted_.empty()) since_ = boot_ns;
        if (noted_.size() < kMax || noted_.contains(directory)) noted_[directory] = atime;
    }
    void forget(Ino directory) {
        MutexLock lock(mutex_);
        noted_.erase(directory);
    }
    std::optional<Time> of(Ino directory) {
        MutexLock lock(mutex_);
        auto found = noted_.find(directory);
        return found == noted_.end() ? std::nullopt : std::optional(found->second);
    }
    // To be written now: they stay noted until they are.  No more of them before put_away().
    Noted take_due(int64_t boot_ns) {
        MutexLock lock(mutex_);
        if (is_taken_ || noted_.empty() || boot_ns - since_ < kAfterNs) return {};
        since_ = boot_ns;
        is_taken_ = true;
        return {noted_.begin(), noted_.end()};
    }
    void put_away() {
        MutexLock lock(mutex_);
        is_taken_ = false;
    }
    Noted take_last() {  // at the end, a few
        constexpr size_t kLastMax = 1000;
        MutexLock lock(mutex_);
        return {noted_.begin(), std::next(noted_.begin(), static_cast<std::ptrdiff_t>(std::min(kLastMax, noted_.size())))};
    }
    void written(Ino directory, Time atime) {
        MutexLock lock(mutex_);
        auto found = noted_.find(directory);
        if (found != noted_.end() && found->second == atime) noted_.erase(found);
    }

private:
    static constexpr size_t kMax = 65'536;

    Mutex mutex_;
    std::unordered_map<Ino, Time> noted_ GUARDED_BY(mutex_);
    int64_t since_ GUARDED_BY(mutex_) = 0;
    bool is_taken_ GUARDED_BY(mutex_) = false;
};

}  // namespace meshfs
