// All that one `meshfs mount` or `meshfs serve` is made of, joined: for its control socket.
#pragma once

#include <functional>

#include "fs/fuse/session.h"
#include "tools/control_server.h"
#include "tools/volume.h"

namespace meshfs {

struct MountedVolume {
    MeteredStore& store;
    Meta& meta;
    Vfs& vfs;
    PluginHost& plugins;
    PluginMeters& meters;
    const Source& source;
    std::string directory;           // where it is mounted, absolute; empty: `meshfs serve`
    FuseSession* session = nullptr;  // null: `meshfs serve`
    Mutex mutex;
    MountOptions options GUARDED_BY(mutex);  // as they are now
    std::function<void()> give_up = nullptr;  // null: `meshfs serve`.  The process ends soon, with all stored or not
    const int64_t began_ns = Clock::system().boot_ns();
};

// What every daemon answers; mount_commands.cc, and a file for each tool that works inside the daemon.
void add_mount_commands(ControlServer& server, MountedVolume& mounted);
void add_check_command(ControlServer& server, MountedVolume& mounted);
void add_gc_command(ControlServer& server, MountedVolume& mounted);

}  // namespace meshfs
