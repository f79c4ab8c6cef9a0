// The objects of the memory store, and what its clients share: mailboxes, fences, snapshots, capacity.
//
// Every call is one moment: it happens wholly before or wholly after every other.  MemoryStore puts a thread
// in front of it; the simulation decides itself when each call takes effect.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "fs/base/clock.h"
#include "fs/base/executor.h"
#include "fs/base/mutex.h"
#include "fs/store/store.h"

namespace meshfs {

// Where a client's callbacks run.  Any thread; never runs them inside post().
class MemoryInbox {
public:
    virtual ~MemoryInbox() = default;
    virtual void post(int64_t delay_ns, std::function<void()> run) = 0;
    virtual bool is_stopped() = 0;
};

// Any thread.  Lives as long as a store or a mailbox on it.
class MemoryCluster : public std::enable_shared_from_this<MemoryCluster> {
public:
    static constexpr uint64_t kDefaultBytes = uint64_t{1} << 40;
    explicit MemoryCluster(uint64_t capacity_bytes = kDefaultBytes, Clock& clock = Clock::system());
    ~MemoryCluster();

    ClientId add_client();
    // Inputs have passed their check().
    Status mutate(const ClientId& client, const Mutation& mutation);
    Result<Answer> query(const ClientId& client, const Query& query);
    Result<size_t> transfer(const ClientId& client, Transfer& transfer);

    Result<std::unique_ptr<Mailbox>> open_mailbox(const ClientId& client, const ObjectName& object,
                                                  MailHandler handler, std::shared_ptr<MemoryInbox> inbox);
    // `then` is posted to the notifier's inbox: when all have acknowledged, or after `timeout_ns`.
    void notify(const ClientId& client, const ObjectName& object, Buffer message, int64_t timeout_ns,
                Then<Acks> then, std::shared_ptr<MemoryInbox> inbox);

    Result<SnapId> create_snap(const ClientId& client);
    Status remove_snap(const ClientId& client, SnapId snap);
    void fence(const ClientId& client);
    bool is_fenced(const ClientId& client);
    Capacity capacity();
    std::vector<std::string> names(Pool pool);
    const std::string& uuid() const { return uuid_; }

private:
    struct Body;
    struct Object;
    struct Watcher;
    struct Notification;
    class MemoryMailbox;

    Status judge(const Body* body, const std::vector<Guard>& guards, bool creates) const REQUIRES(mutex_);
    // What would go wrong with the effects, before any is done.
    Status foresee(const Body* body, const Mutation& mutation) const REQUIRES(mutex_);
    void take_effect(std::shared_ptr<Body>& body, const Effect& effect) REQUIRES(mutex_);
    void keep_for_snapshots(Object& object, const SnapContext& snaps) REQUIRES(mutex_);
    const Body* body_at(const ObjectName& name, SnapId at) const REQUIRES(mutex_);
    void drop_if_empty(const ObjectName& name) REQUIRES(mutex_);
    void lose_watchers(const ObjectName& name) REQUIRES(mutex_);
    void forget_watcher(const std::shared_ptr<Watcher>& watcher);

    const uint64_t capacity_bytes_;
    Clock& clock_;
    const std::string uuid_;
    Mutex mutex_;
    std::map<ObjectName, Object> objects_ GUARDED_BY(mutex_);
    std::map<ObjectName, std::vector<std::shared_ptr<Watcher>>> watchers_ GUARDED_BY(mutex_);
    std::set<ClientId> fenced_ GUARDED_BY(mutex_);
    std::set<uint64_t> removed_snaps_ GUARDED_BY(mutex_);
    uint64_t last_snap_ GUARDED_BY(mutex_) = 0;
    uint64_t last_client_ GUARDED_BY(mutex_) = 0;
    uint64_t used_bytes_ GUARDED_BY(mutex_) = 0;
};

}  // namespace meshfs
