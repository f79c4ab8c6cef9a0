// What the operations of Vfs share.  Internal to fs/vfs.
#pragma once

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "fs/base/thread.h"
#include "fs/vfs/directory_atimes.h"
#include "fs/vfs/ending_locks.h"
#include "fs/vfs/handles.h"
#include "fs/vfs/lock_table.h"
#include "fs/vfs/lock_waits.h"
#include "fs/vfs/open_inodes.h"
#include "fs/vfs/permission.h"
#include "fs/vfs/publisher.h"
#include "fs/vfs/purger.h"
#include "fs/vfs/served.h"
#include "fs/vfs/sharing.h"
#include "fs/vfs/vfs.h"

namespace meshfs {

class VfsCore {
public:
    VfsCore(Store& store, Meta& meta, Clock& clock, VfsSettings settings);
    ~VfsCore();
    Status stop();
    void set_commit(int64_t ns);

    // The kernel's root is number 1, whatever directory is mounted.
    Ino inner(Ino ino) const { return ino == kRootIno ? settings.root : ino; }
    Ino outer(Ino ino) const { return ino == settings.root ? kRootIno : ino; }
    // What stat shows of an inode just read: with what this mount has not published yet.
    // since: Meta::moment() before that; none: it may be older by now, and on a shared store nobody is to keep it.
    Attributes attributes_of(Inode inode, std::optional<uint64_t> since = {});
    Attributes attributes_of_new(Inode inode, uint64_t since);
    std::atomic<bool> keeps_names{false};  // of shared stores: as CacheInvalidator says
    Result<Attributes> fresh_attributes(Ino ino);

    Status check_writable() const { return settings.read_only ? Status(fail(EROFS)) : Status(); }
    static Status check_name(std::string_view name);  // EINVAL, ENAMETOOLONG, EEXIST for . and ..
    // An inode with chattr flags was seen, so names must be looked at before they are removed.
    void note_flags(const Inode& inode) {
        if ((inode.flags & (kImmutable | kAppendOnly)) != 0) has_flagged = true;
    }
    // The directory, seen fit for a new name or the loss of one by this caller.
    Result<Inode> directory_for_change(const Caller& caller, Ino directory);

    // A file was read: its atime may have to follow.  Never blocks.
    void note_read(const std::shared_ptr<OpenInode>& file);
    void note_inode(OpenInode& file, const Inode& inode);  // what was just read tells about atime, privileges
    bool wants_atime(const Inode& inode) const;
    void set_atime_later(Ino directory);  // never blocks
    void write_atimes(const DirectoryAtimes::Noted& noted, bool is_last);
    bool is_stopping();
    // Kernel caches of what somebody else than the kernel changed.
    void changed_name(const Caller& caller, Ino directory, std::string_view name, Change::Kind kind, Ino ino);
    // It forgets attributes and pages; told, if there is one: when it has.  Never blocks.
    void tell_kernel(Ino ino, std::function<void()> told);
    void changed_inode(bool by_kernel, Ino ino);
    void took_name(const Inode& inode);  // which it had until now
    // The kernel forgets pages of before what was taken over from another mount; `then`: when it has, maybe inside the call.
    void tell_takeovers(const std::shared_ptr<OpenInode>& file, std::function<void()> then);
    // The same, waited for, but not for ever: it may be told only after what this request holds.
    void wait_for_pages(const std::shared_ptr<OpenInode>& file);
    // It asks for them when it needs them.  Waits for nothing.
    void forget_attributes(Ino ino);
    // It is being opened.  The kernel has it by now, maybe with an answer that overtook the end of its promise.
    void forget_stale(const Inode& inode);
    template <class Hook>
    Hook kernel_hook(Hook CacheInvalidator::*which) {
        MutexLock lock(mutex);
        return invalidator.*which;
    }

    // A new file's handle.  `file` counts as a use, which the handle takes over.
    std::pair<uint64_t, std::shared_ptr<Handle>> add_handle(const Caller& caller, std::shared_ptr<OpenInode> file,
                                                            int flags);
    Result<OpenedFile> open_new(const Caller& caller, const Inode& made, int flags, uint64_t since);
    OpenedFile served_opened(const ServedEdge& edge, const Caller& caller, ServedPrefix::Found found, int flags);
    Status try_lock(Ino ino, const FileLock& wanted, FileLock* conflict);
    void drop_locks(Ino ino, FileLock::Family family, uint64_t owner);
    void unlock_again();
    bool locks_locally() const { return settings.local_locks || settings.read_only || !is_shared; }
    Result<std::shared_ptr<Handle>> file_handle(uint64_t number);  // EBADF; EISDIR
    // Bytes changed otherwise than by writing, as the file is by now among all mounts.  Blocks.
    Status change_bytes(OpenInode& file, const std::function<Status()>& change);
    Status close_for_writing(Handle& handle);  // the last one publishes

    // Of Meta::on_anew.
    void give_up_unpublished();
    void begin_anew();

    Store& store;
    Meta& meta;
    Clock& clock;
    const VfsSettings settings;
    std::atomic<int64_t> commit_ns;
    const bool is_shared;  // other mounts may be there
    std::atomic<bool> has_flagged{false};

    Mutex mutex;
    CacheInvalidator invalidator GUARDED_BY(mutex);
    std::set<std::tuple<Ino, FileLock::Family, uint64_t>> unlocks_left GUARDED_BY(mutex);
    std::vector<ChangeObserver> observers;  // constant once the mount has started

    HandleTable handles;
    DirectoryAtimes directory_atimes;
    std::unique_ptr<Data> data;
    std::unique_ptr<OpenInodes> open_inodes;
    std::unique_ptr<Publisher> publisher;
    std::unique_ptr<Sharing> sharing;  // null: nobody else can be there
    std::unique_ptr<Purger> purger;
    ServedPrefixes served;
    LockTable lock_table;
    EndingLocks ending_locks;
    std::unique_ptr<LockWaits> lock_waits;
    // Writes that must wait for the store (O_SYNC, appends of several mounts), waits for locks, atimes.
    std::unique_ptr<Executor> workers;

private:
    void keep_house();  // the thread: each `commit`
    Mutex house_mutex_;
    CondVar house_wakes_;
    bool stopping_ GUARDED_BY(house_mutex_) = false;
    Thread house_;
    bool stopped_ = false;
};

}  // namespace meshfs
