#include "fs/store/reconnecting_store.h"

#include <utility>

namespace meshfs {

ReconnectingStore::ReconnectingStore(std::unique_ptr<Store> first, Connect connect)
    : connect_(std::move(connect)), is_exclusive_(first->is_exclusive()), store_(std::move(first)) {}

std::shared_ptr<Store> ReconnectingStore::now() const {
    MutexLock lock(mutex_);
    return store_;
}

void ReconnectingStore::stop() { now()->stop(); }

Status ReconnectingStore::restart() {
    auto connected = connect_();
    if (!connected.ok()) return connected.error();
    std::shared_ptr<Store> store = std::move(connected).value();
    std::map<Pool, std::string> pools;
    {
        MutexLock lock(mutex_);
        pools = pools_;
        if (soft_timeout_) store->set_soft_timeout(*soft_timeout_);
    }
    for (const auto& [pool, name] : pools) TRY(store->add_data_pool(pool, name));
    {
        MutexLock lock(mutex_);
        store_.swap(store);
    }
    store->stop();  // the old one
    return {};
}

Status ReconnectingStore::add_data_pool(Pool pool, const std::string& name) {
    TRY(now()->add_data_pool(pool, name));
    MutexLock lock(mutex_);
    pools_[pool] = name;
    return {};
}

void ReconnectingStore::set_soft_timeout(int seconds) {
    MutexLock lock(mutex_);
    soft_timeout_ = seconds;
    store_->set_soft_timeout(seconds);
}

void ReconnectingStore::start(Mutation mutation, Then<void> then) {
    now()->start(std::move(mutation), std::move(then));
}
void ReconnectingStore::start(Query query, Then<Answer> then) {
    now()->start(std::move(query), std::move(then));
}
void ReconnectingStore::start(Transfer transfer, Then<size_t> then) {
    now()->start(std::move(transfer), std::move(then));
}
Status ReconnectingStore::apply(Mutation mutation) { return now()->apply(std::move(mutation)); }
Result<Answer> ReconnectingStore::ask(Query query) { return now()->ask(std::move(query)); }
Result<size_t> ReconnectingStore::transfer(Transfer transfer) { return now()->transfer(std::move(transfer)); }
Result<std::unique_ptr<Mailbox>> ReconnectingStore::open_mailbox(ObjectName object, MailHandler handler) {
    return now()->open_mailbox(std::move(object), std::move(handler));
}
void ReconnectingStore::notify(ObjectName object, Buffer message, int seconds_max, Then<Acks> then) {
    now()->notify(std::move(object), std::move(message), seconds_max, std::move(then));
}
Result<SnapId> ReconnectingStore::create_snap() { return now()->create_snap(); }
Status ReconnectingStore::remove_snap(SnapId snap) { return now()->remove_snap(snap); }
StoreId ReconnectingStore::id() { return now()->id(); }
ClientId ReconnectingStore::client() { return now()->client(); }
Status ReconnectingStore::fence(const ClientId& client) { return now()->fence(client); }
Result<Capacity> ReconnectingStore::capacity(Pool pool) { return now()->capacity(pool); }
Status ReconnectingStore::list(Pool pool, Visitor visitor) { return now()->list(pool, std::move(visitor)); }

}  // namespace meshfs
