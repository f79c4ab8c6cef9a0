// The store in memory: the reference the others are judged by, and what tests run on.
//
// Several MemoryStores, each a client that can be fenced, may share one MemoryCluster: so one test can have
// several mounts.  One thread a store takes calls in the order they were started, lets them take effect and
// tells their callbacks; what stop() finds not yet done never takes effect.
#pragma once

#include <memory>

#include "fs/store/memory_cluster.h"
#include "fs/store/store.h"

namespace meshfs {

class CallQueue;

class MemoryStore final : public Store {
public:
    // Without a cluster it has one of its own, which nobody else can reach: it is exclusive.
    explicit MemoryStore(std::shared_ptr<MemoryCluster> cluster = nullptr);
    ~MemoryStore() override;  // stop(); its mailboxes must have gone before

    void start(Mutation, Then<void>) override;
    void start(Query, Then<Answer>) override;
    // Aborts if it overlaps with another one in flight of this store and one of them writes.
    void start(Transfer, Then<size_t>) override;
    Result<std::unique_ptr<Mailbox>> open_mailbox(ObjectName, MailHandler) override;
    void notify(ObjectName, Buffer message, int seconds_max, Then<Acks>) override;
    Result<SnapId> create_snap() override;
    Status remove_snap(SnapId) override;
    StoreId id() override;
    ClientId client() override { return client_; }
    Status fence(const ClientId&) override;
    bool is_exclusive() const override { return is_alone_; }
    Result<Capacity> capacity(Pool) override;
    Status list(Pool, Visitor) override;
    void stop() override;

    const std::shared_ptr<MemoryCluster>& cluster() const { return cluster_; }

private:
    class Overlaps;
    // `run` gets 0: let it take effect; or the errno of what forbids it.
    void call(uint64_t bytes, std::function<void(int refusal)> run);
    Status stopped() const;
    const bool is_alone_;
    std::shared_ptr<MemoryCluster> cluster_;  // every client of it
    const ClientId client_;
    std::shared_ptr<CallQueue> queue_;  // also the cluster's watchers and notifications
    std::unique_ptr<Overlaps> overlaps_;
};

}  // namespace meshfs
