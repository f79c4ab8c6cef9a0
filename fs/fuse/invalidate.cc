#include "fs/fuse/invalidate.h"

#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>
#include <unistd.h>

#include "fs/base/executor.h"
#include "fs/base/log.h"
#include "fs/base/waiting.h"
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
    hooks.entry = [this](Ino directory, const std::string& name) { add({Item::Kind::entry, directory, name, {}}); };
    hooks.inode = [this](Ino ino, std::function<void()> told) { add({Item::Kind::inode, ino, {}, std::move(told)}); };
    hooks.attributes_at_once = [this](const std::vector<Ino>& inodes) {
        for (Ino ino : inodes) forget_attributes(ino);
    };
    return hooks;
}

void Invalidate::add(Item item) {
    {
        MutexLock lock(mutex_);
        if (!stopped_) {
            if (queue_.size() >= kQueueMax) make_room();
            queue_.push_back(std::move(item));
            work_.notify_one();
            return;
        }
    }
    if (item.told) item.told();
}

// One sweep says it all, but pages are not in it: what concerns inodes stays as far as it fits, and where somebody waits.
void Invalidate::make_room() {
    std::erase_if(queue_, [](const Item& old) { return old.kind != Item::Kind::inode; });
    size_t excess = queue_.size() < kQueueMax ? 0 : kQueueMax / 2;
    std::erase_if(queue_, [&](const Item& old) { return excess > 0 && !old.told && excess-- > 0; });
    queue_.push_front({Item::Kind::everything, {}, {}, {}});
}

void Invalidate::run() {
    name_this_thread("notify");
    while (true) {
        Item item;
        bool is_wanted;
        {
            MutexLock lock(mutex_);
            while (queue_.empty() && !stopped_) work_.wait(mutex_);
            if (queue_.empty()) return;
            item = std::move(queue_.front());
            queue_.pop_front();
            is_wanted = !stopped_;
        }
        if (is_wanted) tell(item);
        if (item.told) item.told();
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

// At offset -1 no pages go, so this waits for none.  An answer that is on its way the kernel takes for older than this.
// Waits for nothing but an inode that the kernel is just letting go of.
void Invalidate::forget_attributes(Ino ino) {
    before_waiting();
    fuse_lowlevel_notify_inval_inode(session_, nodeid_of_(ino), -1, 0);
}

}  // namespace meshfs
