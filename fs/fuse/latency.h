// How long operations take: counts in buckets, four to a doubling, so a percentile is right to 20 %.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace meshfs {

// Any thread, no lock.
class Latency {
public:
    void begin() { begun_.fetch_add(1, std::memory_order_relaxed); }
    void end(int64_t ns, bool failed);

    struct Summary {
        uint64_t count = 0, failed = 0, running = 0;
        int64_t total_ns = 0, p50_ns = 0, p90_ns = 0, p99_ns = 0, max_ns = 0;
    };
    Summary summary() const;

    static constexpr size_t kBuckets = 160;  // 2^40 ns: 18 minutes

private:
    std::atomic<uint64_t> begun_{0}, ended_{0}, failed_{0};
    std::atomic<int64_t> total_ns_{0}, max_ns_{0};
    std::array<std::atomic<uint64_t>, kBuckets> buckets_{};
};

}  // namespace meshfs
