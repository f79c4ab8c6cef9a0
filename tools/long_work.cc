#include "tools/long_work.h"

#include <signal.h>

#include <optional>

#include "fs/base/clock.h"
#include "fs/base/mutex.h"
#include "fs/base/thread.h"

namespace meshfs {

Result<nlohmann::json> work_and_tell(const TellProgress& tell, std::atomic<bool>& stopping,
                                     const std::function<Progress()>& progress,
                                     const std::function<Result<nlohmann::json>()>& work) {
    Mutex mutex;
    CondVar ended;
    std::optional<Result<nlohmann::json>> answer;
    Thread worker("work", [&] {
        auto done = work();
        MutexLock lock(mutex);
        answer = std::move(done);
        ended.notify_all();
    });
    for (bool is_done = false; !is_done;) {
        {
            int64_t soon = Clock::system().boot_ns() + kNsPerSecond;
            MutexLock lock(mutex);
            while (!answer && ended.wait_until(mutex, soon)) {
            }
            is_done = answer.has_value();
        }
        if (tell && !tell(progress()).ok()) stopping = true;
    }
    worker.join();
    return std::move(*answer);
}

namespace {
std::atomic<bool>* stopped_by_signal = nullptr;
}

void stop_on_signal(std::atomic<bool>& stopping) {
    stopped_by_signal = &stopping;
    struct sigaction action {};
    action.sa_handler = [](int) { *stopped_by_signal = true; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
}

}  // namespace meshfs
