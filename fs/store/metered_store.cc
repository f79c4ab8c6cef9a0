#include "fs/store/metered_store.h"

#include <algorithm>
#include <bit>

#include "fs/base/clock.h"

namespace meshfs {
namespace {

using Kind = StoreCount::Kind;
constexpr size_t kKinds = 5;
constexpr auto kRelaxed = std::memory_order_relaxed;

uint64_t bytes_of(const Answer& answer) {
    uint64_t sum = 0;
    for (const auto& [name, value] : answer.xattrs) sum += name.size() + value.size();
    for (const auto& [name, value] : answer.keys) sum += name.size() + value.size();
    for (const auto& range : answer.ranges)
        for (const auto& [name, value] : range.entries) sum += name.size() + value.size();
    for (const auto& buffers : answer.bytes) sum += size_of(buffers);
    return sum;
}

}  // namespace

struct MeteredStore::Counter {
    std::atomic<uint64_t> calls{0}, bytes{0}, refused{0}, errors{0}, total_us{0};
    std::array<std::atomic<uint64_t>, 28> histogram{};
};

// From the start of one call to its end.
class MeteredStore::Watch {
public:
    Watch(MeteredStore& store, Counter& counter, std::list<StoreWait>::iterator place)
        : store_(store), counter_(counter), place_(place) {}
    void end(int code, uint64_t bytes) const {
        int64_t took_ns = Clock::system().boot_ns() - place_->began_ns;
        {
            MutexLock lock(store_.mutex_);
            store_.waiting_.erase(place_);
        }
        auto us = static_cast<uint64_t>(std::max<int64_t>(took_ns, 0) / 1000);
        size_t bucket = std::min<size_t>(std::bit_width(us), counter_.histogram.size() - 1);
        counter_.calls.fetch_add(1, kRelaxed);
        counter_.total_us.fetch_add(us, kRelaxed);
        counter_.histogram[bucket].fetch_add(1, kRelaxed);
        if (code == 0) counter_.bytes.fetch_add(bytes, kRelaxed);
        else if (code == EEXIST || code == ENOENT || code == ECANCELED) counter_.refused.fetch_add(1, kRelaxed);
        else counter_.errors.fetch_add(1, kRelaxed);
    }

private:
    MeteredStore& store_;
    Counter& counter_;
    std::list<StoreWait>::iterator place_;  // ended once
};

MeteredStore::MeteredStore(std::unique_ptr<Store> inner)
    : ForwardingStore(std::move(inner)), counters_(new Counter[kKinds * kPoolsMetered]) {}

MeteredStore::~MeteredStore() { inner_.stop(); }  // before the counters its last callbacks use

MeteredStore::Watch MeteredStore::watch(Kind kind, const ObjectName& object) {
    std::list<StoreWait> one;
    one.push_back({kind, object, Clock::system().boot_ns()});
    auto place = one.begin();
    Pool pool = std::min<Pool>(object.pool, kPoolsMetered - 1);
    MutexLock lock(mutex_);
    waiting_.splice(waiting_.end(), one);
    return Watch(*this, counters_[static_cast<size_t>(kind) * kPoolsMetered + pool], place);
}

MeteredStore::Waiting MeteredStore::waiting() const {
    MutexLock lock(mutex_);
    if (waiting_.empty()) return {};
    return {waiting_.size(), waiting_.front()};
}

void MeteredStore::start(Mutation mutation, Then<void> then) {
    uint64_t bytes = mutation.bytes();
    auto w = watch(Kind::mutation, mutation.object());
    inner_.start(std::move(mutation), [w, bytes, then = std::move(then)](Status status) {
        w.end(status.code(), bytes);
        then(std::move(status));
    });
}

void MeteredStore::start(Query query, Then<Answer> then) {
    auto w = watch(Kind::query, query.object());
    inner_.start(std::move(query), [w, then = std::move(then)](Result<Answer> answer) {
        w.end(answer.code(), answer.ok() ? bytes_of(*answer) : 0);
        then(std::move(answer));
    });
}

void MeteredStore::start(Transfer transfer, Then<size_t> then) {
    auto w = watch(transfer.direction == Transfer::Direction::read ? Kind::read : Kind::write, transfer.object);
    inner_.start(std::move(transfer), [w, then = std::move(then)](Result<size_t> done) {
        w.end(done.code(), done.ok() ? *done : 0);
        then(std::move(done));
    });
}

Status MeteredStore::apply(Mutation mutation) {
    uint64_t bytes = mutation.bytes();
    auto w = watch(Kind::mutation, mutation.object());
    Status status = inner_.apply(std::move(mutation));
    w.end(status.code(), bytes);
    return status;
}

Result<Answer> MeteredStore::ask(Query query) {
    auto w = watch(Kind::query, query.object());
    auto answer = inner_.ask(std::move(query));
    w.end(answer.code(), answer.ok() ? bytes_of(*answer) : 0);
    return answer;
}

Result<size_t> MeteredStore::transfer(Transfer transfer) {
    auto w = watch(transfer.direction == Transfer::Direction::read ? Kind::read : Kind::write, transfer.object);
    auto done = inner_.transfer(std::move(transfer));
    w.end(done.code(), done.ok() ? *done : 0);
    return done;
}

void MeteredStore::notify(ObjectName object, Buffer message, int seconds_max, Then<Acks> then) {
    uint64_t bytes = message.size();
    auto w = watch(Kind::notify, object);
    inner_.notify(std::move(object), std::move(message), seconds_max,
                   [w, bytes, then = std::move(then)](Result<Acks> acks) {
                       w.end(acks.code(), bytes);
                       then(std::move(acks));
                   });
}

StoreCounts MeteredStore::counts() const {
    StoreCounts out;
    for (size_t i = 0; i < kKinds * kPoolsMetered; ++i) {
        const Counter& c = counters_[i];
        StoreCount count{.kind = Kind(i / kPoolsMetered), .pool = Pool(i % kPoolsMetered), .calls = c.calls.load(kRelaxed),
                         .bytes = c.bytes.load(kRelaxed), .refused = c.refused.load(kRelaxed),
                         .errors = c.errors.load(kRelaxed), .total_us = c.total_us.load(kRelaxed)};
        if (count.calls == 0) continue;
        for (size_t b = 0; b < count.histogram.size(); ++b) count.histogram[b] = c.histogram[b].load(kRelaxed);
        out.counts.push_back(count);
    }
    return out;
}

uint64_t StoreCount::quantile_us(double share) const {
    uint64_t sum = 0, all = 0;
    for (uint64_t n : histogram) all += n;
    if (all == 0) return 0;
    for (size_t i = 0; i < histogram.size(); ++i) {
        sum += histogram[i];
        if (static_cast<double>(sum) >= share * static_cast<double>(all)) return uint64_t{1} << i;
    }
    return uint64_t{1} << (histogram.size() - 1);
}

const char* name_of(Kind kind) {
    switch (kind) {
        case Kind::mutation: return "mutation";
        case Kind::query: return "query";
        case Kind::read: return "read";
        case Kind::write: return "write";
        case Kind::notify: return "notify";
    }
    return "?";
}

uint64_t StoreCounts::calls(Kind kind) const {
    uint64_t sum = 0;
    for (const StoreCount& c : counts)
        if (c.kind == kind) sum += c.calls;
    return sum;
}

uint64_t StoreCounts::all_calls() const {
    uint64_t sum = 0;
    for (const StoreCount& c : counts) sum += c.calls;
    return sum;
}

}  // namespace meshfs
