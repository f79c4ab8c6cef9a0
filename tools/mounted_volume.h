// All that one `meshfs mount` is made of, joined: for its control socket.
#pragma once

#include <functional>
#include <string>

#include "fs/fuse/session.h"
#include "fs/meta/meta.h"
#include "fs/store/store.h"
#include "fs/vfs/vfs.h"
#include "plugins/host.h"

namespace meshfs {

struct MountedVolume {
    Store& store;
    Meta& meta;
    Vfs& vfs;
    FuseSession& session;
    PluginHost& plugins;
    std::string source;     // as the user wrote it; a directory is absolute
    std::string directory;  // where it is mounted, absolute
    bool is_embedded = false;  // a local or memory store: only this process can work on it
    std::function<void()> unmount;  // flush, unmount, end: as on SIGTERM; returns at once
};

}  // namespace meshfs
