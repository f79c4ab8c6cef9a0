// A plugin that answers for all below a path, as the rest of MeshFS sees it.
//
// Its numbers of files have bit 63 set and the instance in bits 56-62: the kernel's numbers, made here.  All calls
// run on the plugin's own executor and block there, so a plugin that hangs stalls its own prefix only.
#pragma once

#include <sys/statvfs.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/base/buffer.h"
#include "fs/base/executor.h"
#include "fs/base/result.h"
#include "fs/vfs/vfs.h"

namespace meshfs {

// Number `own` (1: the prefix itself, below 2^56) of the plugin that was served as the `instance`-th (0 .. 127).
constexpr Ino served_ino(unsigned instance, uint64_t own) {
    return Ino{kPluginInoBit | static_cast<uint64_t>(instance & 0x7f) << 56 | (own & ((uint64_t{1} << 56) - 1))};
}
constexpr bool is_served(Ino ino) { return (raw(ino) & kPluginInoBit) != 0; }
constexpr unsigned instance_of(Ino ino) { return static_cast<unsigned>(raw(ino) >> 56 & 0x7f); }
constexpr uint64_t own_number(Ino ino) { return raw(ino) & ((uint64_t{1} << 56) - 1); }

// The plugin's own numbers go in and out; Vfs translates.  ENOSYS: it does not serve this.  Thread-safe.
class ServedPrefix {
public:
    struct Entry {
        std::string name;
        uint64_t cookie = 0;  // > 0
        Inode inode;          // inode.ino: own number
        int64_t valid_ns = 0;
    };
    struct Found {
        Inode inode;
        int64_t valid_ns = 0;
        uint64_t handle = 0;  // open, create
    };
    virtual ~ServedPrefix() = default;
    virtual Executor& executor() = 0;  // where its calls run; lives as long as this
    virtual Result<Found> lookup(const Caller&, uint64_t dir, std::string_view name) = 0;
    virtual Result<Found> getattr(uint64_t ino) = 0;
    virtual Result<Found> setattr(const Caller&, uint64_t ino, const SetAttributes&) = 0;
    virtual Result<std::vector<Entry>> readdir(uint64_t dir, uint64_t cookie, size_t entries_max) = 0;
    virtual Result<Found> create(const Caller&, uint64_t dir, std::string_view name, uint32_t mode, int flags) = 0;
    virtual Result<Found> open(const Caller&, uint64_t ino, int flags) = 0;
    virtual Result<Buffers> read(uint64_t ino, uint64_t handle, ByteRange range) = 0;
    virtual Result<size_t> write(uint64_t ino, uint64_t handle, uint64_t offset, const Buffer& bytes) = 0;
    virtual Status fsync(uint64_t ino, uint64_t handle, bool data_only) = 0;
    virtual void release(uint64_t ino, uint64_t handle) = 0;
    virtual Result<Found> mkdir(const Caller&, uint64_t dir, std::string_view name, uint32_t mode) = 0;
    virtual Status unlink(uint64_t dir, std::string_view name) = 0;
    virtual Status rmdir(uint64_t dir, std::string_view name) = 0;
    virtual Status rename(uint64_t dir, std::string_view name, uint64_t to_dir, std::string_view to_name,
                          uint32_t flags) = 0;
    virtual Result<std::string> getxattr(uint64_t ino, std::string_view name) = 0;
    virtual Result<std::vector<std::string>> listxattr(uint64_t ino) = 0;
    virtual Status setxattr(uint64_t ino, std::string_view name, std::string_view value, int flags) = 0;
    virtual Status removexattr(uint64_t ino, std::string_view name) = 0;
    virtual Result<struct statvfs> statfs() = 0;
    virtual void forget(uint64_t ino) = 0;  // from any thread; never blocks
};

}  // namespace meshfs
