#include "fs/meta/purges.h"

namespace meshfs {

void Purges::put_cleared(Purgeable item) {
    MutexLock lock(mutex_);
    cleared_.push_back(std::move(item));
}

std::vector<Purgeable> Purges::take_cleared(size_t max) {
    MutexLock lock(mutex_);
    std::vector<Purgeable> taken;
    for (; !cleared_.empty() && taken.size() < max; cleared_.pop_front()) taken.push_back(std::move(cleared_.front()));
    return taken;
}

std::string Purges::token_of(const Place& place) { return place.first.name + "/" + place.second; }

Purges::Place Purges::place_of_token(const std::string& token) {
    auto end = token.find('/');  // no object of the metadata pool has one in its name
    return {{kMetaPool, token.substr(0, end)}, token.substr(end + 1)};
}

bool Purges::put_removed(const Purgeable& item) {
    MutexLock lock(mutex_);
    removed_.push_back({.place = place_of_token(item.token), .had_locks = (item.inode.flags & kHadLocks) != 0});
    return removed_.size() >= kRemovedMax;
}

void Purges::put_removed(Removed removed) {
    MutexLock lock(mutex_);
    removed_.push_back(std::move(removed));
}

std::vector<Purges::Removed> Purges::take_removed() {
    MutexLock lock(mutex_);
    return std::exchange(removed_, {});
}

}  // namespace meshfs
