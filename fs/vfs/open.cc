// Open files: open, close (flush), fsync, release.
#include <unistd.h>

#include "fs/base/log.h"
#include "fs/base/wire.h"
#include "fs/vfs/core.h"

namespace meshfs {
namespace {

int wanted_access(int flags) {
    switch (flags & O_ACCMODE) {
        case O_RDONLY: return R_OK;
        case O_WRONLY: return W_OK;
        default: return R_OK | W_OK;
    }
}

Status check_may_open(const VfsCore& core, const Caller& caller, const Inode& inode, int flags) {
    bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
    if (writes) TRY(core.check_writable());
    if (writes && (inode.flags & kImmutable) != 0) return fail(EPERM);
    bool only_appends = (flags & O_APPEND) != 0 && (flags & O_TRUNC) == 0;
    if (writes && (inode.flags & kAppendOnly) != 0 && !only_appends) return fail(EPERM);
    return check_may(caller, inode, wanted_access(flags) | ((flags & O_TRUNC) != 0 ? W_OK : 0));
}

// Other mounts see at their open what was closed before; where there may be none, only files that are packed have
// something to do here.  An error is kept, and told by the caller.
void publish_at_close(VfsCore& core, const std::shared_ptr<OpenInode>& closed) {
    OpenInode& file = *closed;
    if (!core.is_shared && !file.data->can_pack()) return;
    MyTurn turn(file.turn);
    bool is_last;
    {
        MutexLock lock(file.mutex);
        is_last = file.writers <= 1;
    }
    if ((is_last && core.publisher->owe_in_turn(closed)) || !core.is_shared) return;
    // In one step with what there is to publish; else release() does it, and nobody waits for that.
    bool leaves = is_last && core.sharing != nullptr && file.role == OpenInode::Role::alone && file.data->is_dirty();
    if (leaves) (void)core.sharing->leave(file);
    else (void)core.publisher->publish_in_turn(file);
}

}  // namespace

// Close-to-open: every open looks the inode up anew and takes over what other mounts have published.
Result<OpenedFile> Vfs::open(const Caller& caller, Ino ino, int flags) {
    ino = core_->inner(ino);
    if (is_served(ino)) {
        const ServedEdge* edge = TRY(core_->served.edge_of(ino));
        auto found = TRY(edge->served->open(caller, own_number(ino), flags));
        if (found.inode.ino == Ino{}) found.inode.ino = Ino{own_number(ino)};
        return core_->served_opened(*edge, caller, std::move(found), flags);
    }
    auto used = TRY(core_->open_inodes->use(ino));
    auto& file = used.file;
    auto inode = used.inode ? Result<Inode>(std::move(*used.inode)) : meta_.get(ino);
    Status may = inode ? check_may_open(*core_, caller, *inode, flags) : Status(inode.error());
    if (!may) {
        core_->open_inodes->done(file);
        return may.error();
    }
    core_->publisher->take_over(*file, *inode);
    core_->note_inode(*file, *inode);
    core_->forget_stale(*inode);

    OpenedFile opened;
    auto known = core_->open_inodes->remembered(ino);
    // Another mount that writes, or died writing, may have changed bytes that this version has.
    bool is_stable = inode->writer == kNobody || inode->writer == meta_.session();
    opened.keep_cache = !file->are_pages_stale.exchange(false) && is_stable && known && *known == file->version;
    core_->open_inodes->remember(ino, file->version.load());
    auto [number, handle] = core_->add_handle(caller, file, flags);
    opened.handle = number;
    // The end of the file is where all mounts put it, so the kernel must not keep pages by its own idea of it.
    opened.direct_io = (flags & O_DIRECT) != 0 || file->looks_anew ||
                       (core_->is_shared && handle->appends() && handle->writes());
    opened.no_flush = !handle->writes() && !file->had_posix_lock;
    if ((flags & O_TRUNC) == 0) {
        opened.attributes = core_->attributes_of(std::move(*inode));
        return opened;
    }
    SetAttributes cut;
    cut.size = 0;
    cut.kill_suid_sgid = caller.uid != 0;
    auto done = setattr(caller, ino, cut);
    if (!done) {
        release(number, false);
        return done.error();
    }
    opened.attributes = std::move(*done);
    return opened;
}

// A file this mount has just made: nobody can forbid it to its maker, whatever its mode.
Result<OpenedFile> VfsCore::open_new(const Caller& caller, const Inode& made, int flags, uint64_t since) {
    auto used = TRY(open_inodes->use(made.ino));
    auto inode = used.inode ? Result<Inode>(std::move(*used.inode)) : meta.get(made.ino);
    if (!inode) {
        open_inodes->done(used.file);
        return inode.error();
    }
    note_inode(*used.file, *inode);
    used.file->is_new = true;
    open_inodes->remember(made.ino, used.file->version.load());
    OpenedFile opened;
    auto [number, handle] = add_handle(caller, used.file, flags);
    opened.handle = number;
    opened.direct_io = (flags & O_DIRECT) != 0 || (is_shared && handle->appends() && handle->writes());
    inode->from = made.from;
    opened.attributes = attributes_of_new(std::move(*inode), since);
    return opened;
}

OpenedFile VfsCore::served_opened(const ServedEdge& edge, const Caller& caller, ServedPrefix::Found found,
                                  int flags) {
    auto handle = std::make_shared<Handle>();
    handle->kind = Handle::Kind::served_file;
    handle->served_handle = found.handle;
    handle->flags = flags;
    handle->checked = !caller.is_kernel();
    OpenedFile opened;
    opened.attributes = ServedPrefixes::attributes(edge, std::move(found));
    handle->ino = opened.attributes.inode.ino;
    opened.handle = handles.add(std::move(handle));
    opened.direct_io = true;  // the plugin's bytes may change at any time
    return opened;
}

Status Vfs::flush(uint64_t number, uint64_t lock_owner) {
    auto handle = TRY(core_->handles.find(number));
    if (handle->kind != Handle::Kind::file) return {};
    OpenInode& file = *handle->file;
    if (handle->writes()) publish_at_close(*core_, handle->file);
    if (file.had_posix_lock) {
        {
            // The process may have it anew, by another file, when this one is released.
            MutexLock lock(handle->mutex);
            handle->lock_owners.erase({false, lock_owner});
        }
        core_->drop_locks(handle->ino, FileLock::Family::posix, lock_owner);
    }
    if (!handle->writes()) return {};
    return core_->publisher->tell_error(file, *handle);
}

Status Vfs::fsync(uint64_t number, bool data_only) {
    auto handle = TRY(core_->handles.find(number));
    if (handle->kind == Handle::Kind::served_file) {
        const ServedEdge* edge = TRY(core_->served.edge_of(handle->ino));
        Status done = edge->served->fsync(own_number(handle->ino), handle->served_handle, data_only);
        return done.code() == ENOSYS ? Status() : done;
    }
    if (handle->kind != Handle::Kind::file) return {};
    OpenInode& file = *handle->file;
    auto store = [&]() -> Status {
        if (!data_only) return core_->publisher->publish_durably(file);
        TRY(core_->publisher->publish_data(file));
        return core_->meta.commit();
    };
    Status done = store();
    Status told = core_->publisher->tell_error(file, *handle);
    return done ? told : done;
}

void Vfs::begin_release(uint64_t number) {
    auto handle = core_->handles.find(number);
    if (!handle) return;
    MutexLock lock((*handle)->mutex);
    core_->ending_locks.enter((*handle)->ino, (*handle)->lock_owners);
}

void Vfs::release(uint64_t number, bool flock_release) {
    auto handle = core_->handles.remove(number);
    if (handle == nullptr) return;
    if (handle->kind == Handle::Kind::served_file) {
        if (auto edge = core_->served.edge_of(handle->ino))
            (*edge)->served->release(own_number(handle->ino), handle->served_handle);
        return;
    }
    std::set<std::pair<bool, uint64_t>> owners;
    {
        MutexLock lock(handle->mutex);
        owners.swap(handle->lock_owners);
    }
    if (flock_release) owners.insert({true, number});
    for (auto [is_flock, owner] : owners)
        core_->drop_locks(handle->ino, is_flock ? FileLock::Family::flock : FileLock::Family::posix, owner);
    core_->ending_locks.leave(handle->ino, owners);
    if (handle->kind != Handle::Kind::file) return;
    if (auto done = core_->close_for_writing(*handle); !done)
        log_warning("a file's bytes could not be published at its close; they are kept and tried again",
                    {{"inode", hex(raw(handle->ino))}, {"error", done.error().text()}});
    if (handle->file->data->is_dirty()) core_->publisher->mark_dirty(handle->file);  // before the last use goes
    core_->open_inodes->done(handle->file);
}

}  // namespace meshfs
