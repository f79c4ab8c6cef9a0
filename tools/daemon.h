// What a process that serves a volume shares with its surroundings: signals, systemd, a limit on its way out.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>

#include "fs/base/clock.h"
#include "fs/base/mutex.h"

namespace meshfs {

// Before the first thread starts: SIGTERM, SIGINT and SIGHUP wait for Ending, SIGPIPE is an error code.
void hold_signals();

// Tells systemd (Type=notify: "READY=1"); nothing if it did not start us.
void notify_systemd(const std::string& state);

// Calls `end` for each SIGTERM, SIGINT and SIGHUP.
class Ending {
public:
    explicit Ending(std::function<void()> end);
    ~Ending();

private:
    void wait();
    const std::function<void()> end_;
    std::atomic<bool> over_{false};
    std::thread thread_;
};

// Ends the process if it lives longer than `ns`, with `why` in the log: systemd would kill it soon after, without a word.
class Deadline {
public:
    Deadline(int64_t ns, std::string what,
             const char* why = "not everything could be stored within umount_timeout; what was not synced is lost");
    ~Deadline();

private:
    void wait();
    const std::string what_;
    const char* const why_;
    const int64_t until_;
    Mutex mutex_;
    CondVar changed_;
    bool over_ GUARDED_BY(mutex_) = false;
    std::thread thread_;
};

}  // namespace meshfs
