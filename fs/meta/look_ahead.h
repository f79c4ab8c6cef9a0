// Directories that are likely to be listed next, read before they are asked for.
//
// find, du, tar, rm -r and ls -R list one directory after the other, and each costs a few calls of the store, one after the
// other.  Once a second directory is opened in one that was listed, its brothers are read ahead, in the order in which they
// were listed, ever more of them as long as they are opened, too: and so are those in them, as soon as they are listed.
//
// Threads: any.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fs/base/executor.h"
#include "fs/base/mutex.h"
#include "fs/base/types.h"

namespace meshfs {

class LookAhead {
public:
    // `read` is called on threads of this object, several at once; it may wait.
    explicit LookAhead(std::function<void(Ino)> read) : read_(std::move(read)) {}
    ~LookAhead() { stop(); }

    // Never block.
    void listed(Ino directory, const std::vector<Ino>& directories_in_it);
    void opened(Ino directory);
    void stop();  // no `read` is called any more once it returns

private:
    static constexpr size_t kThreads = 6, kWalksMax = 4096, kKnownMax = 65'536;
    static constexpr size_t kWindowMin = 4, kWindowMax = 64;

    struct Walk {
        std::deque<Ino> next;            // listed, in that order
        std::unordered_set<Ino> ahead;   // read, or about to be, and not opened yet
        size_t window = 0;               // how many those may be
    };
    void advance(Walk& walk) REQUIRES(mutex_);

    const std::function<void(Ino)> read_;
    Mutex mutex_;
    std::unordered_map<Ino, Walk> walks_ GUARDED_BY(mutex_);   // by the directory that was listed
    std::unordered_map<Ino, Ino> parents_ GUARDED_BY(mutex_);  // of what is in them
    std::unique_ptr<Executor> threads_ GUARDED_BY(mutex_);     // once there is something to do
    std::atomic<bool> is_stopped_{false};
};

}  // namespace meshfs
