// Bytes of open files: read, write, fallocate, seek, copy_range.
#include <linux/falloc.h>
#include <unistd.h>

#include "fs/base/log.h"
#include "fs/base/wire.h"
#include "fs/vfs/core.h"

namespace meshfs {
namespace {

constexpr uint64_t kCopyChunk = 1u << 20;

// On the plugin's own executor already, where it may wait.
void read_served(VfsCore& core, const Handle& handle, ByteRange range, const Then<Buffers>& then) {
    auto edge = core.served.edge_of(handle.ino);
    if (!edge) return then(edge.error());
    then((*edge)->served->read(own_number(handle.ino), handle.served_handle, range));
}

void write_served(VfsCore& core, const Handle& handle, uint64_t offset, const Buffer& bytes, const Then<size_t>& then) {
    auto edge = core.served.edge_of(handle.ino);
    if (!edge) return then(edge.error());
    then((*edge)->served->write(own_number(handle.ino), handle.served_handle, offset, bytes));
}

// Blocks until the bytes are accepted.
// Of a file whose bytes somebody changes who may not keep them.
Status kill_privileges(VfsCore& core, OpenInode& file) {
    if (!file.may_be_privileged) return {};
    Inode changed = TRY(core.meta.change(file.ino, [&](InodeChange& change) -> Status {
        clear_privileges(change.inode);
        change.inode.ctime = core.clock.now();
        return {};
    }));
    core.note_inode(file, changed);
    return {};
}

// What other mounts have written until now.  Blocks.
Status look_anew(VfsCore& core, OpenInode& file) {
    if (file.looks_anew) core.publisher->take_over(file, TRY(core.meta.get(file.ino)));
    return {};
}

// True: another map than that of `version` is used from here on, that of another mount's publication.  Blocks.
Result<bool> has_newer_map(VfsCore& core, OpenInode& file, uint64_t version) {
    Inode inode = TRY(core.meta.get(file.ino));
    if (inode.content_version > version) core.publisher->take_over(file, inode);
    return file.version > version;
}

// An object that is missing is a hole only of the newest map; and there, where one may be.  Else its bytes are lost, and no
// zeros in their place; or gc moved them while they were read.  The handle keeps the file until it is answered.
void read_stored(VfsCore& core, const std::shared_ptr<Handle>& handle, ByteRange range, Then<Buffers> then,
                 bool is_looked_at) {
    const bool is_current = is_looked_at || !core.is_shared;
    const uint64_t version = handle->file->version;
    auto told = [&core, handle, range, then = std::move(then), is_current, version](Result<Buffers> bytes) {
        if (bytes || bytes.code() != ESTALE) return then(std::move(bytes));
        bool is_posted = core.workers->try_post([&core, handle, range, then, is_current, version, missing = bytes.error()] {
            auto newer = has_newer_map(core, *handle->file, version);
            if (!newer) return then(newer.error());
            if (*newer || !is_current) return read_stored(core, handle, range, then, !*newer);
            log_error("bytes of a file are lost", {{"inode", hex(raw(handle->ino))}, {"error", missing.text()}});
            then(fail(EIO));
        });
        if (!is_posted) then(fail(EIO));
    };
    handle->file->data->read(range, is_current, std::move(told));
}

struct Write {
    uint64_t offset = 0;
    Buffer bytes;
    bool appends = false;  // then at the end, whatever the offset
};

void start(FileData& data, const Write& write, Then<void> then) {
    if (!write.appends) return data.write(write.offset, write.bytes, std::move(then));
    data.append(write.bytes, [then = std::move(then)](Result<uint64_t> at) {
        then(at ? Status() : Status(at.error()));
    });
}

// Into memory, if this mount may: then it is answered, as soon as there is room.  Never blocks.
bool accept(VfsCore& core, const std::shared_ptr<OpenInode>& file, const Write& write, const Then<void>& then) {
    if (core.sharing != nullptr && !core.sharing->try_accept(*file, write.appends)) return false;
    core.publisher->mark_dirty(file);
    start(*file->data, write, [&core, file, then](const Status& done) {
        // Again: a flusher that came by before the bytes were there has taken it off its list.
        if (done) core.publisher->mark_dirty(file);
        then(done);
    });
    if (core.sharing != nullptr) core.sharing->accepted(*file);
    return true;
}

// Into memory, or, if other mounts write too, stored and published.  Blocks, also for another mount.
Status write_bytes(VfsCore& core, const std::shared_ptr<OpenInode>& file, const Write& write) {
    for (Awaited<void> answer;;) {
        if (accept(core, file, write, answer.then())) return answer.wait();
        MyTurn turn(file->turn);
        TRY(core.sharing->enter(*file));
        if (file->role != OpenInode::Role::several) continue;
        core.publisher->mark_dirty(file);
        return write.appends ? core.sharing->append_through(*file, write.bytes)
                             : core.sharing->write_through(*file, write.offset, write.bytes);
    }
}

// What cannot be answered from memory: privileges to clear, O_SYNC, other mounts that write.  On a worker.
Result<size_t> write_slowly(VfsCore& core, const std::shared_ptr<Handle>& handle, const Write& write, bool kill_priv) {
    auto& file = handle->file;
    if (kill_priv) TRY(kill_privileges(core, *file));
    TRY(write_bytes(core, file, write));
    if (handle->is_synchronous()) TRY(core.publisher->publish_durably(*file));
    return write.bytes.size();
}

// As ext4 does.
Status check_may_allocate(const Inode& inode, int mode) {
    const bool only_grows = (mode & ~FALLOC_FL_KEEP_SIZE) == 0;
    return only_grows && (inode.flags & kImmutable) == 0 ? Status() : check_is_changeable(inode);
}

Status check_range(ByteRange range) {
    if (range.offset > kFileSizeMax || range.length > kFileSizeMax - range.offset) return fail(EFBIG);
    return {};
}

}  // namespace

void Vfs::read(uint64_t number, ByteRange range, Then<Buffers> then) {
    auto found = core_->file_handle(number);
    if (!found) return then(found.error());
    auto& handle = *found;
    if (handle->checked && (handle->flags & O_ACCMODE) == O_WRONLY) return then(fail(EBADF));
    if (handle->kind == Handle::Kind::served_file) return read_served(*core_, *handle, range, then);
    if (range.offset >= kFileSizeMax) return then(Buffers());
    range.length = std::min(range.length, kFileSizeMax - range.offset);
    core_->note_read(handle->file);
    auto start = [core = core_.get(), handle, range, then = std::move(then)](const Status& may) {
        if (!may) return then(may.error());
        read_stored(*core, handle, range, then, false);
    };
    if (!handle->file->looks_anew) return start({});
    auto task = [core = core_.get(), handle, start] { start(look_anew(*core, *handle->file)); };
    if (!core_->workers->post(std::move(task))) start(fail(ESHUTDOWN));
}

void Vfs::write(uint64_t number, uint64_t offset, Buffer bytes, WriteHow how, Then<size_t> then) {
    auto found = core_->file_handle(number);
    if (!found) return then(found.error());
    auto handle = *found;
    if (!handle->writes() && !how.from_cache) return then(fail(EBADF));
    if (auto writable = core_->check_writable(); !writable) return then(writable.error());
    if (handle->kind == Handle::Kind::served_file)
        return write_served(*core_, *handle, offset, bytes, then);
    if (auto fits = check_range({offset, bytes.size()}); !fits) return then(fits.error());
    if (bytes.empty()) return then(size_t{0});

    handle->file->wants_atime = core_->settings.atime != VfsSettings::Atime::noatime;  // mtime passes atime
    const bool kill_priv = how.kill_priv || handle->checked;
    // Another mount may have set them since they were looked at.
    if (kill_priv && core_->is_shared) handle->file->kills_privileges = true;
    bool is_slow = (kill_priv && handle->file->may_be_privileged) || handle->is_synchronous();
    const bool appends = how.appends.value_or(handle->appends()) && !how.from_cache;
    Write write{.offset = offset, .bytes = std::move(bytes), .appends = appends};
    auto told = [core = core_.get(), handle, count = write.bytes.size(), then](const Status& done) {
        if (handle->checked) core->changed_inode(false, handle->ino);
        then(done ? Result<size_t>(count) : Result<size_t>(done.error()));
    };
    if (!is_slow && accept(*core_, handle->file, write, told)) return;
    auto task = [core = core_.get(), handle, write, kill_priv, then] {
        then(write_slowly(*core, handle, write, kill_priv));
    };
    if (!core_->workers->post(std::move(task))) then(fail(ESHUTDOWN));
}

Status Vfs::fallocate(uint64_t number, int mode, ByteRange range, bool kill_priv) {
    auto handle = TRY(core_->file_handle(number));
    TRY(core_->check_writable());
    if (!handle->writes()) return fail(EBADF);
    if (handle->kind != Handle::Kind::file) return fail(EOPNOTSUPP);
    if (range.length == 0) return fail(EINVAL);
    TRY(check_range(range));
    bool keep_size = (mode & FALLOC_FL_KEEP_SIZE) != 0;
    OpenInode& file = *handle->file;
    if (kill_priv) TRY(kill_privileges(*core_, file));
    if (core_->has_flagged) TRY(check_may_allocate(TRY(meta_.get(handle->ino)), mode));
    auto allocate = [&]() -> Status {
        switch (mode & ~FALLOC_FL_KEEP_SIZE) {
            case 0: return file.data->reserve(range, keep_size);
            case FALLOC_FL_ZERO_RANGE: return file.data->zero(range, keep_size);
            case FALLOC_FL_PUNCH_HOLE: return keep_size ? file.data->punch(range) : Status(fail(EOPNOTSUPP));
            default: return fail(EOPNOTSUPP);  // COLLAPSE and INSERT would move bytes in place
        }
    };
    Status done = core_->change_bytes(file, [&]() -> Status {
        TRY(core_->publisher->on_stored_bytes(file, allocate));
        MutexLock lock(file.mutex);
        file.touched = core_->clock.now();
        return {};
    });
    core_->publisher->mark_dirty(handle->file);
    TRY(done);
    if (handle->checked) core_->changed_inode(false, handle->ino);
    if (handle->is_synchronous()) TRY(core_->publisher->publish_durably(file));
    return {};
}

Result<uint64_t> Vfs::seek(uint64_t number, uint64_t offset, int whence) {
    auto handle = TRY(core_->file_handle(number));
    if (handle->kind != Handle::Kind::file) return fail(EINVAL);
    if (whence != SEEK_DATA && whence != SEEK_HOLE) return fail(EINVAL);
    TRY(look_anew(*core_, *handle->file));
    OpenInode& file = *handle->file;
    MyTurn turn(file.turn);
    return core_->publisher->on_stored_bytes(file, [&] { return file.data->seek(offset, whence == SEEK_HOLE); });
}

// Through the daemon's memory, a chunk at a time; answers what was copied, less only at the end of the source.
Result<uint64_t> Vfs::copy_range(uint64_t from_number, uint64_t from, uint64_t to_number, uint64_t to,
                                 uint64_t length, bool kill_priv) {
    auto source = TRY(core_->file_handle(from_number));
    auto target = TRY(core_->file_handle(to_number));
    TRY(core_->check_writable());
    if (!target->writes() || target->appends()) return fail(EBADF);
    if (source->kind != Handle::Kind::file || target->kind != Handle::Kind::file) return fail(EXDEV);
    TRY(check_range({from, std::min(length, kFileSizeMax)}));
    length = std::min(length, kFileSizeMax - to);
    if (to > kFileSizeMax) return fail(EFBIG);
    bool overlaps = from < to + length && to < from + length;
    if (source->ino == target->ino && overlaps) return fail(EINVAL);

    if (kill_priv) TRY(kill_privileges(*core_, *target->file));
    core_->note_read(source->file);
    TRY(look_anew(*core_, *source->file));
    uint64_t copied = 0;
    while (copied < length) {
        Awaited<Buffers> answer;
        read_stored(*core_, source, {from + copied, std::min(kCopyChunk, length - copied)}, answer.then(), false);
        auto pieces = answer.wait();
        if (!pieces) return copied > 0 ? Result<uint64_t>(copied) : pieces.error();
        if (size_of(*pieces) == 0) break;
        for (Buffer& piece : *pieces) {
            uint64_t count = piece.size();
            auto done = write_bytes(*core_, target->file, {.offset = to + copied, .bytes = std::move(piece)});
            if (!done) return copied > 0 ? Result<uint64_t>(copied) : done.error();
            copied += count;
        }
    }
    if (target->checked) core_->changed_inode(false, target->ino);
    if (target->is_synchronous()) TRY(core_->publisher->publish_durably(*target->file));
    return copied;
}

}  // namespace meshfs
