#include "fs/meta/open_files.h"

namespace meshfs {

bool OpenFiles::enter(Ino ino) {
    MutexLock lock(mutex_);
    return open_.try_emplace(ino, false).second;
}

bool OpenFiles::leave(Ino ino) {
    MutexLock lock(mutex_);
    auto found = open_.find(ino);
    if (found == open_.end()) return false;
    bool is_wanted = found->second;
    open_.erase(found);
    return is_wanted;
}

bool OpenFiles::keeps(Ino ino) {
    MutexLock lock(mutex_);
    auto found = open_.find(ino);
    if (found == open_.end()) return false;
    return found->second = true;
}

}  // namespace meshfs
