// A client of a MemoryCluster inside a simulation: when each call takes effect, when it is told, whether at all,
// and whether the client dies or freezes there, is drawn from the scheduler's seed.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "fs/base/scheduler.h"
#include "fs/store/memory_cluster.h"
#include "fs/store/store.h"

namespace meshfs {

// Probabilities are for each call, 0 .. 1.
struct SimFaults {
    int64_t delay_ns_max = 400'000;  // to the effect, and again to the reply
    double slow = 0.01;              // one of them takes up to slow_ns_max
    int64_t slow_ns_max = 2'000'000'000;
    double error = 0;                // EIO, and nothing happened
    double lost_call = 0;            // ETIMEDOUT, and nothing happened
    double lost_reply = 0;           // ETIMEDOUT, and it happened or will
    int64_t late_ns_max = 0;         // with some of them, up to so much later
    double death = 0;                // the client dies: before the effect, or between effect and reply
    double late = 0.5;               // what a dying client had sent arrives all the same
    double freeze = 0;               // the client stands still for up to freeze_ns_max
    int64_t freeze_ns_max = 0;
    double lost_message = 0;         // of a mailbox: never delivered
    bool may_fence = true;           // else EACCES: its key does not allow it
    // Around mutations of which this is true the client dies, freezes and hears nothing ten times as often.
    std::function<bool(const Mutation&)> is_sore;

    // Nothing goes wrong, and nothing takes as long as a second.
    bool is_calm() const {
        return error + lost_call + lost_reply + death + freeze + lost_message == 0 && slow_ns_max < 1'000'000'000;
    }
};

// For the threads of one group of the scheduler.  Promises what Store does; order on one object too.
class SimStore final : public Store {
public:
    SimStore(std::shared_ptr<MemoryCluster> cluster, Scheduler& scheduler, Scheduler::Group group,
             const SimFaults& faults);
    ~SimStore() override;

    void set_faults(const SimFaults& faults);
    // What a test breaks on purpose: changes a mutation before it takes effect.
    void set_filter(std::function<Mutation(const Mutation&)> filter);
    // The client has died and is taken apart: nothing takes effect any more, calls end with ESHUTDOWN.
    void reap();
    uint64_t calls() const;
    uint64_t faults_drawn() const;

    void start(Mutation, Then<void>) override;
    void start(Query, Then<Answer>) override;
    void start(Transfer, Then<size_t>) override;
    Result<std::unique_ptr<Mailbox>> open_mailbox(ObjectName, MailHandler) override;
    void notify(ObjectName, Buffer message, int seconds_max, Then<Acks>) override;
    Result<SnapId> create_snap() override;
    Status remove_snap(SnapId) override;
    StoreId id() override { return {cluster_->uuid(), "memory:"}; }
    ClientId client() override { return client_; }
    Status restart() override { return client_ = cluster_->add_client(), Status(); }
    Status fence(const ClientId&) override;
    bool is_exclusive() const override { return false; }
    Result<Capacity> capacity(Pool) override;
    Status list(Pool, Visitor) override;
    void stop() override;

private:
    struct State;
    class Inbox;
    template <class T>
    void run(const ObjectName* ordered_on, std::function<Result<T>()> effect, Then<T> then, double times = 1);
    Status enter(double times = 1);  // a pass of the token; the client may die here, so many times as likely as else

    std::shared_ptr<MemoryCluster> cluster_;
    Scheduler& scheduler_;
    const Scheduler::Group group_;
    ClientId client_;
    std::shared_ptr<State> state_;  // also events under way; belongs to who holds the token
    std::shared_ptr<Inbox> inbox_;  // also the cluster's watchers and notifications
};

// A mutation without its guards of that kind: for planted bugs.
Mutation without_guards(const Mutation& mutation, Guard::Kind kind);

}  // namespace meshfs
