#include "fs/meta/promises.h"

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
