#include "fs/vfs/lock_table.h"

namespace meshfs {

Status LockTable::lock(Ino ino, const FileLock& wanted, FileLock* conflict) {
    MutexLock lock(mutex_);
    LockList& locks = locks_[raw(ino)];
    if (auto held = find_conflict(locks, wanted)) {
        if (conflict != nullptr) *conflict = *held;
        return fail(EAGAIN);
    }
    take_lock(locks, wanted);
    return {};
}

std::optional<FileLock> LockTable::test(Ino ino, const FileLock& wanted) {
    MutexLock lock(mutex_);
    auto at = locks_.find(raw(ino));
    return at == locks_.end() ? std::nullopt : find_conflict(at->second, wanted);
}

void LockTable::unlock(Ino ino, const FileLock& range) {
    MutexLock lock(mutex_);
    auto at = locks_.find(raw(ino));
    if (at == locks_.end()) return;
    drop_lock(at->second, range);
    if (at->second.empty()) locks_.erase(at);
}

void LockTable::unlock_owner(Ino ino, FileLock::Family family, uint64_t owner) {
    MutexLock lock(mutex_);
    auto at = locks_.find(raw(ino));
    if (at == locks_.end()) return;
    std::erase_if(at->second, [&](const FileLock& held) { return held.family == family && held.owner == owner; });
    if (at->second.empty()) locks_.erase(at);
}

}  // namespace meshfs
