// Where mounts are, as /proc/self/mountinfo tells it: stat() of an own mount could wait for ourselves.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fs/base/result.h"

namespace meshfs {

struct MountPoint {
    std::string device;     // "0:57"
    std::string directory;  // absolute
    std::string source;
    std::string options;    // of this mount point
    std::string options_of_all;  // of the file system, wherever it is seen: sync is one
    unsigned uid = 0;       // who mounted it
};

// All mounts of type fuse.meshfs, in the order of mounting.
std::vector<MountPoint> mount_points();
// The one on top at exactly this directory.
std::optional<MountPoint> mount_point_at(const std::string& directory);

// The kernel's read-ahead of a mount, in bytes; EACCES unless root.
Status set_readahead(const std::string& device, uint64_t bytes);

}  // namespace meshfs
