// O_APPEND from several mounts: no record lost, doubled or torn.
//
// The mount that appends alone holds the file's *append lease* and buffers; it is a lock in l.<ino> beyond every
// offset a user can lock.  Who wants to append besides it writes "several" into the inode's writer and waits for
// that lock.  The holder sees it at its next publication or within `commit`, publishes, lets go, and from then on
// both append under the lock, one record at a time: read the inode, append at its end, store, publish.
#pragma once

#include "fs/base/buffer.h"
#include "fs/meta/meta.h"
#include "fs/vfs/open_inodes.h"
#include "fs/vfs/publisher.h"

namespace meshfs {

class Appends {
public:
    Appends(Meta& meta, Publisher& publisher, OpenInodes& open_inodes)
        : meta_(meta), publisher_(publisher), open_inodes_(open_inodes) {}

    // At the end of the file as all mounts see it.  Blocks.  Shared stores only.
    Status append(const std::shared_ptr<OpenInode>& file, Buffer bytes);
    // Lets leases go that others want.  Each `commit`; blocks.
    void let_go_wanted();
    // The last handle that appends was closed: publishes, lets go.  Blocks.
    void close(OpenInode& file);

private:
    FileLock lease() const;
    Status take_lease(OpenInode& file);
    void let_go(OpenInode& file);  // with the turn
    Status set_writer(Ino ino, SessionId writer);
    Status append_shared(OpenInode& file, const Buffer& bytes);

    static constexpr int64_t kLookAgainNs = 20 * kNsPerMs;
    static constexpr int kLooksASecond = 50;
    Meta& meta_;
    Publisher& publisher_;
    OpenInodes& open_inodes_;
};

}  // namespace meshfs
