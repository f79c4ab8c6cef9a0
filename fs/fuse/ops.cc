// Names, inodes and their attributes: from the kernel's words to the calls of Vfs.
//
// The kernel has checked modes and ACLs (default_permissions); what remains to be decided is decided in fs/vfs and
// fs/meta.  All of these may wait for the store.
#include <sys/xattr.h>

#include "fs/fuse/ops_shared.h"

namespace meshfs {
namespace {

std::string_view kDot = ".", kDotDot = "..";

// "." and ".." come from open_by_handle_at and NFS, for any number ever given out, files too.
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char* name) noexcept {
    carry_out(req, Op::lookup, parent, [name = std::string(name)](Vfs& vfs, const Request& request, const Caller& c) {
        if (name == kDotDot && request.ino == request.session->settings().root)
            return reply_entry(request, vfs.lookup(c, request.ino, kDot));  // nothing above the root of a mount
        if (name == kDot) {
            auto itself = vfs.getattr(c, request.ino, 0);
            // Of what is open here the kernel has the inode, and does not ask.
            if (itself.ok() && itself->inode.links == 0) itself = fail(ESTALE);
            return reply_entry(request, itself);
        }
        auto found = vfs.lookup(c, request.ino, name);
        if (found.code() == ENOENT && found.error().detail().empty() && name != kDotDot)
            return reply_no_entry(request, (raw(request.ino) & kPluginInoBit) ? 0 : vfs.meta().keep_name_ns());
        reply_entry(request, found);
    }, name);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count) noexcept {
    FuseSession& session = session_of(req);
    session.vfs().forget(session.ino_of(ino), count);
    fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, fuse_forget_data* forgets) noexcept {
    FuseSession& session = session_of(req);
    for (size_t i = 0; i < count; ++i) session.vfs().forget(session.ino_of(forgets[i].ino), forgets[i].nlookup);
    fuse_reply_none(req);
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, fuse_file_info* file) noexcept {
    uint64_t handle = file ? file->fh : 0;
    carry_out(req, Op::getattr, ino, [handle](Vfs& vfs, const Request& request, const Caller& c) {
        reply_attributes(request, vfs.getattr(c, request.ino, handle));
    });
}

Time time_of(const timespec& t) { return {t.tv_sec, static_cast<uint32_t>(t.tv_nsec)}; }

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat* to, int which, fuse_file_info* file) noexcept {
    SetAttributes set;
    if (which & FUSE_SET_ATTR_MODE) set.mode = to->st_mode & 07777;
    if (which & FUSE_SET_ATTR_UID) set.uid = to->st_uid;
    if (which & FUSE_SET_ATTR_GID) set.gid = to->st_gid;
    if (which & FUSE_SET_ATTR_SIZE) set.size = static_cast<uint64_t>(to->st_size);
    set.atime_now = (which & FUSE_SET_ATTR_ATIME_NOW) != 0;
    set.mtime_now = (which & FUSE_SET_ATTR_MTIME_NOW) != 0;
    if ((which & FUSE_SET_ATTR_ATIME) && !set.atime_now) set.atime = time_of(to->st_atim);
    if ((which & FUSE_SET_ATTR_MTIME) && !set.mtime_now) set.mtime = time_of(to->st_mtim);
    if (which & FUSE_SET_ATTR_CTIME) set.ctime = time_of(to->st_ctim);
    set.kill_suid_sgid = incoming().kill_suid_sgid;
    set.handle = file ? file->fh : 0;
    carry_out(req, Op::setattr, ino, [set](Vfs& vfs, const Request& request, const Caller& c) {
        reply_attributes(request, vfs.setattr(c, request.ino, set));
    });
}

void op_readlink(fuse_req_t req, fuse_ino_t ino) noexcept {
    carry_out(req, Op::readlink, ino, [](Vfs& vfs, const Request& request, const Caller& c) {
        auto target = vfs.readlink(c, request.ino);
        target.ok() ? reply_bytes(request, *target) : reply_error(request, target.error());
    });
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, dev_t rdev) noexcept {
    carry_out(req, Op::mknod, parent,
              [name = std::string(name), mode, rdev](Vfs& vfs, const Request& request, const Caller& c) {
                  reply_entry(request, vfs.mknod(c, request.ino, name, mode, rdev));
              });
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode) noexcept {
    carry_out(req, Op::mkdir, parent,
              [name = std::string(name), mode](Vfs& vfs, const Request& request, const Caller& c) {
                  reply_entry(request, vfs.mkdir(c, request.ino, name, mode));
              });
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char* name) noexcept {
    carry_out(req, Op::unlink, parent, [name = std::string(name)](Vfs& vfs, const Request& request, const Caller& c) {
        reply_status(request, vfs.unlink(c, request.ino, name));
    });
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char* name) noexcept {
    carry_out(req, Op::rmdir, parent, [name = std::string(name)](Vfs& vfs, const Request& request, const Caller& c) {
        reply_status(request, vfs.rmdir(c, request.ino, name));
    });
}

void op_symlink(fuse_req_t req, const char* target, fuse_ino_t parent, const char* name) noexcept {
    carry_out(req, Op::symlink, parent,
              [target = std::string(target), name = std::string(name)](Vfs& vfs, const Request& request,
                                                                       const Caller& c) {
                  reply_entry(request, vfs.symlink(c, target, request.ino, name));
              });
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char* name, fuse_ino_t to, const char* to_name,
               unsigned flags) noexcept {
    Ino to_directory = session_of(req).ino_of(to);
    carry_out(req, Op::rename, parent,
              [name = std::string(name), to_directory, to_name = std::string(to_name), flags](
                  Vfs& vfs, const Request& request, const Caller& c) {
                  reply_status(request, vfs.rename(c, request.ino, name, to_directory, to_name, flags));
              });
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t to, const char* name) noexcept {
    Ino directory = session_of(req).ino_of(to);
    carry_out(req, Op::link, ino,
              [directory, name = std::string(name)](Vfs& vfs, const Request& request, const Caller& c) {
                  reply_entry(request, vfs.link(c, request.ino, directory, name));
              });
}

void op_statfs(fuse_req_t req, fuse_ino_t ino) noexcept {
    carry_out(req, Op::statfs, ino, [](Vfs& vfs, const Request& request, const Caller&) {
        auto numbers = vfs.statfs();
        numbers.ok() ? reply_statfs(request, *numbers) : reply_error(request, numbers.error());
    });
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char* name, const char* value, size_t size,
                 int flags) noexcept {
    carry_out(req, Op::setxattr, ino,
              [name = std::string(name), value = std::string(value, size), flags](Vfs& vfs, const Request& request,
                                                                                  const Caller& c) {
                  reply_status(request, vfs.setxattr(c, request.ino, name, value, flags, false));
              });
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char* name, size_t size) noexcept {
    carry_out(req, Op::getxattr, ino,
              [name = std::string(name), size](Vfs& vfs, const Request& request, const Caller& c) {
                  auto value = vfs.getxattr(c, request.ino, name);
                  value.ok() ? reply_xattr(request, *value, size) : reply_error(request, value.error());
              });
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size) noexcept {
    carry_out(req, Op::listxattr, ino, [size](Vfs& vfs, const Request& request, const Caller& c) {
        auto names = vfs.listxattr(c, request.ino);
        if (!names.ok()) return reply_error(request, names.error());
        std::string list;
        for (const auto& name : *names) list.append(name).push_back('\0');
        reply_xattr(request, list, size);
    });
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char* name) noexcept {
    carry_out(req, Op::removexattr, ino, [name = std::string(name)](Vfs& vfs, const Request& request, const Caller& c) {
        reply_status(request, vfs.removexattr(c, request.ino, name));
    });
}

void op_access(fuse_req_t req, fuse_ino_t ino, int mask) noexcept {
    carry_out(req, Op::access, ino, [mask](Vfs& vfs, const Request& request, const Caller& c) {
        reply_status(request, vfs.access(c, request.ino, mask));
    });
}

}  // namespace

void fill_name_ops(fuse_lowlevel_ops& ops) {
    ops.init = [](void* userdata, fuse_conn_info* connection) {
        static_cast<FuseSession*>(userdata)->settle(*connection);
    };
    ops.lookup = op_lookup;
    ops.forget = op_forget;
    ops.forget_multi = op_forget_multi;
    ops.getattr = op_getattr;
    ops.setattr = op_setattr;
    ops.readlink = op_readlink;
    ops.mknod = op_mknod;
    ops.mkdir = op_mkdir;
    ops.unlink = op_unlink;
    ops.rmdir = op_rmdir;
    ops.symlink = op_symlink;
    ops.rename = op_rename;
    ops.link = op_link;
    ops.statfs = op_statfs;
    ops.setxattr = op_setxattr;
    ops.getxattr = op_getxattr;
    ops.listxattr = op_listxattr;
    ops.removexattr = op_removexattr;
    ops.access = op_access;
}

}  // namespace meshfs
