// A volume from its store to its plugins, opened in order and closed in the opposite one.
#pragma once

#include <functional>

#include "fs/store/metered_store.h"
#include "plugins/host.h"
#include "tools/mount_options.h"
#include "tools/plugin_meters.h"

namespace meshfs {

struct OpenVolume {
    MeteredStore& store;
    Meta& meta;
    Vfs& vfs;
    PluginHost& plugins;
    PluginMeters& meters;
    MountOptions options;  // subdir= has become vfs.root and fuse.root
};

// Opens it (makes it first if it is absent and memory:, or -o create), starts the plugins, and calls `use`; then stores
// everything and closes, within umount_timeout.  The first error of all that.
Status with_volume(const Source& source, MountOptions options, const std::function<Status(OpenVolume&)>& use);

}  // namespace meshfs
