#include "fs/meta/own_keys.h"

#include <utility>

namespace meshfs {
namespace {

constexpr size_t kDroppedAtOnce = 1024;

}  // namespace

Status OwnKeys::put(Session& session, std::vector<Key> keys) {
    std::vector<std::string> gone;
    {
        MutexLock lock(mutex_);
        while (is_writing_) written_.wait(mutex_);
        is_writing_ = true;
        for (const auto& [key, value] : keys) dropped_.erase(key);
        gone = take_due(kDroppedAtOnce);
    }
    Mutation change = session.own_change();
    if (!gone.empty()) change.remove_keys(gone);
    auto status = session.apply(std::move(change.set_keys(std::move(keys))));
    MutexLock lock(mutex_);
    if (!status.ok())
        for (auto& key : gone) dropped_.emplace(std::move(key), 0);
    is_writing_ = false;
    written_.notify_all();
    return status;
}

void OwnKeys::drop(std::string key) {
    uint64_t now = held_.answered();
    MutexLock lock(mutex_);
    dropped_[std::move(key)] = now;
}

std::vector<std::string> OwnKeys::take_due(size_t max) {
    std::vector<std::string> due;
    for (auto at = dropped_.begin(); at != dropped_.end() && due.size() < max;) {
        if (!held_.is_written_since(at->second)) {
            ++at;
            continue;
        }
        due.push_back(at->first);
        at = dropped_.erase(at);
    }
    return due;
}

std::vector<std::string> OwnKeys::take_dropped() {
    MutexLock lock(mutex_);
    return take_due(SIZE_MAX);
}

}  // namespace meshfs
