// Logs that the store is silent: after five seconds without an answer to some call, then each minute, and the end of it.
#pragma once

#include "fs/base/clock.h"
#include "fs/base/thread.h"
#include "fs/store/metered_store.h"

namespace meshfs {

inline constexpr int64_t kSilentNs = 5 * kNsPerSecond;

// "a mutation of g.12 (pool 0)"
std::string describe(const StoreWait& wait);

class SilenceWatch {
public:
    explicit SilenceWatch(const MeteredStore& store);
    ~SilenceWatch();

private:
    void run();
    void look(int64_t now_ns);
    const MeteredStore& store_;
    int64_t told_ns_ = 0;  // 0: it answers
    Mutex mutex_;
    CondVar changed_;
    bool over_ GUARDED_BY(mutex_) = false;
    Thread thread_;
};

}  // namespace meshfs
