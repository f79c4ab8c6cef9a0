// A store that can be begun anew: what a client that was fenced needs to go on as another one.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "fs/base/mutex.h"
#include "fs/store/store.h"

namespace meshfs {

// Any thread.  restart() makes another connection, with the same pools and settings.
class ReconnectingStore final : public Store {
public:
    using Connect = std::function<Result<std::unique_ptr<Store>>()>;
    ReconnectingStore(std::unique_ptr<Store> first, Connect connect);

    void start(Mutation, Then<void>) override;
    void start(Query, Then<Answer>) override;
    void start(Transfer, Then<size_t>) override;
    Status apply(Mutation) override;
    Result<Answer> ask(Query) override;
    Result<size_t> transfer(Transfer) override;
    Result<std::unique_ptr<Mailbox>> open_mailbox(ObjectName, MailHandler) override;
    void notify(ObjectName, Buffer message, int seconds_max, Then<Acks>) override;
    Result<SnapId> create_snap() override;
    Status remove_snap(SnapId) override;
    StoreId id() override;
    ClientId client() override;
    Status fence(const ClientId&) override;
    bool is_exclusive() const override { return is_exclusive_; }
    Status add_data_pool(Pool, const std::string& name) override;
    void set_soft_timeout(int seconds) override;
    Result<Capacity> capacity(Pool) override;
    Status list(Pool, Visitor) override;
    void stop() override;
    Status restart() override;

private:
    std::shared_ptr<Store> now() const;

    const Connect connect_;
    const bool is_exclusive_;
    mutable Mutex mutex_;
    std::shared_ptr<Store> store_ GUARDED_BY(mutex_);  // and whoever is calling it
    std::map<Pool, std::string> pools_ GUARDED_BY(mutex_);
    std::optional<int> soft_timeout_ GUARDED_BY(mutex_);
};

}  // namespace meshfs
