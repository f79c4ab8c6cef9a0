#include "fs/meta/look_ahead.h"

#include <algorithm>

namespace meshfs {

void LookAhead::listed(Ino directory, const std::vector<Ino>& directories_in_it) {
    MutexLock lock(mutex_);
    if (directories_in_it.empty()) {
        auto found = walks_.find(directory);
        if (found != walks_.end() && found->second.next.empty() && found->second.ahead.empty()) walks_.erase(found);
        return;
    }
    if (parents_.size() + directories_in_it.size() > kKnownMax || walks_.size() >= kWalksMax) {
        walks_.clear();
        parents_.clear();
    }
    if (directories_in_it.size() > kKnownMax) return;
    Walk& walk = walks_[directory];
    for (Ino child : directories_in_it)
        if (parents_.emplace(child, directory).second) walk.next.push_back(child);
    advance(walk);
}

void LookAhead::opened(Ino directory) {
    MutexLock lock(mutex_);
    auto known = parents_.find(directory);
    if (known == parents_.end()) return;
    const Ino parent = known->second;
    parents_.erase(known);
    auto found = walks_.find(parent);
    if (found == walks_.end()) return;
    Walk& walk = found->second;
    walk.ahead.erase(directory);
    walk.window = std::clamp(2 * walk.window, kWindowMin, kWindowMax);
    advance(walk);
    const size_t window = walk.window;
    if (walk.next.empty() && walk.ahead.empty()) walks_.erase(found);
    walks_[directory].window = window;  // of what will be found in it
}

void LookAhead::advance(Walk& walk) {
    while (walk.ahead.size() < walk.window && !walk.next.empty()) {
        const Ino next = walk.next.front();
        walk.next.pop_front();
        if (!parents_.contains(next)) continue;  // it was opened already
        if (is_stopped_) return;
        if (!threads_) threads_ = std::make_unique<Executor>("look ahead", kThreads, kKnownMax);
        if (!threads_->try_post([this, next] {
            if (!is_stopped_) read_(next);
        })) return;
        walk.ahead.insert(next);
    }
}

void LookAhead::stop() {
    std::unique_ptr<Executor> threads;
    {
        MutexLock lock(mutex_);
        is_stopped_ = true;
        threads = std::move(threads_);
        walks_.clear();
    }
    if (threads) threads->stop();
}

}  // namespace meshfs
