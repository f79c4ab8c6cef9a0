// Open files and directories: reading, writing, locks.
//
// read and write are started and answered by whoever completes them; everything else may wait for the store.
#include <sys/file.h>

#include <linux/fuse.h>

#include <atomic>
#include <cstring>
#include <memory>

#include "fs/fuse/ops_shared.h"
#include "fs/fuse/receive_buffer.h"

namespace meshfs {
namespace {

constexpr size_t kReplyInline = 64 * 1024;  // bytes; a larger one is not copied to the kernel by a store's thread

void op_open(fuse_req_t req, fuse_ino_t ino, fuse_file_info* file) noexcept {
    int flags = file->flags;
    bool kill = incoming().kill_suid_sgid;
    carry_out(req, Op::open, ino, [flags, kill](Vfs& vfs, const Request& request, const Caller& c) {
        auto opened = vfs.open(c, request.ino, flags);
        if (!opened.ok()) return reply_error(request, opened.error());
        if (kill) {  // O_TRUNC by one who may not keep setuid
            SetAttributes set;
            set.kill_suid_sgid = true;
            auto done = vfs.setattr(c, request.ino, set);
            if (!done.ok()) {
                vfs.release(opened->handle, false);
                return reply_error(request, done.error());
            }
            request.session->forget_privileges(request.ino);
        }
        reply_open(request, *opened, flags);
    });
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* file) noexcept {
    int flags = file->flags;
    carry_out(req, Op::create, parent,
              [name = std::string(name), mode, flags](Vfs& vfs, const Request& request, const Caller& c) {
                  // What is there by now the kernel must look up itself: what CREATE opens it takes for new, and its
                  // maker for one who needs no permission.
                  const bool may_be_there = (flags & O_EXCL) == 0;
                  const bool is_own = (raw(request.ino) & kPluginInoBit) == 0;
                  auto opened = vfs.create(c, request.ino, name, mode, is_own ? flags | O_EXCL : flags);
                  if (opened.code() == EEXIST && may_be_there) opened = fail(ESTALE);
                  opened.ok() ? reply_create(request, *opened, flags) : reply_error(request, opened.error());
              });
}

void answer_read(const Request& request, const Result<Buffers>& bytes) {
    bytes.ok() ? reply_pieces(request, *bytes) : reply_error(request, bytes.error());
}

void start_read(const Request& request, uint64_t handle, ByteRange range) {
    std::thread::id reader = std::this_thread::get_id();
    request.session->vfs().read(handle, range, [request, reader](Result<Buffers> bytes) {
        if (std::this_thread::get_id() == reader || !bytes.ok() || size_of(*bytes) <= kReplyInline)
            return answer_read(request, bytes);
        request.session->post_reply([request, bytes = std::move(bytes)] { answer_read(request, bytes); });
    });
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, fuse_file_info* file) noexcept {
    FuseSession& session = session_of(req);
    Request request = session.begin(req, Op::read, ino);
    ByteRange range{static_cast<uint64_t>(offset), size};
    if (session.vfs().executor_for(request.ino) == nullptr) return start_read(request, file->fh, range);
    session.run(request.ino, [request, handle = file->fh, range] { start_read(request, handle, range); });
}

void start_write(const Request& request, uint64_t handle, uint64_t offset, Buffer bytes, Vfs::WriteHow how) {
    auto answer = [request, kill = how.kill_priv](Result<size_t> done) {
        if (kill) request.session->forget_privileges(request.ino);
        done.ok() ? reply_written(request, *done) : reply_error(request, done.error());
    };
    request.session->vfs().write(handle, offset, std::move(bytes), how, std::move(answer));
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char* data, size_t size, off_t offset,
              fuse_file_info* file) noexcept {
    FuseSession& session = session_of(req);
    Request request = session.begin(req, Op::write, ino);
    Buffer bytes = incoming().buffer->keep(data, size);
    Vfs::WriteHow how{.kill_priv = incoming().kill_suid_sgid, .from_cache = file->writepage != 0,
                      .appends = (file->flags & O_APPEND) != 0};
    auto at = static_cast<uint64_t>(offset);
    // Clearing setuid changes the inode, O_SYNC and shared appends ask the store: those may wait.
    bool may_wait = how.kill_priv || (file->flags & (O_SYNC | O_DSYNC | O_APPEND)) != 0;
    if (!may_wait && session.vfs().executor_for(request.ino) == nullptr)
        return start_write(request, file->fh, at, std::move(bytes), how);
    session.run(request.ino, [request, handle = file->fh, at, bytes = std::move(bytes), how] {
        start_write(request, handle, at, bytes, how);
    });
}

void op_flush(fuse_req_t req, fuse_ino_t ino, fuse_file_info* file) noexcept {
    carry_out(req, Op::flush, ino,
              [handle = file->fh, owner = file->lock_owner](Vfs& vfs, const Request& request, const Caller&) {
                  reply_status(request, vfs.flush(handle, owner));
              });
}

void op_release(fuse_req_t req, fuse_ino_t ino, fuse_file_info* file) noexcept {
    FuseSession& session = session_of(req);
    Request request = session.begin(req, Op::release, ino);
    session.vfs().begin_release(file->fh);
    session.run_release(request.ino, [request, handle = file->fh, flock = file->flock_release != 0] {
        request.session->vfs().release(handle, flock);
        reply_ok(request);
    });
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, fuse_file_info* file) noexcept {
    carry_out(req, Op::fsync, ino, [handle = file->fh, data_only](Vfs& vfs, const Request& request, const Caller&) {
        reply_status(request, vfs.fsync(handle, data_only != 0));
    });
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, fuse_file_info*) noexcept {
    carry_out(req, Op::opendir, ino, [](Vfs& vfs, const Request& request, const Caller& c) {
        auto handle = vfs.opendir(c, request.ino);
        handle.ok() ? reply_opendir(request, *handle) : reply_error(request, handle.error());
    });
}

void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, uint64_t handle, bool plus) {
    // As many as fit if names have 16 bytes; the kernel comes again for more.
    size_t entries_max = std::max<size_t>(1, size / (plus ? FUSE_NAME_OFFSET_DIRENTPLUS + 16 : FUSE_NAME_OFFSET + 16));
    auto after = static_cast<uint64_t>(offset);
    carry_out(req, plus ? Op::readdirplus : Op::readdir, ino,
              [handle, after, entries_max, size, plus](Vfs& vfs, const Request& request, const Caller&) {
                  auto entries = vfs.readdir(handle, after, entries_max, plus);
                  if (!entries.ok()) return reply_error(request, entries.error());
                  reply_listing(request, std::move(*entries), size, plus);
              });
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, fuse_file_info* file) noexcept {
    list(req, ino, size, offset, file->fh, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, fuse_file_info* file) noexcept {
    list(req, ino, size, offset, file->fh, true);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, fuse_file_info* file) noexcept {
    FuseSession& session = session_of(req);
    Request request = session.begin(req, Op::releasedir, ino);
    session.run_release(request.ino, [request, handle = file->fh] {
        request.session->vfs().releasedir(handle);
        reply_ok(request);
    });
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, fuse_file_info* file) noexcept {
    carry_out(req, Op::fsyncdir, ino, [handle = file->fh, data_only](Vfs& vfs, const Request& request, const Caller&) {
        reply_status(request, vfs.fsyncdir(handle, data_only != 0));
    });
}

Vfs::LockRequest lock_request(const fuse_file_info* file, const struct flock* lock) {
    Vfs::LockRequest wanted;
    wanted.handle = file->fh;
    wanted.owner = file->lock_owner;
    wanted.type = lock->l_type;
    wanted.first = static_cast<uint64_t>(lock->l_start);
    // libfuse has made a length of the kernel's inclusive end; 0 is "to the end".
    wanted.last = lock->l_len == 0 ? UINT64_MAX : wanted.first + static_cast<uint64_t>(lock->l_len) - 1;
    wanted.pid = static_cast<uint32_t>(lock->l_pid);
    return wanted;
}

void op_getlk(fuse_req_t req, fuse_ino_t ino, fuse_file_info* file, struct flock* lock) noexcept {
    carry_out(req, Op::getlk, ino,
              [wanted = lock_request(file, lock)](Vfs& vfs, const Request& request, const Caller&) {
                  auto held = vfs.getlk(request.ino, wanted);
                  held.ok() ? reply_lock(request, *held) : reply_error(request, held.error());
              });
}

// A lock that is waited for.  The interrupt may come before Vfs knows the ticket, so it is also remembered here.
struct Wait {
    Vfs& vfs;
    uint64_t ticket;
    std::atomic<bool> interrupted{false};
};

void wait_for_lock(fuse_req_t req, Op op, fuse_ino_t ino, Vfs::LockRequest wanted) {
    FuseSession& session = session_of(req);
    Request request = session.begin(req, op, ino);
    auto* wait = new Wait{session.vfs(), session.begin_wait()};
    fuse_req_interrupt_func(req, [](fuse_req_t, void* data) {
        auto* interrupted = static_cast<Wait*>(data);
        interrupted->interrupted = true;
        interrupted->vfs.cancel_setlk(interrupted->ticket);
    }, wait);
    // libfuse calls the function above under the lock of `req`, and not after the reply; the answer is given on a
    // worker, so that it is never given by that very call.
    session.run(request.ino, [request, wanted, wait] {
        // Held until both the call and the answer are over: whoever is last deletes it.
        auto both = std::make_shared<std::atomic<bool>>(false);
        auto finish = [wait, both] {
            if (both->exchange(true)) delete wait;
        };
        uint64_t ticket = wait->ticket;
        wait->vfs.setlkw(request.ino, wanted, ticket, [request, finish, ticket](Status done) {
            request.session->post_reply([request, finish, ticket, done] {
                fuse_req_interrupt_func(request.handle, nullptr, nullptr);
                request.session->end_wait(ticket);
                reply_status(request, done);
                finish();
            });
        });
        if (wait->interrupted) wait->vfs.cancel_setlk(ticket);
        finish();
    });
}

void set_lock(fuse_req_t req, Op op, fuse_ino_t ino, const Vfs::LockRequest& wanted, bool waits) {
    if (waits && wanted.type != F_UNLCK) return wait_for_lock(req, op, ino, wanted);
    auto work = [wanted](Vfs& vfs, const Request& request, const Caller&) {
        vfs.setlk(request.ino, wanted, [request](Status done) { reply_status(request, done); });
    };
    carry_out(req, op, ino, work);
}

void op_setlk(fuse_req_t req, fuse_ino_t ino, fuse_file_info* file, struct flock* lock, int waits) noexcept {
    set_lock(req, Op::setlk, ino, lock_request(file, lock), waits != 0);
}

void op_flock(fuse_req_t req, fuse_ino_t ino, fuse_file_info* file, int op) noexcept {
    Vfs::LockRequest wanted;
    wanted.handle = file->fh;
    wanted.owner = file->lock_owner;
    wanted.pid = static_cast<uint32_t>(fuse_req_ctx(req)->pid);
    wanted.last = UINT64_MAX;
    wanted.flock = true;
    int kind = op & ~LOCK_NB;
    wanted.type = kind == LOCK_SH ? F_RDLCK : kind == LOCK_EX ? F_WRLCK : F_UNLCK;
    set_lock(req, Op::flock, ino, wanted, (op & LOCK_NB) == 0);
}

// Of FALLOCATE and COPY_FILE_RANGE the kernel does not say whether the caller may keep setuid (CAP_FSETID).
bool kills_privileges(const Caller& caller) { return caller.uid != 0; }

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                  fuse_file_info* file) noexcept {
    ByteRange range{static_cast<uint64_t>(offset), static_cast<uint64_t>(length)};
    carry_out(req, Op::fallocate, ino,
              [handle = file->fh, mode, range](Vfs& vfs, const Request& request, const Caller& c) {
                  auto done = vfs.fallocate(handle, mode, range, kills_privileges(c));
                  if (kills_privileges(c)) request.session->forget_privileges(request.ino);
                  reply_status(request, done);
              });
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, fuse_file_info* file) noexcept {
    carry_out(req, Op::lseek, ino, [handle = file->fh, offset, whence](Vfs& vfs, const Request& request, const Caller&) {
        auto found = vfs.seek(handle, static_cast<uint64_t>(offset), whence);
        found.ok() ? reply_offset(request, *found) : reply_error(request, found.error());
    });
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t ino, off_t from, fuse_file_info* file, fuse_ino_t to_number, off_t to,
                        fuse_file_info* to_file, size_t length, int flags) noexcept {
    if (flags != 0) return static_cast<void>(fuse_reply_err(req, EINVAL));
    carry_out(req, Op::copy_file_range, ino,
              [handle = file->fh, from, to_ino = session_of(req).ino_of(to_number), to_handle = to_file->fh, to,
               length](Vfs& vfs, const Request& request, const Caller& c) {
                  // One answer has 32 bits, and one request must not hold a worker for minutes.
                  constexpr size_t kCopyMax = 64u << 20;
                  auto copied = vfs.copy_range(handle, static_cast<uint64_t>(from), to_handle,
                                               static_cast<uint64_t>(to), std::min(length, kCopyMax),
                                               kills_privileges(c));
                  if (kills_privileges(c)) request.session->forget_privileges(to_ino);
                  copied.ok() ? reply_written(request, *copied) : reply_error(request, copied.error());
              });
}

}  // namespace

void fill_file_ops(fuse_lowlevel_ops& ops) {
    ops.open = op_open;
    ops.create = op_create;
    ops.read = op_read;
    ops.write = op_write;
    ops.flush = op_flush;
    ops.release = op_release;
    ops.fsync = op_fsync;
    ops.opendir = op_opendir;
    ops.readdir = op_readdir;
    ops.readdirplus = op_readdirplus;
    ops.releasedir = op_releasedir;
    ops.fsyncdir = op_fsyncdir;
    ops.getlk = op_getlk;
    ops.setlk = op_setlk;
    ops.flock = op_flock;
    ops.fallocate = op_fallocate;
    ops.lseek = op_lseek;
    ops.copy_file_range = op_copy_file_range;
}

}  // namespace meshfs
