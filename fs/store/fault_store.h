// A store around another that fails as real ones do, from a seed: late, slow, with errors, with lost replies,
// deaf, silent, dead.  For tests, and for users who want to see what their programs do: [store.fault].
#pragma once

#include <memory>

#include "fs/base/random.h"
#include "fs/store/call_queue.h"
#include "fs/store/store.h"

namespace meshfs {

// Probabilities are for each call, 0 .. 1; their sum should be below 1.
struct FaultPlan {
    uint64_t seed = 1;
    int64_t delay_us_min = 0, delay_us_max = 0;  // before the effect, and again before the reply
    uint64_t bytes_per_second = 0;               // 0: as fast as it goes
    double error = 0;        // error_code, and nothing happened
    int error_code = EIO;
    double lost_call = 0;    // ETIMEDOUT, and nothing happened
    double lost_reply = 0;   // ETIMEDOUT, and it happened
    double late_effect = 0;  // ETIMEDOUT, and it happens after that; on one object still in order
    bool has_faults() const { return delay_us_max > 0 || bytes_per_second > 0 || error + lost_call + lost_reply + late_effect > 0; }
};

// Any thread.  What the contract of Store promises stays true, but for the errors asked for: mutations and
// writes of one object keep their order; those of several objects do not.
class FaultStore final : public Store {
public:
    explicit FaultStore(std::unique_ptr<Store> inner, FaultPlan plan = {});
    ~FaultStore() override;

    void set_plan(const FaultPlan& plan);  // for the calls that start from now on; restarts its seed
    // Messages to the mailboxes opened here are swallowed, as by a watch that went deaf unnoticed.
    void set_deaf(bool deaf);
    // Cut off: calls are neither done nor answered until it is unset (then they are) or the store is stopped.
    void set_silent(bool silent);
    // The client dies: nothing that has not yet taken effect ever will; all calls end with ESHUTDOWN.
    void kill();
    uint64_t faults() const;  // how many calls got an error from here
    Store& inner() { return *inner_; }

    void start(Mutation, Then<void>) override;
    void start(Query, Then<Answer>) override;
    void start(Transfer, Then<size_t>) override;
    Result<std::unique_ptr<Mailbox>> open_mailbox(ObjectName, MailHandler) override;
    void notify(ObjectName, Buffer message, int seconds_max, Then<Acks>) override;
    Result<SnapId> create_snap() override;
    Status remove_snap(SnapId) override;
    StoreId id() override { return inner_->id(); }
    ClientId client() override { return inner_->client(); }
    Status fence(const ClientId&) override;
    bool is_exclusive() const override { return inner_->is_exclusive(); }
    Result<Capacity> capacity(Pool) override;
    Status list(Pool, Visitor) override;
    void stop() override;

private:
    struct Fate;
    struct State;
    template <class T>
    struct Call;
    template <class T, class Start>
    void run(const ObjectName* ordered_on, uint64_t bytes, Then<T> then, Start start);
    Fate draw(const ObjectName* ordered_on, uint64_t bytes);
    void release_held();
    int refusal() const;
    Status alive() const;

    std::shared_ptr<State> state_;  // also callbacks of mailboxes
    std::shared_ptr<CallQueue> queue_;
    std::unique_ptr<Store> inner_;
};

}  // namespace meshfs
