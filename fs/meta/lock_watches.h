// Hints that a lock of a file may have been let go by another mount: a mailbox on l.<ino> for each file waited for.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "fs/base/mutex.h"
#include "fs/store/store.h"

namespace meshfs {

// Threads: any.
class LockWatches {
public:
    // `changed` is called on a thread of the store: it hands over.  What does not fit is not told of.
    void watch(Store& store, Ino ino, std::function<void()> changed);
    // No `changed` is called once this has returned, nor ever again.
    void stop();

private:
    static constexpr size_t kFilesMax = 1024;
    Mutex mutex_;
    bool stopped_ GUARDED_BY(mutex_) = false;
    std::map<Ino, std::unique_ptr<Mailbox>> mailboxes_ GUARDED_BY(mutex_);  // null: being opened
};

}  // namespace meshfs
