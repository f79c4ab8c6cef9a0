// How a mount is found by its device: a Unix socket on which its daemon listens, gone when the daemon is.
//
// Nothing is spoken on it yet: who connects learns from the kernel which process listens, and can wait for its end.
#pragma once

#include <string>

#include "fs/base/result.h"

namespace meshfs {

// "/run/meshfs/0:57.sock"; of users below $XDG_RUNTIME_DIR.
std::string presence_path(const std::string& device);

class Presence {
public:
    Presence() = default;
    ~Presence();
    Presence(const Presence&) = delete;
    Presence& operator=(const Presence&) = delete;
    Status announce(const std::string& device);

private:
    int fd_ = -1;
    std::string path_;
};

// A pidfd of the daemon of the mount on this device; -1: none is found.
int open_daemon(const std::string& device);

}  // namespace meshfs
