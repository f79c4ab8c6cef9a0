#include "fs/store/rados_store.h"

#include <algorithm>
#include <set>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/base/waiting.h"
#include "fs/store/rados_capacity.h"
#include "fs/store/rados_errors.h"
#include "fs/store/rados_fence.h"
#include "fs/store/rados_link.h"
#include "fs/store/rados_mailbox.h"
#include "fs/store/rados_operation.h"

namespace meshfs {
namespace {

constexpr int64_t kCapacityKeptNs = 5 * kNsPerSecond;
constexpr size_t kListStep = 1000;
constexpr int kSnapRoundsMax = 100;
constexpr uint64_t kSnapStepMax = 256;  // numbers asked for at once
constexpr size_t kCallOverhead = 512;  // bytes counted for a call besides its data

class MutationCall final : public RadosCallOf<void> {
public:
    MutationCall(Mutation mutation, std::shared_ptr<const RadosPool> pool, Then<void> then)
        : RadosCallOf(kCallOverhead + mutation.bytes(), std::move(then)),
          mutation_(std::move(mutation)), pool_(std::move(pool)) {}
    const Mutation mutation_;  // librados reads its bytes
    const std::shared_ptr<const RadosPool> pool_;
    librados::ObjectWriteOperation operation_;

protected:
    void finish(int code) override {
        tell(code >= 0 ? Status() : Status(error_of_rados(code, pool_->as_told(mutation_.object()))));
    }
};

class QueryCall final : public RadosCallOf<Answer> {
public:
    QueryCall(Query query, std::shared_ptr<const RadosPool> pool, Then<Answer> then)
        : RadosCallOf(kCallOverhead, std::move(then)), query_(std::move(query)), pool_(std::move(pool)) {}
    const Query query_;
    const std::shared_ptr<const RadosPool> pool_;
    librados::ObjectReadOperation operation_;
    RadosAnswer answer_;

protected:
    void finish(int code) override {
        const std::string object = pool_->as_told(query_.object());
        if (code < 0) tell(error_of_rados(code, object));
        else tell(answer_.take(query_, object));
    }
};

class TransferCall final : public RadosCallOf<size_t> {
public:
    TransferCall(Transfer transfer, std::shared_ptr<const RadosPool> pool, Then<size_t> then)
        : RadosCallOf(kCallOverhead + transfer.bytes.size(), std::move(then)),
          transfer_(std::move(transfer)), pool_(std::move(pool)) {
        auto& bytes = transfer_.bytes;
        list_.push_back(ceph::buffer::create_static(bytes.size(), bytes.data()));
    }
    Transfer transfer_;
    const std::shared_ptr<const RadosPool> pool_;
    ceph::bufferlist list_;  // of the caller's memory; after a read maybe librados' own
    librados::ObjectWriteOperation operation_;

protected:
    void finish(int code) override {
        if (code < 0) return tell(error_of_rados(code, pool_->as_told(transfer_.object)));
        if (transfer_.direction == Transfer::Direction::write) return tell(transfer_.bytes.size());
        size_t size = std::min<size_t>(list_.length(), transfer_.bytes.size());
        bool is_in_place = list_.get_num_buffers() == 1 && list_.front().c_str() == transfer_.bytes.data();
        if (!is_in_place) list_.begin().copy(size, transfer_.bytes.data());
        tell(size);
    }
};

class RadosStore final : public Store {
public:
    explicit RadosStore(std::shared_ptr<RadosLink> link)
        : link_(std::move(link)), mailboxes_(std::make_shared<RadosMailboxes>(link_)) {}
    ~RadosStore() override { stop(); }

    void start(Mutation mutation, Then<void> then) override;
    void start(Query query, Then<Answer> then) override;
    void start(Transfer transfer, Then<size_t> then) override;

    Result<std::unique_ptr<Mailbox>> open_mailbox(ObjectName object, MailHandler handler) override {
        TRY(check_running());
        return mailboxes_->open(object, std::move(handler));
    }
    void notify(ObjectName object, Buffer message, int seconds_max, Then<Acks> then) override {
        mailboxes_->notify(object, std::move(message), seconds_max, std::move(then));
    }

    Result<SnapId> create_snap() override;
    Status remove_snap(SnapId snap) override;
    StoreId id() override { return {link_->fsid(), link_->source().text}; }
    ClientId client() override { return link_->address(); }
    Status fence(const ClientId& client) override;
    bool is_exclusive() const override { return false; }
    Status add_data_pool(Pool pool, const std::string& name) override {
        TRY(check_running());
        return link_->add_data_pool(pool, name);
    }
    void set_soft_timeout(int seconds) override { link_->calls().set_soft_timeout(seconds); }
    Result<Capacity> capacity(Pool pool) override;
    Status list(Pool pool, Visitor visitor) override;
    void stop() override;

private:
    struct KeptCapacity {
        Capacity capacity;
        int64_t asked_ns = 0;
        bool is_known = false, is_being_asked = false;
    };
    Status check_running() const { return link_->calls().is_stopped() ? Status(fail(ESHUTDOWN)) : Status(); }
    Result<Capacity> ask_capacity(const RadosPool& pool);

    template <class T>
    void refuse(const Error& error, Then<T> then) {
        link_->calls().run_elsewhere([error, then = std::move(then)] { then(error); });
    }

    const std::shared_ptr<RadosLink> link_;  // also of the mailboxes
    const std::shared_ptr<RadosMailboxes> mailboxes_;
    Mutex mutex_;
    CondVar changed_;
    std::map<Pool, KeptCapacity> capacities_ GUARDED_BY(mutex_);
};

std::vector<librados::snap_t> snaps_of(const SnapContext& context) {
    std::vector<librados::snap_t> snaps;
    for (SnapId snap : context.snaps) snaps.push_back(raw(snap));
    return snaps;
}

// With FULL_TRY a full pool answers -ENOSPC or -EDQUOT; without, writes would hang until there is room.
int send_write(const RadosPool& pool, const ObjectName& object, librados::ObjectWriteOperation& operation,
               const SnapContext& context, librados::AioCompletion* completion) {
    librados::IoCtx io = pool.io;
    auto snaps = snaps_of(context);
    return io.aio_operate(pool.as_stored(object), completion, &operation, context.sequence, snaps,
                          librados::OPERATION_FULL_TRY, nullptr);
}

void RadosStore::start(Mutation mutation, Then<void> then) {
    Status checked = mutation.check();
    auto pool = link_->pool(mutation.object().pool);
    if (!checked || !pool) return refuse(checked.ok() ? pool.error() : checked.error(), std::move(then));
    auto call = std::make_shared<MutationCall>(std::move(mutation), *pool, std::move(then));
    Status built = build_rados_operation(call->mutation_, call->operation_);
    if (!built) return link_->calls().refuse(call, built.error());
    link_->calls().start(call, (*pool)->io, [&](librados::AioCompletion* completion) {
        const Mutation& m = call->mutation_;
        return send_write(**pool, m.object(), call->operation_, m.snaps(), completion);
    });
}

void RadosStore::start(Query query, Then<Answer> then) {
    Status checked = query.check();
    auto pool = link_->pool(query.object().pool);
    if (!checked || !pool) return refuse(checked.ok() ? pool.error() : checked.error(), std::move(then));
    auto io = link_->context_at(query.object().pool, query.at());
    if (!io) return refuse(io.error(), std::move(then));
    auto call = std::make_shared<QueryCall>(std::move(query), *pool, std::move(then));
    Status built = call->answer_.build(call->query_, call->operation_);
    if (!built) return link_->calls().refuse(call, built.error());
    link_->calls().start(call, *io, [&](librados::AioCompletion* completion) {
        return io->aio_operate((*pool)->as_stored(call->query_.object()), completion, &call->operation_, nullptr);
    });
}

void RadosStore::start(Transfer transfer, Then<size_t> then) {
    Status checked = transfer.check();
    auto pool = link_->pool(transfer.object.pool);
    if (!checked || !pool) return refuse(checked.ok() ? pool.error() : checked.error(), std::move(then));
    auto call = std::make_shared<TransferCall>(std::move(transfer), *pool, std::move(then));
    const Transfer& t = call->transfer_;
    link_->calls().start(call, (*pool)->io, [&](librados::AioCompletion* completion) {
        if (t.direction == Transfer::Direction::write) {
            call->operation_.write(t.offset, call->list_);
            return send_write(**pool, t.object, call->operation_, t.snaps, completion);
        }
        librados::IoCtx io = (*pool)->io;
        const std::string name = (*pool)->as_stored(t.object);
        if (t.at == SnapId::head) return io.aio_read(name, completion, &call->list_, t.bytes.size(), t.offset);
        return io.aio_read(name, completion, &call->list_, t.bytes.size(), t.offset, raw(t.at));
    });
}

// Takes `count` numbers of a pool at once: the monitors spend a second on a round, not on a number.
Status take_snap_numbers(const RadosPool& pool, uint64_t count, std::set<uint64_t>& numbers) {
    librados::IoCtx io = pool.io;
    std::vector<uint64_t> taken(count, 0);
    std::vector<librados::AioCompletion*> completions;
    for (uint64_t& number : taken) {
        completions.push_back(librados::Rados::aio_create_completion());
        io.aio_selfmanaged_snap_create(&number, completions.back());
    }
    int code = 0;
    for (auto* completion : completions) {
        completion->wait_for_complete();
        code = std::min(code, completion->get_return_value());
        completion->release();
    }
    if (code < 0) return error_of_rados(code, "snapshot of pool " + pool.name).in("cannot make a snapshot");
    numbers.insert(taken.begin(), taken.end());
    return {};
}

// Each pool counts its snapshots by itself, and one of ours has the same number in all of them: the pools that
// are behind take numbers until one agrees.  Numbers left over are not given back: nothing was written under
// them, and giving one back moves that pool's counter again.
Result<SnapId> RadosStore::create_snap() {
    TRY(check_running());
    auto pools = link_->distinct_pools();
    std::vector<std::set<uint64_t>> numbers(pools.size());
    uint64_t highest = 0;
    for (int round = 0; round < kSnapRoundsMax; ++round) {
        for (size_t i = 0; i < pools.size(); ++i) {
            if (numbers[i].contains(highest)) continue;
            uint64_t behind = numbers[i].empty() || *numbers[i].rbegin() > highest ? 1 : highest - *numbers[i].rbegin();
            TRY(take_snap_numbers(*pools[i], std::min(behind, kSnapStepMax), numbers[i]));
            highest = std::max(highest, *numbers[i].rbegin());
        }
        bool agree = std::all_of(numbers.begin(), numbers.end(), [&](auto& of) { return of.contains(highest); });
        if (agree) return SnapId{highest};
    }
    return fail(EBUSY, "the pools of this volume count snapshots too differently");
}

Status RadosStore::remove_snap(SnapId snap) {
    TRY(check_running());
    for (const auto& pool : link_->distinct_pools()) {
        librados::IoCtx io = pool->io;
        int code = io.selfmanaged_snap_remove(raw(snap));
        if (code < 0 && code != -ENOENT) return error_of_rados(code, "snapshot of pool " + pool->name);
    }
    return {};
}

Status RadosStore::fence(const ClientId& client) {
    TRY(check_running());
    return fence_rados_client(*link_, client);
}

Result<Capacity> RadosStore::ask_capacity(const RadosPool& pool) {
    ceph::bufferlist none, answer;
    std::string why;
    const std::string command = R"({"prefix": "df", "detail": "detail", "format": "json"})";
    before_waiting();
    int code = link_->rados().mon_command(command, none, &answer, &why);
    if (code < 0) return error_of_rados(code, "capacity of pool " + pool.name);
    return capacity_from_df(answer.to_str(), librados::IoCtx(pool.io).get_pool_name());
}

// One caller asks, others get what was last known; also when the monitors do not answer.
Result<Capacity> RadosStore::capacity(Pool number) {
    TRY(check_running());
    auto pool = TRY(link_->pool(number));
    {
        MutexLock lock(mutex_);
        KeptCapacity& kept = capacities_[number];
        while (!kept.is_known && kept.is_being_asked) changed_.wait(mutex_);
        bool is_fresh = Clock::system().boot_ns() - kept.asked_ns < kCapacityKeptNs;
        if (kept.is_known && (is_fresh || kept.is_being_asked)) return kept.capacity;
        kept.is_being_asked = true;
    }
    auto answer = ask_capacity(*pool);
    MutexLock lock(mutex_);
    KeptCapacity& kept = capacities_[number];
    kept.is_being_asked = false;
    kept.asked_ns = Clock::system().boot_ns();
    if (answer) {
        kept.capacity = *answer;
        kept.is_known = true;
    }
    changed_.notify_all();
    if (kept.is_known) return kept.capacity;
    return answer;
}

Status RadosStore::list(Pool number, Visitor visitor) {
    TRY(check_running());
    auto pool = TRY(link_->pool(number));
    librados::IoCtx io = pool->io;
    librados::ObjectCursor at = io.object_list_begin();
    const librados::ObjectCursor end = io.object_list_end();
    while (!io.object_list_is_end(at)) {
        TRY(check_running());
        std::vector<librados::ObjectItem> items;
        librados::ObjectCursor next;
        int code = io.object_list(at, end, kListStep, {}, &items, &next);
        if (code < 0) return error_of_rados(code, "list of pool " + pool->name);
        for (const auto& item : items) {
            // Of a pool that several of ours share, only what bears this one's prefix.
            bool is_prefixed = item.oid.find(' ') != std::string::npos;
            bool is_ours = pool->prefix.empty() ? !is_prefixed : item.oid.starts_with(pool->prefix);
            if (is_ours) TRY(visitor(item.oid.substr(pool->prefix.size())));
        }
        at = next;
    }
    return {};
}

void RadosStore::stop() {
    mailboxes_->stop();
    link_->calls().stop();
    link_->shut_down();
    mailboxes_->forget_all();
}

}  // namespace

Result<std::unique_ptr<Store>> open_rados_store(const Source& source, const StoreOptions& options) {
    auto link = std::make_shared<RadosLink>(source, options);
    TRY(link->connect());
    return std::unique_ptr<Store>(std::make_unique<RadosStore>(std::move(link)));
}

}  // namespace meshfs
