// The operations that the kernel can ask for, one short function each.
#pragma once

#include "fs/fuse/request.h"

struct fuse_lowlevel_ops;

namespace meshfs {

void fill_name_ops(fuse_lowlevel_ops& ops);  // ops.cc: names, inodes, xattrs
void fill_file_ops(fuse_lowlevel_ops& ops);  // ops_files.cc: what is open
void fill_ioctl_ops(fuse_lowlevel_ops& ops);  // ops_ioctl.cc: chattr, lsattr

// Requests that libfuse 3.14 does not decode, from their bytes; true: taken.  (ops_raw.cc)
bool handle_raw(FuseSession& session, const char* bytes, size_t size);

}  // namespace meshfs
