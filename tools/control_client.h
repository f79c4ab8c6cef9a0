// Asking a mount, wherever it is: by its directory, by its SOURCE, by the process that hosts it.
#pragma once

#include <optional>

#include "fs/base/clock.h"
#include "fs/fuse/mount_point.h"
#include "fs/store/source.h"
#include "tools/control.h"

namespace meshfs {

// A process that has a volume open on this machine.
struct Daemon {
    std::string socket;
    std::string source;
    std::string directory;  // empty: `meshfs serve`, or a mount of another mount namespace
    std::string device;     // "0:57", of a mount
    unsigned uid = 0;       // who mounted it
};

// The daemon of a mount's DIR, or of one that has SOURCE open: the mount on top, else `meshfs serve`.  A mount whose
// socket refuses is nobody's: it is not what SOURCE means, but still its DIR.
std::optional<Daemon> find_daemon(const std::string& source_or_directory);
// The mount at DIR, or of SOURCE, whether its daemon lives or not.  With a sentence: ENOENT; EBUSY: SOURCE has several.
Result<Daemon> find_mount(const std::string& source_or_directory);
// Nobody listens for it.
bool is_gone(const Daemon& daemon);

// SOURCE of an argument that may also be a DIR, once find_daemon() found none.  EINVAL: it is neither.
Result<Source> source_of_target(const std::string& source_or_directory);

// Waits so long for each line of the answer.  Errors: what the daemon says; ETIMEDOUT, ENOENT, EPIPE with a sentence.
inline constexpr int64_t kAnswerNs = 10 * kNsPerSecond;
Result<nlohmann::json> ask(const Daemon& daemon, const ControlRequest& request, int64_t answer_ns = kAnswerNs,
                           const TellProgress& tell = nullptr);

// A pidfd of it; -1: it is not there.
int open_process(const Daemon& daemon);

}  // namespace meshfs
