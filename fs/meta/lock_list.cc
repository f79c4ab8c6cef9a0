#include "fs/meta/lock_list.h"

#include <algorithm>

namespace meshfs {
namespace {

bool is_same_owner(const FileLock& a, const FileLock& b) {
    return a.family == b.family && a.session == b.session && a.owner == b.owner;
}
bool overlaps(const FileLock& a, const FileLock& b) { return a.first <= b.last && b.first <= a.last; }
bool ends_before(const FileLock& a, const FileLock& b) { return a.last != UINT64_MAX && a.last + 1 == b.first; }

}  // namespace

std::optional<FileLock> find_conflict(const LockList& locks, const FileLock& wanted) {
    for (const FileLock& held : locks) {
        if (held.family != wanted.family || is_same_owner(held, wanted) || !overlaps(held, wanted)) continue;
        if (held.type == FileLock::Type::write || wanted.type == FileLock::Type::write) return held;
    }
    return std::nullopt;
}

void take_lock(LockList& locks, const FileLock& wanted) {
    drop_lock(locks, wanted);
    FileLock joined = wanted;
    std::erase_if(locks, [&](const FileLock& held) {
        bool is_neighbour = is_same_owner(held, joined) && held.type == joined.type &&
                            (ends_before(held, joined) || ends_before(joined, held));
        if (!is_neighbour) return false;
        joined.first = std::min(joined.first, held.first);
        joined.last = std::max(joined.last, held.last);
        return true;
    });
    locks.push_back(joined);
}

void drop_lock(LockList& locks, const FileLock& range) {
    LockList left;
    for (const FileLock& held : locks) {
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
    locks = std::move(left);
}

}  // namespace meshfs
