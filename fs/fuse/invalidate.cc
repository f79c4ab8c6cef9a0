#include "fs/fuse/invalidate.h"

#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>
#include <unistd.h>

#include "fs/base/executor.h"
#include "fs/base/log.h"
#include "fs/fuse/protocol.h"

namespace meshfs {

Invalidate::Invalidate(fuse_session* session, int device_fd, std::function<uint64_t(Ino)> nodeid_of)
    : session_(session), device_fd_(device_fd), nodeid_of_(std::move(nodeid_of)), thread_([this] { run(); }) {}

Invalidate::~Invalidate() { stop(); }

void Invalidate::stop() {
    {
        MutexLock lock(mutex_);
        stopped_ = true;
        work_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
}

CacheInvalidator Invalidate::hooks() {
    CacheInvalidator hooks;
    hooks.entry = [this](Ino directory, const std::string& name) { add({Item::Kind::entry, directory, name}); };
    hooks.inode = [this](Ino ino) { add({Item::Kind::inode, ino, {}}); };
    hooks.everything = [this] { add({Item::Kind::everything, {}, {}}); };
    return hooks;
}

void Invalidate::add(Item item) {
    MutexLock lock(mutex_);
    if (stopped_) return;
    if (queue_.size() >= kQueueMax) {
        // One sweep says it all, but pages are not in it: keep what concerns inodes.
        std::erase_if(queue_, [](const Item& old) { return old.kind != Item::Kind::inode; });
        queue_.push_front({Item::Kind::everything, {}, {}});
        if (queue_.size() >= kQueueMax) queue_.erase(queue_.begin() + 1, queue_.begin() + kQueueMax / 2);
    }
    queue_.push_back(std::move(item));
    work_.notify_one();
}

void Invalidate::run() {
    name_this_thread("notify");
    while (true) {
        Item item;
        {
            MutexLock lock(mutex_);
            while (queue_.empty() && !stopped_) work_.wait(mutex_);
            if (stopped_) return;
            item = std::move(queue_.front());
            queue_.pop_front();
        }
        tell(item);
    }
}

void Invalidate::tell(const Item& item) {
    int rc = 0;
    switch (item.kind) {
        case Item::Kind::entry:
            rc = fuse_lowlevel_notify_inval_entry(session_, nodeid_of_(item.ino), item.name.data(), item.name.size());
            break;
        case Item::Kind::inode:
            rc = fuse_lowlevel_notify_inval_inode(session_, nodeid_of_(item.ino), 0, 0);
            break;
        case Item::Kind::everything:
            if (!increase_epoch()) rc = fuse_lowlevel_notify_inval_inode(session_, FUSE_ROOT_ID, -1, 0);
            break;
    }
    // ENOENT: the kernel does not remember it.  The rest means that the mount is going away.
    if (rc != 0 && rc != -ENOENT && rc != -ENODEV && rc != -ENOTCONN)
        log_debug("the kernel did not take a notification", {{"errno", errno_name(-rc)}});
}

// A notification has the code where a reply has its errno, and no number: 16 bytes.
bool Invalidate::increase_epoch() {
    fuse_out_header header{};
    header.len = sizeof header;
    header.error = protocol::kNotifyIncEpoch;
    return write(device_fd_, &header, sizeof header) == static_cast<ssize_t>(sizeof header);
}

bool Invalidate::probe_inc_epoch() { return increase_epoch(); }

}  // namespace meshfs
