#include "fs/vfs/permission.h"

#include <unistd.h>

#include <algorithm>

#include "fs/vfs/acl.h"

namespace meshfs {
namespace {

// The algorithm of acl(5), "ACCESS CHECK ALGORITHM".
bool acl_allows(const Caller& caller, const Inode& inode, const Acl& acl, uint32_t wanted) {
    uint32_t mask = 7;
    for (const AclEntry& e : acl)
        if (e.tag == AclEntry::mask) mask = e.permissions;
    bool in_some_group = false;
    for (const AclEntry& e : acl) {
        bool allows = (e.permissions & wanted) == wanted;
        bool allows_masked = (e.permissions & mask & wanted) == wanted;
        switch (e.tag) {
            case AclEntry::user_obj:
                if (caller.uid == inode.uid) return allows;
                break;
            case AclEntry::user:
                if (caller.uid == e.id) return allows_masked;
                break;
            case AclEntry::group_obj:
            case AclEntry::group:
                if (is_in_group(caller, e.tag == AclEntry::group ? e.id : inode.gid)) {
                    if (allows_masked) return true;
                    in_some_group = true;
                }
                break;
            case AclEntry::other: return !in_some_group && allows;
            default: break;
        }
    }
    return false;
}

}  // namespace

bool is_in_group(const Caller& caller, uint32_t gid) {
    return caller.gid == gid || std::find(caller.groups.begin(), caller.groups.end(), gid) != caller.groups.end();
}

Status check_may(const Caller& caller, const Inode& inode, int wanted) {
    if (!caller.check) return {};
    if (caller.uid == 0) {
        bool executes = (wanted & X_OK) != 0 && !inode.is_directory();
        if (executes && (inode.mode & 0111) == 0) return fail(EACCES);
        return {};
    }
    auto bits = static_cast<uint32_t>(wanted) & 7;
    auto has_acl = inode.xattrs.find(kAccessAcl);
    if (has_acl != inode.xattrs.end()) {
        auto acl = parse_acl(has_acl->second);
        if (!acl) return fail(EIO, "an access ACL is damaged");
        if (!acl->empty()) return acl_allows(caller, inode, *acl, bits) ? Status() : fail(EACCES);
    }
    uint32_t allowed = inode.mode;
    if (caller.uid == inode.uid) allowed >>= 6;
    else if (is_in_group(caller, inode.gid)) allowed >>= 3;
    if ((allowed & bits) != bits) return fail(EACCES);
    return {};
}

Status check_owns(const Caller& caller, const Inode& inode) {
    if (!caller.check || caller.uid == 0 || caller.uid == inode.uid) return {};
    return fail(EPERM);
}

Status check_may_remove(const Caller& caller, const Inode& directory, const Inode& victim) {
    TRY(check_may(caller, directory, W_OK | X_OK));
    bool is_sticky = (directory.mode & S_ISVTX) != 0;
    if (caller.check && is_sticky && caller.uid != 0 && caller.uid != victim.uid && caller.uid != directory.uid)
        return fail(EPERM);
    return {};
}

void clear_privileges(Inode& inode) {
    if (inode.is_directory()) return;
    inode.mode &= ~static_cast<uint32_t>(S_ISUID);
    // setgid without group execute was mandatory locking, no privilege.
    if ((inode.mode & S_IXGRP) != 0) inode.mode &= ~static_cast<uint32_t>(S_ISGID);
    inode.xattrs.erase("security.capability");
}

Status check_is_changeable(const Inode& inode) {
    if ((inode.flags & (kImmutable | kAppendOnly)) != 0) return fail(EPERM);
    return {};
}

Status check_takes_names(const Inode& directory) {
    if ((directory.flags & kImmutable) != 0) return fail(EPERM);
    return {};
}

}  // namespace meshfs
