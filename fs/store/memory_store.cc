#include "fs/store/memory_store.h"

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <thread>

namespace meshfs {

// A queue, timers, and the thread that works on them.
class MemoryStore::Inbox final : public MemoryInbox {
public:
    Inbox() : thread_([this] { run(); }) {}
    ~Inbox() override { join(); }

    // A call of the store.  `run` gets 0: let it take effect; or the errno of what forbids it.
    using Call = std::function<void(int refusal)>;
    void call(uint64_t bytes, Call run) {
        MutexLock lock(mutex_);
        int refusal = 0;
        if (stopped_) refusal = ESHUTDOWN;
        else if (calls_ >= kCallsMax || (calls_ > 0 && bytes_ + bytes > kBytesInFlightMax)) refusal = EAGAIN;
        if (refusal != 0) bytes = 0;
        ++calls_;
        bytes_ += bytes;
        queue_.push_back([this, bytes, refusal, run = std::move(run)] {
            run(refusal == 0 && is_stopped() ? ETIMEDOUT : refusal);
            MutexLock again(mutex_);
            --calls_;
            bytes_ -= bytes;
        });
        changed_.notify_all();
    }

    void post(int64_t delay_ns, std::function<void()> run) override {
        MutexLock lock(mutex_);
        if (ended_) return;
        if (delay_ns <= 0) queue_.push_back(std::move(run));
        else timers_.emplace(Clock::system().boot_ns() + delay_ns, std::move(run));
        changed_.notify_all();
    }

    bool is_stopped() override {
        MutexLock lock(mutex_);
        return stopped_;
    }

    void stop() {
        MutexLock lock(mutex_);
        stopped_ = true;
        changed_.notify_all();
        while (!queue_.empty() || !timers_.empty() || busy_) changed_.wait(mutex_);
    }

    // Only then does an ESHUTDOWN of a late call come no more.
    void join() {
        stop();
        {
            MutexLock lock(mutex_);
            ended_ = true;
            changed_.notify_all();
        }
        if (thread_.joinable()) thread_.join();
    }

private:
    // A timer that is due, or any once stopped: whom it would tell must hear something.
    bool take(std::function<void()>& run) REQUIRES(mutex_) {
        bool is_due = !timers_.empty() && (stopped_ || timers_.begin()->first <= Clock::system().boot_ns());
        if (is_due) {
            run = std::move(timers_.begin()->second);
            timers_.erase(timers_.begin());
        } else if (!queue_.empty()) {
            run = std::move(queue_.front());
            queue_.pop_front();
        } else {
            return false;
        }
        return true;
    }

    void run() {
        name_this_thread("memory-store");
        mutex_.lock();
        while (true) {
            std::function<void()> next;
            if (take(next)) {
                busy_ = true;
                mutex_.unlock();
                next();
                next = nullptr;  // what it holds goes before stop() returns
                mutex_.lock();
                busy_ = false;
                if (queue_.empty()) changed_.notify_all();
            } else if (ended_) {
                break;
            } else if (timers_.empty()) {
                changed_.wait(mutex_);
            } else {
                changed_.wait_until(mutex_, timers_.begin()->first);
            }
        }
        mutex_.unlock();
    }

    Mutex mutex_;
    CondVar changed_;
    std::deque<std::function<void()>> queue_ GUARDED_BY(mutex_);
    std::multimap<int64_t, std::function<void()>> timers_ GUARDED_BY(mutex_);
    size_t calls_ GUARDED_BY(mutex_) = 0;
    uint64_t bytes_ GUARDED_BY(mutex_) = 0;
    bool busy_ GUARDED_BY(mutex_) = false;
    bool stopped_ GUARDED_BY(mutex_) = false;
    bool ended_ GUARDED_BY(mutex_) = false;
    std::thread thread_;  // last: it uses what is above
};

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
    : cluster_(std::move(cluster)),
      client_(cluster_->add_client()),
      inbox_(std::make_shared<Inbox>()),
      overlaps_(std::make_unique<Overlaps>()) {}

MemoryStore::~MemoryStore() { inbox_->join(); }

void MemoryStore::stop() { inbox_->stop(); }

Status MemoryStore::stopped() const {
    if (inbox_->is_stopped()) return fail(ESHUTDOWN);
    if (cluster_->is_fenced(client_)) return fail(ESHUTDOWN);
    return {};
}

void MemoryStore::start(Mutation mutation, Then<void> then) {
    Status good = mutation.check();
    uint64_t bytes = mutation.bytes();
    inbox_->call(bytes, [this, good, m = std::move(mutation), then = std::move(then)](int refusal) {
        if (!good) return then(good);
        if (refusal != 0) return then(fail(refusal));
        then(cluster_->mutate(client_, m));
    });
}

void MemoryStore::start(Query query, Then<Answer> then) {
    Status good = query.check();
    inbox_->call(0, [this, good, q = std::move(query), then = std::move(then)](int refusal) {
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
    inbox_->call(bytes, [this, good, run, shared, then = std::move(then)](int refusal) {
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
    return cluster_->open_mailbox(client_, object, std::move(handler), inbox_);
}

void MemoryStore::notify(ObjectName object, Buffer message, int seconds_max, Then<Acks> then) {
    Status good = Query(object).check();
    inbox_->call(message.size(), [=, this](int refusal) {
        if (!good) return then(good.error());
        if (refusal != 0) return then(fail(refusal));
        cluster_->notify(client_, object, message, seconds_max * kNsPerSecond, then, inbox_);
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
