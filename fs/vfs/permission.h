// Who may.  For the kernel's callers it has decided (default_permissions); these ask for plugins' callers.
//
// Every function says yes if !caller.check.  uid 0 may all, but execute only what somebody may.
#pragma once

#include "fs/base/result.h"
#include "fs/meta/inode.h"
#include "fs/vfs/vfs.h"

namespace meshfs {

// wanted: R_OK, W_OK, X_OK together.  EACCES.
Status check_may(const Caller& caller, const Inode& inode, int wanted);
// Only the owner: EPERM.
Status check_owns(const Caller& caller, const Inode& inode);
// Removing `victim` from `directory`, sticky directories included: EACCES, EPERM.
Status check_may_remove(const Caller& caller, const Inode& directory, const Inode& victim);
bool is_in_group(const Caller& caller, uint32_t gid);

// Of every caller: EPERM where an inode flag (chattr) forbids it.
void clear_privileges(Inode& inode);  // setuid, setgid, security.capability
Status check_is_changeable(const Inode& inode);   // not immutable, not append-only
Status check_takes_names(const Inode& directory); // not immutable

}  // namespace meshfs
