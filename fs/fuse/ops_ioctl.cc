// chattr and lsattr: the flags of an inode, as FS_IOC_GETFLAGS and, what the kernel asks before it changes them, as
// FS_IOC_FSGETXATTR have them.
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <cstring>

#include "fs/fuse/ops_shared.h"

namespace meshfs {
namespace {

struct FlagPair {
    uint32_t flag, xflag;
};
constexpr FlagPair kFlagPairs[] = {{FS_IMMUTABLE_FL, FS_XFLAG_IMMUTABLE},
                                   {FS_APPEND_FL, FS_XFLAG_APPEND},
                                   {FS_NODUMP_FL, FS_XFLAG_NODUMP},
                                   {FS_NOATIME_FL, FS_XFLAG_NOATIME}};

fsxattr to_fsxattr(uint32_t flags) {
    fsxattr out{};
    for (auto [flag, xflag] : kFlagPairs)
        if (flags & flag) out.fsx_xflags |= xflag;
    return out;
}

// Nothing if it asks for what MeshFS does not have: project quotas, extent sizes.
std::optional<uint32_t> from_fsxattr(const fsxattr& in) {
    uint32_t flags = 0, xflags = in.fsx_xflags & ~static_cast<uint32_t>(FS_XFLAG_HASATTR);
    for (auto [flag, xflag] : kFlagPairs) {
        if (xflags & xflag) flags |= flag;
        xflags &= ~xflag;
    }
    if (xflags != 0 || in.fsx_projid != 0 || in.fsx_extsize != 0 || in.fsx_cowextsize != 0) return std::nullopt;
    return flags;
}

template <class T>
std::string_view bytes_of(const T& value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
}

void get_flags(fuse_req_t req, fuse_ino_t ino, bool extended) {
    carry_out(req, Op::ioctl, ino, [extended](Vfs& vfs, const Request& request, const Caller&) {
        auto flags = vfs.get_flags(request.ino);
        if (!flags.ok()) return reply_error(request, flags.error());
        extended ? reply_ioctl(request, bytes_of(to_fsxattr(*flags))) : reply_ioctl(request, bytes_of(*flags));
    });
}

void set_flags(fuse_req_t req, fuse_ino_t ino, uint32_t flags) {
    carry_out(req, Op::ioctl, ino, [flags](Vfs& vfs, const Request& request, const Caller& c) {
        auto done = vfs.set_flags(c, request.ino, flags);
        done.ok() ? reply_ioctl(request, {}) : reply_error(request, done.error());
    });
}

// The kernel passes 4 bytes for GETFLAGS and SETFLAGS, whatever the `long` in the command's number says.
void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned command, void*, fuse_file_info*, unsigned, const void* in,
              size_t in_bytes, size_t out_bytes) noexcept {
    uint32_t flags = 0;
    fsxattr extended{};
    if (command == FS_IOC_GETFLAGS && out_bytes >= sizeof flags) return get_flags(req, ino, false);
    if (command == FS_IOC_FSGETXATTR && out_bytes >= sizeof extended) return get_flags(req, ino, true);
    if (command == FS_IOC_SETFLAGS && in != nullptr && in_bytes >= sizeof flags) {
        std::memcpy(&flags, in, sizeof flags);
        return set_flags(req, ino, flags);
    }
    if (command == FS_IOC_FSSETXATTR && in != nullptr && in_bytes >= sizeof extended) {
        std::memcpy(&extended, in, sizeof extended);
        if (auto wanted = from_fsxattr(extended)) return set_flags(req, ino, *wanted);
        return static_cast<void>(fuse_reply_err(req, EOPNOTSUPP));
    }
    fuse_reply_err(req, ENOTTY);
}

}  // namespace

void fill_ioctl_ops(fuse_lowlevel_ops& ops) { ops.ioctl = op_ioctl; }

}  // namespace meshfs
