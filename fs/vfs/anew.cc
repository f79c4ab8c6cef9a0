// After this mount was declared dead: what was not published is given up, and with another session open files
// are as all mounts see them.
#include "fs/vfs/core.h"

namespace meshfs {

void VfsCore::give_up_unpublished() {
    data->begin_anew();
    for (auto& file : open_inodes->all()) {
        MyTurn turn(file->turn);
        if (sharing != nullptr) sharing->begin_anew(*file);
        publisher->give_up(*file);
    }
    if (locks_locally()) return;
    for (auto& handle : handles.all()) {
        MutexLock lock(handle->mutex);
        if (!handle->lock_owners.empty()) handle->has_lost_lock = true;
    }
}

void VfsCore::begin_anew() {
    for (auto& file : open_inodes->all()) {
        auto used = open_inodes->use(file->ino);  // it may be about to close
        if (!used) continue;
        // One that has no name any more is somebody's to purge: what is read of it then is an error.
        if (auto inode = meta.opened(file->ino)) {
            MyTurn turn(used->file->turn);
            publisher->take_over_anew(*used->file, *inode);
        }
        open_inodes->done(used->file);
    }
    lock_waits->begin_anew();
}

}  // namespace meshfs
