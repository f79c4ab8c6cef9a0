// The inode that a request asks for, without its number.
#pragma once

#include "fs/meta/meta.h"

namespace meshfs::ops {

// ENAMETOOLONG: a symlink's target; ENOSPC: xattrs; EINVAL: no type, or a target of something else.
Result<Inode> new_inode(const CreateRequest& request, Time now);
// ENOSPC: over 64 KiB in all.
Status check_xattrs(const Xattrs& xattrs);

}  // namespace meshfs::ops
