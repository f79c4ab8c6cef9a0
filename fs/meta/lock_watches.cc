#include "fs/meta/lock_watches.h"

#include "fs/meta/format.h"

namespace meshfs {

void LockWatches::watch(Store& store, Ino ino, std::function<void()> changed) {
    {
        MutexLock lock(mutex_);
        if (stopped_ || mailboxes_.size() >= kFilesMax || !mailboxes_.try_emplace(ino).second) return;
    }
    MailHandler handler;
    handler.message = [changed](Buffer, Acknowledge acknowledge) {
        acknowledge({});
        changed();
    };
    handler.lost = [changed](int) { changed(); };
    // The object must be there to be watched; it is, if the lock is somebody's.
    (void)store.apply(std::move(Mutation(locks_object(ino)).create()));
    auto opened = store.open_mailbox(locks_object(ino), std::move(handler));
    MutexLock lock(mutex_);
    if (stopped_) return;  // `opened` ends after the lock
    if (opened.ok()) mailboxes_[ino] = std::move(opened).value();
    else mailboxes_.erase(ino);
}

void LockWatches::stop() {
    std::map<Ino, std::unique_ptr<Mailbox>> ended;  // after the lock
    MutexLock lock(mutex_);
    stopped_ = true;
    ended.swap(mailboxes_);
}

}  // namespace meshfs
