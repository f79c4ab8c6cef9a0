// What the kernel may send that libfuse 3.14 does not decode, and the bits it drops.
//
// Numbers and layouts of include/uapi/linux/fuse.h, protocol 7.39 to 7.44; Debian 12's copy ends at 7.38.
#pragma once

#include <linux/fuse.h>

#include <cstdint>

namespace meshfs::protocol {

inline constexpr uint32_t kOpSyncfs = 50, kOpTmpfile = 51, kOpStatx = 52;
inline constexpr int kNotifyIncEpoch = 8;  // Linux 6.16

inline constexpr uint32_t kSetattrKillSuidgid = 1u << 11;  // FATTR_KILL_SUIDGID
inline constexpr uint32_t kWriteKillSuidgid = 1u << 2;
inline constexpr uint32_t kOpenKillSuidgid = 1u << 0;
inline constexpr uint32_t kSetxattrAclKillSgid = 1u << 0;

inline constexpr uint64_t kInitParallelDirops = uint64_t{1} << 18;  // known to libfuse 3.14, and forgotten
inline constexpr uint64_t kInitKillprivV2 = uint64_t{1} << 28;
inline constexpr uint64_t kInitSetxattrExt = uint64_t{1} << 29;
inline constexpr uint64_t kInitExt = uint64_t{1} << 30;
inline constexpr uint64_t kInitDirectIoAllowMmap = uint64_t{1} << 36;

inline constexpr uint32_t kOpenDirectIo = 1u << 0, kOpenKeepCache = 1u << 1, kOpenCacheDir = 1u << 3,
                          kOpenNoFlush = 1u << 5, kOpenParallelDirectWrites = 1u << 6;

struct SetxattrIn {  // with FUSE_SETXATTR_EXT; name and value follow
    uint32_t size, flags, setxattr_flags, padding;
};

struct StatxIn {
    uint32_t getattr_flags, reserved;
    uint64_t handle;
    uint32_t sx_flags, sx_mask;
};

struct StatxTime {
    int64_t seconds;
    uint32_t ns;
    int32_t reserved;
};

struct StatxOut {
    uint64_t attr_valid;
    uint32_t attr_valid_nsec, flags;
    uint64_t spare[2];
    uint32_t mask, blksize;
    uint64_t attributes;
    uint32_t nlink, uid, gid;
    uint16_t mode, spare0;
    uint64_t ino, size, blocks, attributes_mask;
    StatxTime atime, btime, ctime, mtime;
    uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
    uint64_t spare2[14];
};
static_assert(sizeof(StatxOut) == 32 + 256);

}  // namespace meshfs::protocol
