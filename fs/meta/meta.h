// Names: the table of contents of what can be done with them.  The rule of each operation is in
// ops/<verb>.cc.
//
// Threads: any; all calls block on the store unless said otherwise.  Permissions are the caller's business
// (the kernel's or fs/vfs'); rules of the tree (EEXIST, ENOTEMPTY, loops) are decided here, atomically among
// all mounts.  Errors besides the named: those of Store; EIO with object and key for damaged records;
// ESTALE for a number that leads nowhere; ESHUTDOWN while the session is dead and no other has begun.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/base/clock.h"
#include "fs/base/executor.h"
#include "fs/base/mutex.h"
#include "fs/base/result.h"
#include "fs/base/thread.h"
#include "fs/meta/inode.h"
#include "fs/meta/lease_usage.h"
#include "fs/meta/lock_list.h"
#include "fs/store/store.h"

namespace meshfs {

inline constexpr uint32_t kFormatVersion = 1;

struct FormatOptions {
    int lease_seconds = 30;  // T of metadata.md; tests format with 5 or less; never changed afterwards
    uint32_t root_mode = 0755, root_uid = 0, root_gid = 0;
    std::string data_pool;   // rados: name of pool 1; empty: the metadata pool
    bool force = false;      // deletes what is there, `volume` last; refused (EBUSY) while a session beats
    std::function<void(uint64_t done, uint64_t total)> progress;
};
// EEXIST: a volume is there, and !force.  Errors carry a sentence.
Status format_volume(Store& store, Clock& clock, const FormatOptions& options);

struct VolumeInfo {
    uint32_t format_version = kFormatVersion;
    std::string uuid;
    Time created;
    int lease_seconds = 30;
    uint64_t features_ignore = 0, features_read_only = 0, features_refuse = 0;
    std::string data_pool;
};
// ENOENT: no volume, names `meshfs format`; EPROTONOSUPPORT: made by a newer MeshFS.
Result<VolumeInfo> read_volume(Store& store);

struct MetaOptions {
    std::string host;              // for the registry; gethostname(2) unless set
    bool background = true;        // own threads for beats and purge; simulations call tick() instead
    bool read_only = false;        // no session is made, every change is EROFS
    size_t split_names = 10'000;   // a group splits beyond
    // Groups changed or read often here are answered from memory and written in batches.
    bool hold = false;
    bool synchronous = false;      // each change is in the store when its call returns
    int64_t commit_ns = 1'000'000'000;  // what is not there yet is not older
    // Of held groups a kernel may keep names: never, while nobody else uses the volume, or always (for simulations).
    enum class Names : uint8_t { never, alone, always } names = Names::never;
};

struct CreateRequest {
    Ino directory{};
    std::string name;
    uint32_t mode = 0;  // type and permissions as they shall be: umask and default ACL are applied above
    uint32_t uid = 0, gid = 0;
    uint64_t rdev = 0;
    std::string target;  // of a symlink
    Xattrs xattrs;       // ACLs and security labels, set in the same step
    uint64_t request_id = 0;  // of the kernel's request, for repeats; 0: none
};

struct RenameRequest {
    Ino from_directory{};
    std::string from_name;
    Ino to_directory{};
    std::string to_name;
    bool no_replace = false;  // EEXIST if the target is there
    bool exchange = false;    // both must be there
};

// A file or directory that lost a name.
struct Unlinked {
    Inode inode;        // links: what is left; 0: only open handles keep it
};
struct Renamed {
    Inode moved;
    std::optional<Unlinked> replaced;
};

// One read-modify-write of an inode; may be called several times, on what is there by then.
struct InodeChange {
    Inode& inode;                // to be changed; ctime is the callee's business
    std::vector<Extent> freed;   // nobody maps them any more once the change is in: noted for purge; they may overlap
};
using ChangeInode = std::function<Status(InodeChange&)>;

struct DirectoryEntry {
    std::string name;
    Ino ino{};
    uint32_t type = 0;            // S_IF...
    uint64_t cookie = 0;          // lasting; > 2; a file's place, usable after unlink, rename, split
    std::optional<Inode> inode;   // if attributes were wanted and came with the name (not of directories)
};
struct ListRequest {
    Ino directory{};
    uint64_t after_cookie = 0;    // 0: from the start
    std::string after_name;       // if known, instead of the cookie
    size_t entries_max = 1024;
    bool with_inodes = false;
};
struct ListPage {
    std::vector<DirectoryEntry> entries;  // in byte order of names, without "." and ".."
    bool more = false;
};

// What must be true of a name for publish() to take it.
struct PublishCondition {
    enum class Kind : uint8_t { always, absent, generation };
    Kind kind = Kind::always;
    uint64_t generation = 0;  // the content version of the file that has the name
};

// Something unlinked, closed everywhere, whose bytes may go.  Extents freed from a living inode come with
// inode.links > 0 and only those extents in inode.map.
struct Purgeable {
    Inode inode;
    // Of Meta's.
    std::string token;
    int64_t since_ns = 0;        // by boot_ns(): when it was queued first
    bool is_found_again = false;  // by something else that is queued
};

struct SessionInfo {
    SessionId id{};
    std::string host, state;  // "alive", "ended", "dead"
    Time started;
    uint64_t beat = 0;
    uint64_t intents = 0;
    bool own = false;
    ClientId client;
};

class MetaCore;  // groups, leases, session: shared by the operations

class Meta {
public:
    // Begins a session.  Finds and finishes nothing by itself; visitors do.
    static Result<std::unique_ptr<Meta>> open(Store& store, Clock& clock, MetaOptions options = {});
    ~Meta();
    Status close();  // hands everything back and says "ended"; other calls must have returned

    // --- names
    Result<Inode> lookup(Ino directory, std::string_view name);  // ENOENT; "." and ".." work
    Result<Inode> create(const CreateRequest& request);          // all but directories; EEXIST
    Result<Inode> mkdir(const CreateRequest& request);           // EEXIST
    // O_TMPFILE: a file without a name, open here until released(); link() may name it.
    Result<Inode> create_unnamed(const CreateRequest& request);
    Result<Inode> link(Ino ino, Ino directory, std::string_view name);
    // Names a file of create_unnamed(), replacing what had the name, in one step.  EEXIST (absent), ECANCELED
    // (generation), EISDIR: nothing happened.
    Result<Renamed> publish(Ino ino, Ino directory, std::string_view name, const PublishCondition& when);
    Result<Unlinked> unlink(Ino directory, std::string_view name);  // EISDIR
    Result<Unlinked> rmdir(Ino directory, std::string_view name);   // ENOTDIR, ENOTEMPTY
    Result<Renamed> rename(const RenameRequest& request);           // EINVAL: into itself
    Result<ListPage> list(const ListRequest& request);

    // --- inodes
    Result<Inode> get(Ino ino);
    Result<Inode> change(Ino ino, const ChangeInode& change);
    // The name a number has now, one of them if several: for paths in messages and NFS.  ENOENT: unlinked.
    Result<std::pair<Ino, std::string>> name_of(Ino ino);

    // --- what a crash cannot take any more.  Blocks until all that was answered before is in the store.  EIO: another mount
    // took over what this one had not written, which is lost; told once.
    Status commit();
    void set_commit(int64_t ns);
    void set_synchronous(bool is_synchronous);

    // --- open files.  opened() before the first open of a number in this mount looks the inode up, so that no
    // purge takes it; released() after the last close.  Counting is the caller's.
    Result<Inode> opened(Ino ino);
    void released(Ino ino);

    // --- what is dead.  The caller removes the bytes, then says so.
    Result<std::vector<Purgeable>> purgeable(size_t max);  // of what this session unlinked or found
    Status purged(const Purgeable& item);
    void purge_later(const Purgeable& item);  // it could not be removed now.  Never blocks
    size_t queued_for_purge() const;  // known, and not purged yet: some wait, for what others may still read
    // Walks the tree and dead sessions' leavings once, queueing what it finds for purgeable().
    struct GcReport { uint64_t groups = 0, unlinked = 0, nameless = 0, sessions = 0; };
    Result<GcReport> collect(std::function<void(uint64_t groups_done)> progress = nullptr);

    // A directory's names are read next.  Never blocks.
    void will_list(Ino directory);

    // --- what may wait: a file this mount has written and closed, while nobody else can see it.  True: its group, the one
    // that it was born in, is held, and before anybody else can read that, `pay` is called: on the thread that lets go of it, in
    // any call.  It may wait, and call change(), get() and what is about data ids, of numbers born in that group.  Null: it is not
    // called any more once this returns.  It is waited for, but no longer than the lease time: then they see the file later.
    bool owe(Ino ino, uint64_t content_version);  // of the inode as it is known here.  Never blocks
    void on_due(std::function<bool(GroupId)> pay);  // true: something was stored, and all that was owed

    // --- data ids: where blobs of this session may lie, recorded in s.<session> before they do
    BlobId next_blob(Ino home);  // never blocks; home 0: a pack, whose members say which files it is of
    // Objects first .. last of that blob may exist from now on; answers the last that may, by then.
    Result<uint64_t> record_reach(BlobId blob, Ino home, uint64_t first_object, uint64_t last_object);
    // All of it that was stored is published, and no more will be written by who called the two above.  Never blocks.
    void forget_reach(BlobId blob);
    // What sessions that are over had on record, where none of their writes can land any more: objects that nobody
    // needs unless the inode of `home` maps them.  The caller removes those, then says so.
    struct LeftReach {
        SessionId session{};
        BlobId first{}, last{};        // of the blobs
        Ino home{};                    // of the first; the others' is the same, or
        bool homes_rise = false;       // one more each
        uint64_t first_object = 0, last_object = 0;
        bool are_packs() const { return home == Ino{} && !homes_rise; }
    };
    Result<std::vector<LeftReach>> left_reaches();
    Result<bool> cleared(const LeftReach& reach);  // true: that was the last of its session, which is gone, too

    // May that blob be written to, or have bytes that are not published yet?  Of another mount's also: not for long.
    Result<bool> is_in_reach(BlobId blob);
    // --- packs: members that nobody maps any more, as hints: whether it is so their inodes say.
    Status note_dead_members(const std::vector<Extent>& members);  // the packed ones of these
    struct DeadMembers {
        BlobId pack{};
        uint64_t bytes = 0;
    };
    Result<std::vector<DeadMembers>> dead_members();
    Result<uint64_t> dead_bytes(BlobId pack);
    Status forget_dead_members(BlobId pack);  // with the pack

    // --- locks across mounts.  `session` is this one's, whatever the caller says.  EAGAIN: somebody else has it,
    // `conflict` says who; ENOLCK: too many of one file.  Locks of a session that ended or died do not count.
    Status lock(Ino ino, const FileLock& wanted, FileLock* conflict);
    Result<std::optional<FileLock>> test_lock(Ino ino, const FileLock& wanted);
    Status unlock(Ino ino, const FileLock& range);                 // family, session, owner, range
    Status unlock_owner(Ino ino, FileLock::Family family, uint64_t owner);
    // `changed` is called, on a thread of the store, when a lock of that file may have been let go by another mount:
    // a hint, it may be missing.  At most one a file.
    void watch_locks(Ino ino, std::function<void()> changed);
    void unwatch_locks();  // no `changed` is called any more, nor taken

    // --- who writes a file.  By its inode a session does alone, and another wants to: asked for room, again and again
    // until its name is no longer there.  `wanted` of the one asked must only hand over; null: it is not called any more.
    void ask_for_room(SessionId writer, Ino ino, uint64_t write_version);
    void on_room_wanted(std::function<void(Ino)> wanted);
    // One look, without waiting: who waits for its end looks again.  False: it ended, or is dead, and none of its writes
    // can land any more where the keyring allows to see to that.
    Result<bool> is_alive(SessionId other);

    // --- the volume and who uses it
    const VolumeInfo& volume() const;
    SessionId session() const;
    Result<std::vector<SessionInfo>> sessions();
    // with_directories: a query for each that is contended.
    LeaseUsage lease_usage(bool with_directories);
    // False: the lease window has passed; nothing may be answered from memory until it is true again.
    bool is_in_window() const;

    // --- answers that may be kept, by the kernel; for how long, in ns.  Where nobody else can be: long.  Elsewhere an inode that
    // was read since a moment for a little, while the group it is in is held, or until that is broken.  Who hears
    // of that must not wait, and once it returns nobody keeps them.  Nothing is promised to nobody (null: it is not called
    // any more once this returns).  A name for less, and only as options.names says, for no kernel can be told to forget one
    // without waiting, or doing harm (fs/fuse/README.md): who lets go of the group waits.
    int64_t keep_name_ns() const;  // whatever it is
    int64_t keep_name(const Inode& found, uint64_t since);
    uint64_t moment() const;
    int64_t promise(const Inode& inode, uint64_t since);
    bool is_promised(const Inode& inode) const;
    void on_broken_promises(std::function<void(const std::vector<Ino>&)> broken);
    void tick();  // one beat, one look at recalls; for simulations (background = false)

    // --- a mount that was away for too long and was declared dead begins anew, as another session: by
    // itself, or, without background, by this.  Nothing of before can take effect then.  What was not in the
    // store is lost: commit() says so, once.  Errors: there is none yet, call again; EOPNOTSUPP: fenced, and
    // this store cannot connect anew.
    Status begin_anew();
    // What stands on the session.  lost: what was not published is to be given up; calls are ESHUTDOWN
    // meanwhile. begun: the new one is there; what is open is to be said again, by opened().  On a thread of
    // Meta's or of begin_anew(); null: not called any more once this returns.
    void on_anew(std::function<void()> lost, std::function<void()> begun);
    // For who is about to begin something: waits, for a while, for a session that may have been away to know
    // how it stands.
    void wait_while_away() const;

    MetaCore& core() { return *core_; }  // for tests

private:
    Meta(Store& store, Clock& clock, MetaOptions options, VolumeInfo volume);
    Status begin();  // makes core_
    bool is_dead() const { return deaths_ != deaths_over_; }
    void run_anew();
    void died();
    void stop_anew();
    template <class Call, class... Arguments>
    auto with(Call call, Arguments&&... arguments) const;

    Store& store_;
    Clock& clock_;
    const MetaOptions options_;
    const VolumeInfo volume_;
    mutable Gate gate_;  // entered around whatever uses core_; closed while there is none
    std::unique_ptr<MetaCore> core_;
    std::atomic<SessionId> session_{kNobody};
    std::atomic<uint64_t> deaths_{0}, deaths_over_{0};
    std::atomic<int64_t> commit_ns_;
    std::atomic<bool> is_synchronous_;

    Mutex anew_mutex_;  // held while one begins anew
    std::function<void()> lost_hook_ GUARDED_BY(anew_mutex_), begun_hook_ GUARDED_BY(anew_mutex_);
    std::function<void(Ino)> room_wanted_ GUARDED_BY(anew_mutex_);
    std::function<void(const std::vector<Ino>&)> broken_ GUARDED_BY(anew_mutex_);
    std::function<bool(GroupId)> due_ GUARDED_BY(anew_mutex_);
    struct Legacy;  // of sessions that died, for the next one
    std::shared_ptr<Legacy> legacy_ GUARDED_BY(anew_mutex_);
    Mutex died_mutex_;
    CondVar died_changed_;
    bool is_ending_ GUARDED_BY(died_mutex_) = false;
    Thread anew_;
};

}  // namespace meshfs
