// POSIX over names and bytes: what FUSE, plugins, tools and tests call.
//
// Calls block unless they take a Then; callers run them on executors.  A Then may be called inside the call (what
// is in memory is answered at once) or later on another thread, where it must only hand over.  Threads: any.
// Errors: errno as POSIX has it; a detail only where a log line wants one.
#pragma once

#include <sys/statvfs.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/base/executor.h"
#include "fs/base/result.h"
#include "fs/data/data.h"
#include "fs/meta/meta.h"
#include "fs/vfs/changes.h"

namespace meshfs {

// Who asks.  Modes and ACLs are not checked unless `check` is set: by the kernel they were (default_permissions), plugins may all.
struct Caller {
    uint32_t uid = 0, gid = 0;
    uint32_t pid = 0;
    uint32_t umask = 0;
    std::vector<uint32_t> groups;  // supplementary; only used if `check`
    bool check = false;
    bool is_plugin = false;
    uint64_t request_id = 0;
    bool is_kernel() const { return !check && !is_plugin; }  // it knows what it asked for
};

struct Attributes {  // what stat(2) and statx(2) tell
    Inode inode;          // size and times include this mount's unpublished writes
    uint64_t blocks = 0;  // of 512 bytes
    int64_t valid_ns = 0;       // the kernel may keep it this long,
    int64_t name_valid_ns = 0;  // and that the name it was found by leads to it
};

struct SetAttributes {
    std::optional<uint32_t> mode, uid, gid;
    std::optional<uint64_t> size;
    std::optional<Time> atime, mtime, ctime;
    bool atime_now = false, mtime_now = false;
    bool kill_suid_sgid = false;
    uint64_t handle = 0;  // ftruncate; 0: none
};

struct OpenedFile {
    uint64_t handle = 0;      // no pointer; unique in this mount
    Attributes attributes;
    bool keep_cache = false;  // the kernel's pages of this file are still right
    bool direct_io = false;   // bypass the kernel's pages (written on several mounts, or asked for)
    bool no_flush = false;    // FOPEN_NOFLUSH may be set
};

struct VfsSettings {
    DataSettings data;
    int64_t commit_ns = kNsPerSecond;
    enum class Atime : uint8_t { relatime, noatime, strict } atime = Atime::relatime;
    bool read_only = false;
    bool local_locks = false;   // nolock: locks on this mount only
    bool acl = true;
    Ino root = kRootIno;        // subdir=
};

// Told when the kernel's caches are wrong because something else than the kernel changed them (plugins, other
// mounts, leases).  Must not block.
struct CacheInvalidator {
    bool keeps_names = false;  // a name that it was told too late to keep is forgotten
    std::function<void(Ino directory, const std::string& name)> entry;
    // Attributes and pages.  told, if there is one: called when the kernel has none from before any more, on any thread.
    std::function<void(Ino, std::function<void()> told)> inode;
    // Attributes of these, not their pages; has happened when it returns.  If there is none, the kernel is to keep nothing
    // that other mounts could change.
    std::function<void(const std::vector<Ino>&)> attributes_at_once;
};

class ServedPrefix;  // prefix.h: a plugin that answers below its prefix
class VfsCore;       // core.h: what the operations share

class Vfs {
public:
    // meta and store outlive it.
    Vfs(Store& store, Meta& meta, Clock& clock, VfsSettings settings);
    ~Vfs();
    Status stop();  // flushes everything; the first error if something could not be stored

    void set_invalidator(CacheInvalidator invalidator);
    // The pool on which calls about this number, or this name in it, shall run: a plugin's own, or null for the mount's
    // workers.
    Executor* executor_for(Ino ino, std::string_view name = {});
    // A plugin serves `prefix` (an absolute path); before the mount starts.  EEXIST: another one does.
    Status serve(const std::string& prefix, std::shared_ptr<ServedPrefix> served);
    // One more who is told of changes made through this Vfs (changes.h); before the mount starts.
    void observe(ChangeObserver observer);

    Result<Attributes> lookup(const Caller&, Ino directory, std::string_view name);
    Result<Attributes> getattr(const Caller&, Ino ino, uint64_t handle);
    Result<Attributes> setattr(const Caller&, Ino ino, const SetAttributes&);
    Result<std::string> readlink(const Caller&, Ino ino);
    Result<Attributes> mknod(const Caller&, Ino directory, std::string_view name, uint32_t mode, uint64_t rdev);
    Result<Attributes> mkdir(const Caller&, Ino directory, std::string_view name, uint32_t mode);
    Result<Attributes> symlink(const Caller&, std::string_view target, Ino directory, std::string_view name);
    Result<Attributes> link(const Caller&, Ino ino, Ino directory, std::string_view name);
    Status unlink(const Caller&, Ino directory, std::string_view name);
    Status rmdir(const Caller&, Ino directory, std::string_view name);
    Status rename(const Caller&, Ino from, std::string_view from_name, Ino to, std::string_view to_name,
                  uint32_t flags);  // RENAME_NOREPLACE, RENAME_EXCHANGE

    // flags: of open(2), O_TRUNC included.
    Result<OpenedFile> open(const Caller&, Ino ino, int flags);
    Result<OpenedFile> create(const Caller&, Ino directory, std::string_view name, uint32_t mode, int flags);
    Result<OpenedFile> tmpfile(const Caller&, Ino directory, uint32_t mode, int flags);
    // Gives a file of tmpfile() a name, all at once: its bytes are stored first, what had the name is replaced.
    // EEXIST, ECANCELED: the condition does not hold.  The handle stays open.
    Result<Attributes> publish(const Caller&, uint64_t handle, Ino directory, std::string_view name,
                               const PublishCondition& when);
    void read(uint64_t handle, ByteRange range, Then<Buffers> then);  // never blocks
    struct WriteHow {
        bool kill_priv = false;       // clear setuid and setgid
        bool from_cache = false;      // pages of an mmap, no size change beyond what the kernel says
        std::optional<bool> appends;  // by fcntl(F_SETFL); none: as it was opened
    };
    void write(uint64_t handle, uint64_t offset, Buffer bytes, WriteHow how, Then<size_t> then);
    Status flush(uint64_t handle, uint64_t lock_owner);            // close(2): tells errors once
    Status fsync(uint64_t handle, bool data_only);
    void begin_release(uint64_t handle);  // it was closed: release() comes.  Never blocks
    void release(uint64_t handle, bool flock_release);
    Status fallocate(uint64_t handle, int mode, ByteRange range, bool kill_priv);
    Result<uint64_t> seek(uint64_t handle, uint64_t offset, int whence);
    Result<uint64_t> copy_range(uint64_t from_handle, uint64_t from, uint64_t to_handle, uint64_t to, uint64_t length,
                                bool kill_priv);

    Result<uint64_t> opendir(const Caller&, Ino ino);
    struct Listed {
        std::string name;
        Ino ino{};
        uint32_t type = 0;
        uint64_t cookie = 0;  // "." is 1, ".." is 2
        std::optional<Attributes> attributes;  // readdirplus
    };
    // Up to entries_max after `cookie`; empty: the end.
    Result<std::vector<Listed>> readdir(uint64_t handle, uint64_t cookie, size_t entries_max, bool plus);
    Status fsyncdir(uint64_t handle, bool data_only);
    void releasedir(uint64_t handle);

    Result<std::string> getxattr(const Caller&, Ino ino, std::string_view name);  // ENODATA
    Result<std::vector<std::string>> listxattr(const Caller&, Ino ino);
    Status setxattr(const Caller&, Ino ino, std::string_view name, std::string_view value, int flags,
                    bool kill_sgid);
    Status removexattr(const Caller&, Ino ino, std::string_view name);
    Status access(const Caller&, Ino ino, int mask);
    Result<struct statvfs> statfs();
    Status syncfs();
    // For who is about to begin an operation: a mount that was away finds out first how it stands.  Blocks
    // for a while.
    void wait_while_away();

    Result<uint32_t> get_flags(Ino ino);  // FS_IOC_GETFLAGS: FS_*_FL
    Status set_flags(const Caller&, Ino ino, uint32_t flags);

    // fcntl: l_type F_RDLCK, F_WRLCK, F_UNLCK; start..end inclusive.
    struct LockRequest {
        uint64_t handle = 0, owner = 0;
        int type = 0;
        uint64_t first = 0, last = 0;
        uint32_t pid = 0;
        bool flock = false;
    };
    Result<LockRequest> getlk(Ino ino, const LockRequest&);  // type F_UNLCK: free
    // EAGAIN.  Told when the kernel, too, has no bytes from before the lock.
    void setlk(Ino ino, const LockRequest&, Then<void> then);
    // Waits without a thread; cancel_setlk ends it with EINTR.  `ticket` is the caller's name for the wait.
    void setlkw(Ino ino, const LockRequest&, uint64_t ticket, Then<void> then);
    void cancel_setlk(uint64_t ticket);

    void forget(Ino ino, uint64_t count);  // never blocks

    // For tools and messages: the path of a number, as far as it is known; "?" where not.
    std::string path_of(Ino ino);
    Result<Attributes> resolve(const Caller&, const std::string& path);  // absolute; no symlink at the end is followed

    Meta& meta() { return meta_; }
    Ino root() const;  // what the kernel calls 1
    // A directory on the way to what a plugin serves, or keeps below that; made if it is missing.  ENOTDIR.
    Result<Ino> found_or_made(Ino directory, const std::string& name);
    // What may change while it is mounted.
    void set_commit(int64_t ns);
    void set_dirty_bytes_max(uint64_t bytes);
    struct Usage { uint64_t handles, open_files, dirty_bytes, dirty_bytes_max, cached_bytes, in_flight, purge_waiting; };
    Usage usage();

private:
    Meta& meta_;
    std::unique_ptr<VfsCore> core_;
};

}  // namespace meshfs
