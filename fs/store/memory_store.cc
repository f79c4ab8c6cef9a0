#include "fs/store/memory_store.h"

#include <cstdio>
#include <cstdlib>

#include "fs/store/call_queue.h"

namespace meshfs {

// Finds the caller's bug that other stores would answer with mixed bytes.
class MemoryStore::Overlaps {
public:
    struct Run {
        ObjectName object;
        ByteRange range;
        bool writes;
    };
    void enter(const Run& run) {
        MutexLock lock(mutex_);
        auto [first, last] = runs_.equal_range(run.object);
        for (auto it = first; it != last; ++it) {
            const Run& other = it->second;
            bool touch = run.range.offset < other.range.end() && other.range.offset < run.range.end();
            if (!touch || !(run.writes || other.writes)) continue;
            std::fprintf(stderr, "memory store: overlapping transfers in flight on %s\n", run.object.name.c_str());
            std::abort();
        }
        runs_.emplace(run.object, run);
    }
    void leave(const Run& run) {
        MutexLock lock(mutex_);
        auto [first, last] = runs_.equal_range(run.object);
        for (auto it = first; it != last; ++it) {
            if (!(it->second.range == run.range) || it->second.writes != run.writes) continue;
            runs_.erase(it);
            return;
        }
    }

private:
    Mutex mutex_;
    std::multimap<ObjectName, Run> runs_ GUARDED_BY(mutex_);
};


MemoryStore::MemoryStore(std::shared_ptr<MemoryCluster> cluster)
    : is_alone_(cluster == nullptr),
      cluster_(is_alone_ ? std::make_shared<MemoryCluster>() : std::move(cluster)),
      client_(cluster_->add_client()),
      queue_(std::make_shared<CallQueue>("memory-store")),
      overlaps_(std::make_unique<Overlaps>()) {}

MemoryStore::~MemoryStore() { queue_->join(); }

void MemoryStore::stop() { queue_->stop(); }

Status MemoryStore::stopped() const {
    if (queue_->is_stopped()) return fail(ESHUTDOWN);
    if (cluster_->is_fenced(client_)) return fail(ESHUTDOWN);
    return {};
}

void MemoryStore::call(uint64_t bytes, std::function<void(int refusal)> run) {
    int refusal = queue_->enter(bytes);
    queue_->post(0, [this, bytes, refusal, run = std::move(run)] {
        run(refusal == 0 && queue_->is_stopped() ? ETIMEDOUT : refusal);
        if (refusal == 0) queue_->leave(bytes);
    });
}

void MemoryStore::start(Mutation mutation, Then<void> then) {
    Status good = mutation.check();
    uint64_t bytes = mutation.bytes();
    call(bytes, [this, good, m = std::move(mutation), then = std::move(then)](int refusal) {
        if (!good) return then(good);
        if (refusal != 0) return then(fail(refusal));
        then(cluster_->mutate(client_, m));
    });
}

void MemoryStore::start(Query query, Then<Answer> then) {
    Status good = query.check();
    call(0, [this, good, q = std::move(query), then = std::move(then)](int refusal) {
        if (!good) return then(good.error());
        if (refusal != 0) return then(fail(refusal));
        then(cluster_->query(client_, q));
    });
}

void MemoryStore::start(Transfer transfer, Then<size_t> then) {
    Status good = transfer.check();
    Overlaps::Run run{transfer.object, {transfer.offset, transfer.bytes.size()},
                      transfer.direction == Transfer::Direction::write};
    if (good) overlaps_->enter(run);
    auto shared = std::make_shared<Transfer>(std::move(transfer));  // std::function wants it copied
    uint64_t bytes = shared->bytes.size();
    call(bytes, [this, good, run, shared, then = std::move(then)](int refusal) {
        if (!good) return then(good.error());
        Result<size_t> result = fail(refusal);
        if (refusal == 0) result = cluster_->transfer(client_, *shared);
        overlaps_->leave(run);
        then(std::move(result));
    });
}

Result<std::unique_ptr<Mailbox>> MemoryStore::open_mailbox(ObjectName object, MailHandler handler) {
    TRY(Query(object).check());
    TRY(stopped());
    return cluster_->open_mailbox(client_, object, std::move(handler), queue_);
}

void MemoryStore::notify(ObjectName object, Buffer message, int seconds_max, Then<Acks> then) {
    Status good = Query(object).check();
    call(message.size(), [=, this](int refusal) {
        if (!good) return then(good.error());
        if (refusal != 0) return then(fail(refusal));
        cluster_->notify(client_, object, message, seconds_max * kNsPerSecond, then, queue_);
    });
}

Result<SnapId> MemoryStore::create_snap() {
    TRY(stopped());
    return cluster_->create_snap(client_);
}

Status MemoryStore::remove_snap(SnapId snap) {
    TRY(stopped());
    return cluster_->remove_snap(client_, snap);
}

StoreId MemoryStore::id() { return {cluster_->uuid(), "memory:"}; }

Status MemoryStore::fence(const ClientId& client) {
    TRY(stopped());
    cluster_->fence(client);
    return {};
}

Result<Capacity> MemoryStore::capacity(Pool) {
    TRY(stopped());
    return cluster_->capacity();
}

Status MemoryStore::list(Pool pool, Visitor visitor) {
    TRY(stopped());
    for (const auto& name : cluster_->names(pool)) TRY(visitor(name));
    return {};
}

}  // namespace meshfs
