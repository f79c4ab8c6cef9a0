// Mailboxes and notifies: RADOS' watch and notify, kept alive.
//
// A watch that broke (OSD restarted, network away) is made again by a thread of its own, and its owner is told
// that messages may have been missed.  For the rados_*.cc files only: includes librados.
#pragma once

#include <list>
#include <memory>
#include <rados/librados.hpp>
#include <thread>

#include "fs/base/mutex.h"
#include "fs/store/rados_link.h"
#include "fs/store/store.h"

namespace meshfs {

// All mailboxes of one store.  Any thread.
class RadosMailboxes : public std::enable_shared_from_this<RadosMailboxes> {
public:
    explicit RadosMailboxes(std::shared_ptr<RadosLink> link);
    ~RadosMailboxes();

    Result<std::unique_ptr<Mailbox>> open(const ObjectName& object, MailHandler handler);
    void notify(const ObjectName& object, Buffer message, int seconds_max, Then<Acks> then);
    // No handler is called any more once it has returned.  Before the link's shut_down().
    void stop();
    // After the link's shut_down(): librados refers to none of them any more.
    void forget_all();

private:
    class Watch;
    class Handle;
    class NotifyCall;
    class WatchersCall;
    struct Registration;  // one aio_watch2 under way

    void close(const std::shared_ptr<Watch>& watch);
    int register_watch(Watch& watch, int64_t until_ns);
    void repair(const std::shared_ptr<Watch>& watch);
    void retire(Watch& watch, uint64_t cookie);
    void wake();
    void run();

    const std::shared_ptr<RadosLink> link_;  // also of the store
    Mutex mutex_;
    CondVar changed_;
    bool stopped_ GUARDED_BY(mutex_) = false;
    bool is_woken_ GUARDED_BY(mutex_) = false;
    std::list<std::shared_ptr<Watch>> watches_ GUARDED_BY(mutex_);  // also of its Handle and acknowledgements
    // librados may call these until it is shut down: closed ones, and registrations nobody waits for.
    std::list<std::shared_ptr<Watch>> retired_ GUARDED_BY(mutex_);
    std::list<std::shared_ptr<Registration>> abandoned_ GUARDED_BY(mutex_);
    std::thread thread_;
};

}  // namespace meshfs
