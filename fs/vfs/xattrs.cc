// Extended attributes, ACLs among them, and the flags of chattr(1).
#include <linux/fs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>

#include "fs/vfs/acl.h"
#include "fs/vfs/core.h"

namespace meshfs {
namespace {

constexpr size_t kXattrNameMax = 255;
constexpr size_t kXattrValueMax = 64 * 1024;

bool is_acl(std::string_view name) { return name == kAccessAcl || name == kDefaultAcl; }

// Which namespace, who may use it.  The kernel has checked the rest for its callers.
Status check_namespace(const VfsCore& core, const Caller& caller, std::string_view name) {
    if (name.size() > kXattrNameMax) return fail(ERANGE);
    if (is_acl(name)) return core.settings.acl ? Status() : fail(EOPNOTSUPP);
    bool is_trusted = name.starts_with("trusted.");
    for (std::string_view prefix : {"user.", "trusted.", "security."}) {
        if (!name.starts_with(prefix)) continue;
        if (name.size() == prefix.size()) return fail(EINVAL);
        if (is_trusted && caller.check && caller.uid != 0) return fail(EPERM);
        return {};
    }
    return fail(EOPNOTSUPP);
}

Status check_may_set(const Caller& caller, const Inode& inode, std::string_view name) {
    TRY(check_is_changeable(inode));
    if (is_acl(name)) {
        if (inode.is_symlink()) return fail(EOPNOTSUPP);
        return check_owns(caller, inode);
    }
    if (name.starts_with("user.")) {
        if (!inode.is_file() && !inode.is_directory()) return fail(EPERM);
        return check_may(caller, inode, W_OK);
    }
    if (caller.check && caller.uid != 0) return fail(EPERM);
    return {};
}

// An access ACL that says no more than the mode becomes the mode alone.
Status set_acl(const Caller& caller, Inode& inode, std::string_view name, std::string_view value, bool kill_sgid) {
    Acl acl = TRY(parse_acl(value));
    if (name == kDefaultAcl) {
        if (!inode.is_directory()) return acl.empty() ? Status() : fail(EACCES);
        if (acl.empty()) inode.xattrs.erase(kDefaultAcl);
        else inode.xattrs[kDefaultAcl] = acl_bytes(acl);
        return {};
    }
    if (acl.empty()) {
        inode.xattrs.erase(kAccessAcl);
        return {};
    }
    inode.mode = (inode.mode & ~0777u) | mode_of(acl);
    bool is_outsider = caller.check && caller.uid != 0 && !is_in_group(caller, inode.gid);
    if (kill_sgid || is_outsider) inode.mode &= ~static_cast<uint32_t>(S_ISGID);
    if (is_equal_to_mode(acl)) inode.xattrs.erase(kAccessAcl);
    else inode.xattrs[kAccessAcl] = acl_bytes(acl);
    return {};
}

size_t bytes_of(const Xattrs& xattrs) {
    size_t bytes = 0;
    for (const auto& [name, value] : xattrs) bytes += name.size() + value.size();
    return bytes;
}

Status set_value(Inode& inode, std::string_view name, std::string_view value, int flags) {
    std::string key(name);
    bool is_there = inode.xattrs.contains(key);
    if ((flags & XATTR_CREATE) != 0 && is_there) return fail(EEXIST);
    if ((flags & XATTR_REPLACE) != 0 && !is_there) return fail(ENODATA);
    inode.xattrs[key] = std::string(value);
    if (bytes_of(inode.xattrs) > kXattrsBytesMax) return fail(ENOSPC);
    return {};
}

// chattr's letters for those of inode.h.
constexpr std::array<std::pair<uint32_t, uint32_t>, 4> kFlags{{
    {FS_IMMUTABLE_FL, kImmutable},
    {FS_APPEND_FL, kAppendOnly},
    {FS_NODUMP_FL, kNoDump},
    {FS_NOATIME_FL, kNoAtime},
}};

}  // namespace

Result<std::string> Vfs::getxattr(const Caller& caller, Ino ino, std::string_view name) {
    if (is_served(ino)) {
        const ServedEdge* edge = TRY(core_->served.edge_of(ino));
        auto value = edge->served->getxattr(own_number(ino), name);
        return value.code() == ENOSYS ? fail(ENODATA) : value;
    }
    TRY(check_namespace(*core_, caller, name));
    Inode inode = TRY(meta_.get(core_->inner(ino)));
    if (name.starts_with("user.")) {
        if (!inode.is_file() && !inode.is_directory()) return fail(ENODATA);
        TRY(check_may(caller, inode, R_OK));
    }
    auto at = inode.xattrs.find(std::string(name));
    if (at == inode.xattrs.end()) return fail(ENODATA);
    return at->second;
}

Result<std::vector<std::string>> Vfs::listxattr(const Caller& caller, Ino ino) {
    if (is_served(ino)) {
        const ServedEdge* edge = TRY(core_->served.edge_of(ino));
        auto names = edge->served->listxattr(own_number(ino));
        return names.code() == ENOSYS ? std::vector<std::string>() : names;
    }
    Inode inode = TRY(meta_.get(core_->inner(ino)));
    std::vector<std::string> names;
    for (const auto& [name, value] : inode.xattrs) {
        if (caller.uid != 0 && name.starts_with("trusted.")) continue;
        if (!core_->settings.acl && is_acl(name)) continue;
        names.push_back(name);
    }
    return names;
}

Status Vfs::setxattr(const Caller& caller, Ino ino, std::string_view name, std::string_view value, int flags,
                     bool kill_sgid) {
    TRY(core_->check_writable());
    if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) != 0) return fail(EINVAL);
    if (value.size() > kXattrValueMax) return fail(E2BIG);
    if (is_served(ino)) {
        const ServedEdge* edge = TRY(core_->served.edge_of(ino));
        return edge->served->setxattr(own_number(ino), name, value, flags);
    }
    TRY(check_namespace(*core_, caller, name));
    ino = core_->inner(ino);
    Inode changed = TRY(meta_.change(ino, [&](InodeChange& change) -> Status {
        TRY(check_may_set(caller, change.inode, name));
        change.inode.ctime = core_->clock.now();
        if (!is_acl(name)) return set_value(change.inode, name, value, flags);
        TRY(set_acl(caller, change.inode, name, value, kill_sgid));
        return bytes_of(change.inode.xattrs) > kXattrsBytesMax ? fail(ENOSPC) : Status();
    }));
    if (auto file = core_->open_inodes->find(ino)) core_->note_inode(*file, changed);
    core_->changed_inode(caller.is_kernel(), ino);
    return {};
}

Status Vfs::removexattr(const Caller& caller, Ino ino, std::string_view name) {
    TRY(core_->check_writable());
    if (is_served(ino)) {
        const ServedEdge* edge = TRY(core_->served.edge_of(ino));
        return edge->served->removexattr(own_number(ino), name);
    }
    TRY(check_namespace(*core_, caller, name));
    ino = core_->inner(ino);
    TRY(meta_.change(ino, [&](InodeChange& change) -> Status {
        TRY(check_may_set(caller, change.inode, name));
        if (change.inode.xattrs.erase(std::string(name)) == 0 && !is_acl(name)) return fail(ENODATA);
        change.inode.ctime = core_->clock.now();
        return {};
    }));
    core_->changed_inode(caller.is_kernel(), ino);
    return {};
}

Result<uint32_t> Vfs::get_flags(Ino ino) {
    if (is_served(ino)) return uint32_t{0};
    Inode inode = TRY(meta_.get(core_->inner(ino)));
    core_->note_flags(inode);
    uint32_t flags = 0;
    for (auto [outer, inner] : kFlags)
        if ((inode.flags & inner) != 0) flags |= outer;
    return flags;
}

Status Vfs::set_flags(const Caller& caller, Ino ino, uint32_t flags) {
    TRY(core_->check_writable());
    if (is_served(ino)) return fail(EOPNOTSUPP);
    uint32_t wanted = 0;
    for (auto [outer, inner] : kFlags) {
        if ((flags & outer) == 0) continue;
        wanted |= inner;
        flags &= ~outer;
    }
    if (flags != 0) return fail(EOPNOTSUPP);
    ino = core_->inner(ino);
    Inode changed = TRY(meta_.change(ino, [&](InodeChange& change) -> Status {
        const uint32_t after = wanted | (change.inode.flags & kHadLocks);
        uint32_t differs = change.inode.flags ^ after;
        if ((differs & (kImmutable | kAppendOnly)) != 0 && caller.uid != 0) return fail(EPERM);
        if (caller.uid != 0 && caller.uid != change.inode.uid) return fail(EPERM);
        change.inode.flags = after;
        change.inode.ctime = core_->clock.now();
        return {};
    }));
    core_->note_flags(changed);
    core_->changed_inode(false, ino);  // after an ioctl the kernel does not ask again by itself
    return {};
}

}  // namespace meshfs
