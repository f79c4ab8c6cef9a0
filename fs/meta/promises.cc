#include "fs/meta/promises.h"

#include <algorithm>

namespace meshfs {

void Promises::on_broken(Broken broken) {
    MutexLock lock(telling_mutex_);
    is_heard_ = broken != nullptr;
    broken_ = std::move(broken);
}

bool Promises::make(const std::string& group, Ino inode, uint64_t since) {
    if (!is_heard_) return false;
    MutexLock lock(mutex_);
    // let_go() raises it under this mutex: it comes before this and is seen, or after and breaks what is added.
    if (moment_ != since) return false;
    if (inodes_ >= kInodesMax) return false;
    if (groups_[group].insert(inode).second) ++inodes_;
    return true;
}

bool Promises::is_made(const std::string& group, Ino inode) {
    MutexLock lock(mutex_);
    auto found = groups_.find(group);
    return found != groups_.end() && found->second.contains(inode);
}

bool Promises::keep_names(const std::string& group, uint64_t since, int64_t until) {
    if (!is_heard_) return false;
    MutexLock lock(mutex_);
    if (moment_ != since) return false;
    auto found = names_until_.find(group);
    if (found == names_until_.end() && names_until_.size() >= kGroupsMax) return false;
    int64_t& kept = found == names_until_.end() ? names_until_[group] : found->second;
    kept = std::max(kept, until);
    last_until_ = std::max<int64_t>(last_until_, until);
    return true;
}

int64_t Promises::names_kept_until(const std::string& group) {
    if (!is_heard_ || last_until_ == 0) return 0;
    MutexLock lock(mutex_);
    auto found = names_until_.find(group);
    return found == names_until_.end() ? 0 : found->second;
}

void Promises::names_went(const std::string& from, const std::string& to) {
    if (last_until_ == 0) return;
    MutexLock lock(mutex_);
    auto found = names_until_.find(from);
    if (found == names_until_.end()) return;
    const int64_t until = found->second;
    int64_t& kept = names_until_[to];
    kept = std::max(kept, until);
}

void Promises::forget_names(int64_t before) {
    if (last_until_ == 0) return;
    MutexLock lock(mutex_);
    std::erase_if(names_until_, [before](const auto& kept) { return kept.second < before; });
    if (names_until_.empty()) last_until_ = 0;
}

void Promises::let_go(const std::string& group) {
    std::vector<Ino> inodes;
    {
        MutexLock lock(mutex_);
        ++moment_;
        auto found = groups_.find(group);
        if (found == groups_.end()) return;
        inodes.assign(found->second.begin(), found->second.end());
        inodes_ -= inodes.size();
        groups_.erase(found);
    }
    tell(inodes);
}

void Promises::break_all() {
    std::vector<Ino> inodes;
    {
        MutexLock lock(mutex_);
        ++moment_;
        if (groups_.empty()) return;
        for (const auto& [group, some] : groups_) inodes.insert(inodes.end(), some.begin(), some.end());
        inodes_ = 0;
        groups_.clear();
    }
    tell(inodes);
}

void Promises::tell(const std::vector<Ino>& inodes) {
    MutexLock lock(telling_mutex_);
    if (broken_) broken_(inodes);
}

}  // namespace meshfs
