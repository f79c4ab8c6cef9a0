// A store that calls a test before each call, so that something can happen just there; and that can claim to be used
// by one process only.
#pragma once

#include <functional>
#include <memory>

#include "fs/store/store.h"

namespace meshfs {

class HookedStore final : public Store {
public:
    explicit HookedStore(std::unique_ptr<Store> inner) : inner_(std::move(inner)) {}

    // On the caller's thread, before the mutation or the query starts.  Set while no call is under way.
    std::function<void(const Mutation&)> before_mutation;
    std::function<void(const Query&)> before_query;
    bool claims_exclusive = false;

    void start(Mutation mutation, Then<void> then) override {
        if (before_mutation) before_mutation(mutation);
        inner_->start(std::move(mutation), std::move(then));
    }
    void start(Query query, Then<Answer> then) override {
        if (before_query) before_query(query);
        inner_->start(std::move(query), std::move(then));
    }
    void start(Transfer transfer, Then<size_t> then) override { inner_->start(std::move(transfer), std::move(then)); }
    Result<std::unique_ptr<Mailbox>> open_mailbox(ObjectName object, MailHandler handler) override {
        return inner_->open_mailbox(std::move(object), std::move(handler));
    }
    void notify(ObjectName object, Buffer message, int seconds_max, Then<Acks> then) override {
        inner_->notify(std::move(object), std::move(message), seconds_max, std::move(then));
    }
    Result<SnapId> create_snap() override { return inner_->create_snap(); }
    Status remove_snap(SnapId snap) override { return inner_->remove_snap(snap); }
    StoreId id() override { return inner_->id(); }
    ClientId client() override { return inner_->client(); }
    Status fence(const ClientId& client) override { return inner_->fence(client); }
    bool is_exclusive() const override { return claims_exclusive || inner_->is_exclusive(); }
    Result<Capacity> capacity(Pool pool) override { return inner_->capacity(pool); }
    Status list(Pool pool, Visitor visitor) override { return inner_->list(pool, std::move(visitor)); }
    void stop() override { inner_->stop(); }

private:
    std::unique_ptr<Store> inner_;
};

}  // namespace meshfs
