// One request of the kernel's, from the moment it is decoded until it is answered.
#pragma once

#include <cstdint>

#include "fs/base/result.h"
#include "fs/base/types.h"

struct fuse_req;

namespace meshfs {

class FuseSession;

enum class Op : uint8_t {
    lookup, getattr, setattr, readlink, mknod, mkdir, unlink, rmdir, symlink, rename, link, open, create, tmpfile,
    read, write, flush, release, fsync, opendir, readdir, readdirplus, releasedir, fsyncdir, statfs, syncfs,
    setxattr, getxattr, listxattr, removexattr, access, getlk, setlk, flock, ioctl, fallocate, lseek,
    copy_file_range, statx, forget
};
inline constexpr size_t kOps = static_cast<size_t>(Op::forget) + 1;
const char* name_of(Op op);

// Small and copied freely; exactly one of the reply_... functions is called for it.
struct Request {
    FuseSession* session = nullptr;
    fuse_req* handle = nullptr;  // null: not decoded by libfuse, answered by its number alone
    uint64_t unique = 0;
    Ino ino{};                   // what it is about, for the log
    int64_t begun_ns = 0;        // CLOCK_BOOTTIME
    Op op = Op::lookup;
};

// What libfuse 3.14 does not hand on of the request that this reader thread decodes now.
struct Incoming {
    uint64_t unique = 0;
    bool kill_suid_sgid = false;   // WRITE, OPEN, SETATTR: FUSE_HANDLE_KILLPRIV_V2
    class ReceiveBuffer* buffer = nullptr;
};
const Incoming& incoming();

}  // namespace meshfs
