// Bytes of open files: read, write, fallocate, seek, copy_range.
#include <linux/falloc.h>
#include <unistd.h>

#include "fs/vfs/core.h"

namespace meshfs {
namespace {

constexpr uint64_t kCopyChunk = 1u << 20;

void read_served(VfsCore& core, const std::shared_ptr<Handle>& handle, ByteRange range, Then<Buffers> then) {
    auto edge = core.served.edge_of(handle->ino);
    if (!edge) return then(edge.error());
    auto served = (*edge)->served;
    auto shared_then = std::make_shared<Then<Buffers>>(std::move(then));
    bool posted = served->executor().try_post([served, handle, range, shared_then] {
        (*shared_then)(served->read(own_number(handle->ino), handle->served_handle, range));
    });
    if (!posted) (*shared_then)(fail(EAGAIN));
}

void write_served(VfsCore& core, const std::shared_ptr<Handle>& handle, uint64_t offset, Buffer bytes,
                  Then<size_t> then) {
    auto edge = core.served.edge_of(handle->ino);
    if (!edge) return then(edge.error());
    auto served = (*edge)->served;
    auto shared_then = std::make_shared<Then<size_t>>(std::move(then));
    bool posted = served->executor().try_post([served, handle, offset, bytes, shared_then] {
        (*shared_then)(served->write(own_number(handle->ino), handle->served_handle, offset, bytes));
    });
    if (!posted) (*shared_then)(fail(EAGAIN));
}

// Blocks until the bytes are accepted.
Status write_and_wait(FileData& data, uint64_t offset, Buffer bytes) {
    Awaited<void> answer;
    data.write(offset, std::move(bytes), answer.then());
    return answer.wait();
}

Status append_and_wait(FileData& data, Buffer bytes) {
    Awaited<uint64_t> answer;
    data.append(std::move(bytes), answer.then());
    TRY(answer.wait());
    return {};
}

// Of a file whose bytes somebody changes who may not keep them.
Status kill_privileges(VfsCore& core, OpenInode& file) {
    if (!file.may_be_privileged) return {};
    Inode changed = TRY(core.meta.change(file.ino, [&](InodeChange& change) -> Status {
        core.clear_privileges(change.inode);
        change.inode.ctime = core.clock.now();
        return {};
    }));
    core.note_inode(file, changed);
    return {};
}

// What cannot be answered from memory: privileges to clear, appends of several mounts, O_SYNC.  On a worker.
Result<size_t> write_slowly(VfsCore& core, const std::shared_ptr<Handle>& handle, uint64_t offset, Buffer bytes,
                            bool kill_priv, bool from_cache) {
    auto& file = handle->file;
    size_t count = bytes.size();
    if (kill_priv) TRY(kill_privileges(core, *file));
    bool appends = handle->appends() && !from_cache;
    if (appends && core.is_shared) {
        TRY(core.appends->append(file, std::move(bytes)));
    } else {
        core.publisher->mark_dirty(file);
        TRY(appends ? append_and_wait(*file->data, std::move(bytes))
                    : write_and_wait(*file->data, offset, std::move(bytes)));
    }
    if (handle->is_synchronous()) TRY(core.publisher->publish(*file));
    return count;
}

void write_fast(VfsCore& core, const std::shared_ptr<Handle>& handle, uint64_t offset, Buffer bytes,
                bool from_cache, Then<size_t> then) {
    auto& file = handle->file;
    size_t count = bytes.size();
    core.publisher->mark_dirty(file);
    if (handle->appends() && !from_cache) {
        file->data->append(std::move(bytes), [handle, count, then = std::move(then)](Result<uint64_t> done) {
            then(done ? Result<size_t>(count) : Result<size_t>(done.error()));
        });
    } else {
        file->data->write(offset, std::move(bytes), [handle, count, then = std::move(then)](Status done) {
            then(done ? Result<size_t>(count) : Result<size_t>(done.error()));
        });
    }
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
    if (handle->kind == Handle::Kind::served_file) return read_served(*core_, handle, range, std::move(then));
    if (range.offset >= kFileSizeMax) return then(Buffers());
    range.length = std::min(range.length, kFileSizeMax - range.offset);
    core_->note_read(handle->file);
    handle->file->data->read(range, [handle, then = std::move(then)](Result<Buffers> bytes) {
        then(std::move(bytes));  // the handle keeps the file until here
    });
}

void Vfs::write(uint64_t number, uint64_t offset, Buffer bytes, bool kill_priv, bool from_cache,
                Then<size_t> then) {
    auto found = core_->file_handle(number);
    if (!found) return then(found.error());
    auto handle = *found;
    if (!handle->writes() && !from_cache) return then(fail(EBADF));
    if (auto writable = core_->check_writable(); !writable) return then(writable.error());
    if (handle->kind == Handle::Kind::served_file)
        return write_served(*core_, handle, offset, std::move(bytes), std::move(then));
    if (auto fits = check_range({offset, bytes.size()}); !fits) return then(fits.error());
    if (bytes.empty()) return then(size_t{0});

    handle->file->wants_atime = core_->settings.atime != VfsSettings::Atime::noatime;  // mtime passes atime
    if (handle->checked) {
        core_->changed_inode(false, handle->ino);
        kill_priv = true;
    }
    bool appends_shared = core_->is_shared && handle->appends() && !from_cache;
    bool kills = kill_priv && handle->file->may_be_privileged;
    if (!kills && !appends_shared && !handle->is_synchronous())
        return write_fast(*core_, handle, offset, std::move(bytes), from_cache, std::move(then));
    auto task = [core = core_.get(), handle, offset, bytes, kill_priv, from_cache, then] {
        then(write_slowly(*core, handle, offset, bytes, kill_priv, from_cache));
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
    core_->publisher->mark_dirty(handle->file);
    switch (mode & ~FALLOC_FL_KEEP_SIZE) {
        case 0: TRY(file.data->reserve(range, keep_size)); break;
        case FALLOC_FL_ZERO_RANGE: TRY(file.data->zero(range, keep_size)); break;
        case FALLOC_FL_PUNCH_HOLE:
            if (!keep_size) return fail(EOPNOTSUPP);
            TRY(file.data->punch(range));
            break;
        default: return fail(EOPNOTSUPP);  // COLLAPSE and INSERT would move bytes in place
    }
    {
        MutexLock lock(file.mutex);
        file.touched = core_->clock.now();
    }
    if (handle->checked) core_->changed_inode(false, handle->ino);
    if (handle->is_synchronous()) TRY(core_->publisher->publish(file));
    return {};
}

Result<uint64_t> Vfs::seek(uint64_t number, uint64_t offset, int whence) {
    auto handle = TRY(core_->file_handle(number));
    if (handle->kind != Handle::Kind::file) return fail(ENOSYS);
    if (whence != SEEK_DATA && whence != SEEK_HOLE) return fail(EINVAL);
    if (offset >= handle->file->data->size()) return fail(ENXIO);
    return handle->file->data->seek(offset, whence == SEEK_HOLE);
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
    core_->publisher->mark_dirty(target->file);
    uint64_t copied = 0;
    while (copied < length) {
        Awaited<Buffers> answer;
        source->file->data->read({from + copied, std::min(kCopyChunk, length - copied)}, answer.then());
        auto pieces = answer.wait();
        if (!pieces) return copied > 0 ? Result<uint64_t>(copied) : pieces.error();
        if (size_of(*pieces) == 0) break;
        for (Buffer& piece : *pieces) {
            uint64_t count = piece.size();
            auto done = write_and_wait(*target->file->data, to + copied, std::move(piece));
            if (!done) return copied > 0 ? Result<uint64_t>(copied) : done.error();
            copied += count;
        }
    }
    if (target->checked) core_->changed_inode(false, target->ino);
    if (target->is_synchronous()) TRY(core_->publisher->publish(*target->file));
    return copied;
}

}  // namespace meshfs
