#include "fs/meta/ops/new_inode.h"

namespace meshfs::ops {

Status check_xattrs(const Xattrs& xattrs) {
    size_t bytes = 0;
    for (const auto& [name, value] : xattrs) {
        if (name.empty() || name.size() > kNameMax) return fail(ERANGE);
        bytes += name.size() + value.size();
    }
    if (bytes > kXattrsBytesMax) return fail(ENOSPC, "extended attributes of one file are limited to 64 KiB");
    return {};
}

Result<Inode> new_inode(const CreateRequest& request, Time now) {
    switch (request.mode & S_IFMT) {
        case S_IFREG: case S_IFDIR: case S_IFLNK: case S_IFIFO: case S_IFSOCK: case S_IFCHR: case S_IFBLK: break;
        default: return fail(EINVAL, "no type of file");
    }
    TRY(check_xattrs(request.xattrs));
    Inode inode;
    inode.mode = request.mode;
    inode.uid = request.uid;
    inode.gid = request.gid;
    inode.rdev = request.rdev;
    inode.xattrs = request.xattrs;
    inode.atime = inode.mtime = inode.ctime = inode.btime = now;
    if (inode.is_symlink()) {
        if (request.target.empty()) return fail(ENOENT);
        if (request.target.size() > kSymlinkMax) return fail(ENAMETOOLONG);
        inode.map.inline_bytes = request.target;
        inode.map.size = request.target.size();
    }
    return inode;
}

}  // namespace meshfs::ops
