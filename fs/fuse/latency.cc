#include "fs/fuse/latency.h"

#include <algorithm>
#include <bit>

namespace meshfs {
namespace {

// The two bits below the highest one tell the quarter of its doubling.
size_t bucket_of(int64_t ns) {
    uint64_t n = static_cast<uint64_t>(std::max<int64_t>(ns, 4));
    unsigned high = static_cast<unsigned>(std::bit_width(n)) - 1;
    return std::min<size_t>(high * 4 + (n >> (high - 2) & 3), Latency::kBuckets - 1);
}

int64_t upper_ns(size_t bucket) {
    unsigned high = static_cast<unsigned>(bucket / 4);
    return static_cast<int64_t>((uint64_t{5} + bucket % 4) << high >> 2);
}

}  // namespace

void Latency::end(int64_t ns, bool failed) {
    buckets_[bucket_of(ns)].fetch_add(1, std::memory_order_relaxed);
    if (failed) failed_.fetch_add(1, std::memory_order_relaxed);
    total_ns_.fetch_add(ns, std::memory_order_relaxed);
    int64_t max = max_ns_.load(std::memory_order_relaxed);
    while (ns > max && !max_ns_.compare_exchange_weak(max, ns, std::memory_order_relaxed)) {
    }
    ended_.fetch_add(1, std::memory_order_relaxed);
}

Latency::Summary Latency::summary() const {
    Summary s;
    std::array<uint64_t, kBuckets> counts{};
    for (size_t i = 0; i < kBuckets; ++i) s.count += counts[i] = buckets_[i].load(std::memory_order_relaxed);
    s.failed = failed_.load(std::memory_order_relaxed);
    uint64_t begun = begun_.load(std::memory_order_relaxed), ended = ended_.load(std::memory_order_relaxed);
    s.running = begun > ended ? begun - ended : 0;
    s.total_ns = total_ns_.load(std::memory_order_relaxed);
    s.max_ns = max_ns_.load(std::memory_order_relaxed);
    auto percentile = [&](uint64_t hundredths) -> int64_t {
        uint64_t wanted = (s.count * hundredths + 99) / 100, seen = 0;
        for (size_t i = 0; i < kBuckets; ++i) {
            seen += counts[i];
            if (seen >= wanted) return std::min(upper_ns(i), s.max_ns);
        }
        return s.max_ns;
    };
    if (s.count > 0) s.p50_ns = percentile(50), s.p90_ns = percentile(90), s.p99_ns = percentile(99);
    return s;
}

}  // namespace meshfs
