// A store that passes every call on: what stands around another store overrides only what it changes.
//
// Calls that block start and wait, as Store has them: so who overrides start() meets all of them.  Who overrides nothing else
// may pass those on too, for a store that answers on the calling thread.
#pragma once

#include <memory>

#include "fs/store/store.h"

namespace meshfs {

class ForwardingStore : public Store {
public:
    explicit ForwardingStore(Store& inner) : inner_(inner) {}
    explicit ForwardingStore(std::unique_ptr<Store> inner) : inner_(*inner), owned_(std::move(inner)) {}

    void start(Mutation mutation, Then<void> then) override { inner_.start(std::move(mutation), std::move(then)); }
    void start(Query query, Then<Answer> then) override { inner_.start(std::move(query), std::move(then)); }
    void start(Transfer transfer, Then<size_t> then) override { inner_.start(std::move(transfer), std::move(then)); }
    Result<std::unique_ptr<Mailbox>> open_mailbox(ObjectName object, MailHandler handler) override {
        return inner_.open_mailbox(std::move(object), std::move(handler));
    }
    void notify(ObjectName object, Buffer message, int seconds_max, Then<Acks> then) override {
        inner_.notify(std::move(object), std::move(message), seconds_max, std::move(then));
    }
    Result<SnapId> create_snap() override { return inner_.create_snap(); }
    Status remove_snap(SnapId snap) override { return inner_.remove_snap(snap); }
    StoreId id() override { return inner_.id(); }
    ClientId client() override { return inner_.client(); }
    Status fence(const ClientId& client) override { return inner_.fence(client); }
    bool is_exclusive() const override { return inner_.is_exclusive(); }
    Status add_data_pool(Pool pool, const std::string& name) override { return inner_.add_data_pool(pool, name); }
    void set_soft_timeout(int seconds) override { inner_.set_soft_timeout(seconds); }
    Result<Capacity> capacity(Pool pool) override { return inner_.capacity(pool); }
    Status list(Pool pool, Visitor visitor) override { return inner_.list(pool, std::move(visitor)); }
    void stop() override { inner_.stop(); }
    Status restart() override { return inner_.restart(); }

protected:
    Store& inner_;

private:
    std::unique_ptr<Store> owned_;  // null: the caller's
};

}  // namespace meshfs
