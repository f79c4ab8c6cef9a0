// Messages between the parts of one process: an embedded store has no other.
#pragma once

#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "fs/base/executor.h"
#include "fs/store/store.h"

namespace meshfs::local {

class Mailboxes {
public:
    explicit Mailboxes(ClientId client);
    ~Mailboxes();  // stop(); no Mailbox is open any more
    std::unique_ptr<Mailbox> open(const ObjectName& object, MailHandler handler);
    // Answered once all have acknowledged, or when the time is over.
    void notify(const ObjectName& object, Buffer message, int seconds_max, Then<Acks> then);
    void lose(const ObjectName& object);  // it was removed: its mailboxes are told, with ENOENT
    void stop();  // open notifies end now: who has not answered is silent

private:
    struct Box;
    struct Notice;
    class OpenBox;
    using BoxPtr = std::shared_ptr<Box>;        // its Mailbox and notices under way
    using NoticePtr = std::shared_ptr<Notice>;  // the acknowledgements and the deadline
    void close(const BoxPtr& box);
    void acknowledge(const NoticePtr& notice, const BoxPtr& box, Buffer reply);
    void forget(const NoticePtr& notice, const BoxPtr& box);
    void end(const NoticePtr& notice);
    void watch_deadlines();

    const ClientId client_;
    const std::shared_ptr<Gate> acknowledgements_ = std::make_shared<Gate>();  // and each Acknowledge given out
    Executor mail_;  // one thread: messages in order
    Mutex mutex_;
    CondVar changed_;
    std::multimap<ObjectName, BoxPtr> boxes_ GUARDED_BY(mutex_);
    std::vector<NoticePtr> notices_ GUARDED_BY(mutex_);
    bool stopped_ GUARDED_BY(mutex_) = false;
    std::thread deadlines_;
};

}  // namespace meshfs::local
