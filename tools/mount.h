// One mount from its store to its end; what `meshfs mount` does once its arguments are read.
#pragma once

#include <functional>
#include <string>

#include "fs/base/result.h"
#include "fs/store/source.h"
#include "tools/mount_options.h"

namespace meshfs {

struct MountRequest {
    Source source;
    std::string directory;  // absolute, without symlinks
    MountOptions options;
};

// Mounts, serves until unmounted or told to end (SIGTERM, SIGINT), stores everything.  `ready` is called when the
// volume can be used.  An error: the mount failed, or something could not be stored at the end.
Status serve_mount(const MountRequest& request, const std::function<void()>& ready);

// What `-o remount` asks of the mount at `directory`.
Status remount(const std::string& directory, const std::vector<std::string>& options);

// Where the mount shall be, or was: absolute.  Clears away a MeshFS mount whose daemon is dead.  ENOENT, ENOTDIR,
// EBUSY (mounted already), ENOTEMPTY; each with a sentence.
Result<std::string> prepare_mount_directory(const std::string& directory, bool nonempty);

}  // namespace meshfs
