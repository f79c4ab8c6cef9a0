#include "tools/silence.h"

#include "fs/base/log.h"

namespace meshfs {

std::string describe(const StoreWait& wait) {
    return "a " + std::string(name_of(wait.kind)) + " of " + wait.object.name + " (pool " +
           std::to_string(wait.object.pool) + ")";
}

SilenceWatch::SilenceWatch(const MeteredStore& store) : store_(store), thread_("silence", [this] { run(); }) {}

SilenceWatch::~SilenceWatch() {
    {
        MutexLock lock(mutex_);
        over_ = true;
        changed_.notify_all();
    }
    thread_.join();
}

void SilenceWatch::run() {
    Clock& clock = Clock::system();
    for (;;) {
        {
            int64_t until = clock.boot_ns() + kNsPerSecond;
            MutexLock lock(mutex_);
            while (!over_ && changed_.wait_until(mutex_, until)) {
            }
            if (over_) return;
        }
        look(clock.boot_ns());
    }
}

void SilenceWatch::look(int64_t now_ns) {
    auto waiting = store_.waiting();
    bool is_silent = waiting.longest && now_ns - waiting.longest->began_ns >= kSilentNs;
    if (!is_silent) {
        if (told_ns_ != 0) log_info("the store answers again");
        told_ns_ = 0;
        return;
    }
    constexpr int64_t kAgainNs = 60 * kNsPerSecond;
    if (told_ns_ != 0 && now_ns - told_ns_ < kAgainNs) return;
    told_ns_ = now_ns;
    log_warning("the store does not answer", {{"waiting_for", describe(*waiting.longest)},
                                              {"seconds", (now_ns - waiting.longest->began_ns) / kNsPerSecond},
                                              {"calls", waiting.calls}});
}

}  // namespace meshfs
