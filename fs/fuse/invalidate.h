// Tells the kernel that what it remembers is wrong.
//
// inval_entry waits for the directory's lock, inval_inode for pages being read, which a request in flight may hold: these have a
// thread of their own, and nobody may wait for it inside a request.  Attributes alone are taken back at once, by the caller.
// If the queue is full, one INC_EPOCH (Linux 6.16) makes all names stale and never waits.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "fs/base/mutex.h"
#include "fs/base/types.h"
#include "fs/vfs/vfs.h"

struct fuse_session;

namespace meshfs {

class Invalidate {
public:
    // nodeid_of: the kernel's number of a file.  The session outlives this.
    Invalidate(fuse_session* session, int device_fd, std::function<uint64_t(Ino)> nodeid_of);
    ~Invalidate();  // stop()

    CacheInvalidator hooks();  // they never block; safe until stop()
    bool probe_inc_epoch();    // true: the kernel knows it; also makes all names stale
    void forget_names() { increase_epoch(); }  // all of them, at once
    void stop();

    static constexpr size_t kQueueMax = 65'536;

private:
    struct Item {
        enum class Kind : uint8_t { entry, inode, everything } kind;
        Ino ino{};
        std::string name;
        std::function<void()> told;  // may be none; called even if it was never told
    };
    void add(Item item);
    void make_room() REQUIRES(mutex_);
    void run();
    void tell(const Item& item);
    bool increase_epoch();
    void forget_attributes(Ino ino);

    fuse_session* const session_;
    const int device_fd_;
    const std::function<uint64_t(Ino)> nodeid_of_;
    Mutex mutex_;
    CondVar work_;
    std::deque<Item> queue_ GUARDED_BY(mutex_);
    bool stopped_ GUARDED_BY(mutex_) = false;
    std::thread thread_;
};

}  // namespace meshfs
