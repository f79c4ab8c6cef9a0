// The files open in this mount: one object an inode, shared by all its handles, with its bytes.
//
// An inode stays here while it has handles, while it is dirty, and while somebody works on it; only then is Meta
// told that it is closed.  So a purge never takes a file whose last bytes are still to be published.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "fs/base/clock.h"
#include "fs/base/mutex.h"
#include "fs/data/data.h"
#include "fs/meta/meta.h"
#include "fs/vfs/turn.h"

namespace meshfs {

struct OpenInode {
    explicit OpenInode(Ino ino_) : ino(ino_) {}

    const Ino ino;
    std::unique_ptr<FileData> data;  // set before anyone sees it
    // Publishing, truncating, taking over what another mount published: one at a time.
    Turn turn;

    std::atomic<bool> is_dirty_listed{false};  // the publisher's list refers to it
    std::atomic<bool> is_queued{false};        // a flusher has it or will
    std::atomic<bool> wants_atime{false};      // the next read shall set atime (relatime)
    std::atomic<bool> may_be_privileged{true}; // setuid, setgid or security.capability may be there
    std::atomic<bool> kills_privileges{false}; // with what was written: cleared when it is published, set elsewhere or not
    std::atomic<bool> had_posix_lock{false};   // no FOPEN_NOFLUSH any more
    std::atomic<bool> are_pages_stale{false};  // another mount's bytes were taken over since the last open
    std::atomic<uint64_t> takeovers{0};        // of another mount's bytes, and of those how many the kernel was told of
    std::atomic<uint64_t> takeovers_told{0};   // before somebody got a lock
    std::atomic<uint64_t> version{0};          // content version that `data` is based on; changed under `turn`

    // Closed with so many bytes that are not published, because nobody else can look there (publish_together.cc); 0: none.
    // Changed under `turn`.
    std::atomic<uint64_t> owed{0};

    // Writing beside other mounts (sharing.h).
    enum class Role : uint8_t { none, alone, several };
    std::atomic<Role> role{Role::none};        // changed under `turn` and `mutex`
    std::atomic<bool> is_new{false};           // made by this mount, not published yet
    std::atomic<bool> is_unlinked{false};      // by this mount, which took its last name
    std::atomic<bool> looks_anew{false};       // several mounts write to it
    bool holds_append_lock = false;            // under `turn`
    int64_t owes_room_since = 0;               // under `turn`; by boot_ns(), 0: it does not

    Mutex mutex;
    CondVar accepted;
    size_t writers GUARDED_BY(mutex) = 0;      // handles
    size_t accepting GUARDED_BY(mutex) = 0;    // writes on their way into memory
    Time times_set GUARDED_BY(mutex);                // when utimens last set mtime: earlier writes do not count
    Time touched GUARDED_BY(mutex);                  // changed otherwise than by write (fallocate)
    std::optional<Time> atime GUARDED_BY(mutex);     // to be published
    uint32_t errors GUARDED_BY(mutex) = 0;           // how many; a handle remembers how many it knows of
    int last_error GUARDED_BY(mutex) = 0;
    bool error_was_told GUARDED_BY(mutex) = true;
};

class OpenInodes {
public:
    // data_of: makes the FileData of an inode just read.
    using MakeData = std::function<std::unique_ptr<FileData>(const Inode&)>;
    OpenInodes(Meta& meta, MakeData data_of) : meta_(meta), data_of_(std::move(data_of)) {}

    struct Opened {
        std::shared_ptr<OpenInode> file;
        std::optional<Inode> inode;  // if it was read for this
    };
    // One more use.  Blocks on Meta for the first.  Regular files only: EISDIR, ELOOP (symlink), ENXIO.
    Result<Opened> use(Ino ino);
    // The same for a file that is open in Meta already (create_unnamed).
    std::shared_ptr<OpenInode> adopt(const Inode& inode);
    // One more use of what the caller uses already.  Never blocks.
    void use_again(OpenInode& file);
    // One less; the last closes it in Meta (blocks).
    void done(const std::shared_ptr<OpenInode>& file);
    bool is_last_use(const OpenInode& file);  // the caller's
    // Null: not open here.  Never blocks.
    std::shared_ptr<OpenInode> find(Ino ino);
    std::vector<std::shared_ptr<OpenInode>> all();
    size_t size();

    // What this mount knew of a file when it closed it, to keep the kernel's pages.  A bounded memory.
    void remember(Ino ino, std::optional<uint64_t> version);
    std::optional<uint64_t> remembered(Ino ino);

private:
    struct Slot {
        enum class State : uint8_t { opening, open, closing } state = State::opening;
        size_t uses = 1;
        std::shared_ptr<OpenInode> file;
    };
    std::shared_ptr<OpenInode> make(const Inode& inode);

    static constexpr size_t kRememberedMax = 65536;
    Meta& meta_;
    MakeData data_of_;
    // Not held over calls of Meta or FileData.
    Mutex mutex_;
    CondVar changed_;
    std::unordered_map<uint64_t, Slot> slots_ GUARDED_BY(mutex_);
    std::unordered_map<uint64_t, uint64_t> remembered_ GUARDED_BY(mutex_);
};

}  // namespace meshfs
