// A work of minutes, and whoever waits for it: each second it tells how far it is, and once nobody listens it is
// stopped.
#pragma once

#include <atomic>
#include <functional>
#include <nlohmann/json.hpp>

#include "fs/base/result.h"
#include "tools/progress.h"

namespace meshfs {

// Runs `work` on a thread of its own.  `progress` is called on this one.  An error of `tell`, or SIGINT in a command,
// sets `stopping`, and the work is waited for.
Result<nlohmann::json> work_and_tell(const TellProgress& tell, std::atomic<bool>& stopping,
                                     const std::function<Progress()>& progress,
                                     const std::function<Result<nlohmann::json>()>& work);

// Sets the flag at the first SIGINT or SIGTERM of this process; the second ends it as usual.  For commands, once.
void stop_on_signal(std::atomic<bool>& stopping);

}  // namespace meshfs
