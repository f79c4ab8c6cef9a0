#include "fs/vfs/lock_table.h"

namespace meshfs {
namespace {

bool is_same_owner(const FileLock& a, const FileLock& b) { return a.family == b.family && a.owner == b.owner; }
bool overlaps(const FileLock& a, const FileLock& b) { return a.first <= b.last && b.first <= a.last; }

}  // namespace

std::optional<FileLock> LockTable::find_conflict(Ino ino, const FileLock& wanted) {
    auto at = locks_.find(raw(ino));
    if (at == locks_.end()) return std::nullopt;
    for (const FileLock& held : at->second) {
        if (held.family != wanted.family || is_same_owner(held, wanted) || !overlaps(held, wanted)) continue;
        if (held.type == FileLock::Type::write || wanted.type == FileLock::Type::write) return held;
    }
    return std::nullopt;
}

// Takes the range out of what its owner has: a lock around it falls into two.
void LockTable::cut(Ino ino, const FileLock& range) {
    auto at = locks_.find(raw(ino));
    if (at == locks_.end()) return;
    std::vector<FileLock> left;
    for (const FileLock& held : at->second) {
        if (!is_same_owner(held, range) || !overlaps(held, range)) {
            left.push_back(held);
            continue;
        }
        FileLock piece = held;
        if (held.first < range.first) {
            piece.last = range.first - 1;
            left.push_back(piece);
        }
        if (held.last > range.last) {
            piece.first = range.last + 1;
            piece.last = held.last;
            left.push_back(piece);
        }
    }
    if (left.empty()) locks_.erase(at);
    else at->second = std::move(left);
}

Status LockTable::lock(Ino ino, const FileLock& wanted, FileLock* conflict) {
    MutexLock lock(mutex_);
    if (auto held = find_conflict(ino, wanted)) {
        if (conflict != nullptr) *conflict = *held;
        return fail(EAGAIN);
    }
    cut(ino, wanted);
    FileLock joined = wanted;
    auto& all = locks_[raw(ino)];
    for (auto at = all.begin(); at != all.end();) {  // neighbours of one kind become one
        bool touches = (at->last != UINT64_MAX && at->last + 1 == joined.first) ||
                       (joined.last != UINT64_MAX && joined.last + 1 == at->first);
        if (is_same_owner(*at, joined) && at->type == joined.type && touches) {
            joined.first = std::min(joined.first, at->first);
            joined.last = std::max(joined.last, at->last);
            at = all.erase(at);
        } else {
            ++at;
        }
    }
    all.push_back(joined);
    return {};
}

std::optional<FileLock> LockTable::test(Ino ino, const FileLock& wanted) {
    MutexLock lock(mutex_);
    return find_conflict(ino, wanted);
}

void LockTable::unlock(Ino ino, const FileLock& range) {
    MutexLock lock(mutex_);
    cut(ino, range);
}

void LockTable::unlock_owner(Ino ino, FileLock::Family family, uint64_t owner) {
    FileLock all;
    all.family = family;
    all.owner = owner;
    unlock(ino, all);
}

}  // namespace meshfs
