// Finds a plugin's module, judges it, and copies its tables.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fs/base/result.h"
#include "plugins/meshfs-plugin.h"

namespace meshfs {

// One [[plugin]] table.
struct PluginConfig {
    std::string module;                           // "kvcache", or a path to a .so
    std::string prefix;                           // absolute; "/" is the whole volume
    std::map<std::string, std::string> settings;  // the plugin's own
    std::string where;                            // "/etc/meshfs/meshfs.toml:12", for messages
};

// A module of this process.  Its tables are copies as large as ours: what an older plugin lacks is NULL.
// Modules are never unloaded: their threads may outlive any promise.
struct LoadedPlugin {
    std::string path;
    meshfs_plugin plugin{};
    meshfs_serve serve{};
    bool serves = false;

    struct Setting {
        std::string name, help;
        std::string default_value;
        bool required = false;
    };
    std::vector<Setting> settings;
};

// Where modules named without a '/' are: $MESHFS_PLUGIN_DIR (not if privileged by setuid), else the folder
// the program was installed with.
std::string plugin_directory();

// EINVAL, EACCES, ENOENT, ENOEXEC: with a sentence that names file, what is wrong and what is allowed.
Result<LoadedPlugin> load_plugin(const std::string& module);

// The value of each of the plugin's settings: what the table says, else its default.  EINVAL: an unknown one
// (naming the nearest) or a missing one.
Result<std::map<std::string, std::string>> settle_settings(const LoadedPlugin& plugin, const PluginConfig& config);

// A prefix as it is kept: absolute, no "." or "..", no doubled or last '/'.  EINVAL.
Result<std::string> normal_prefix(const std::string& prefix);

// Modules in plugin_directory(), by name.
std::vector<std::string> installed_plugins();

}  // namespace meshfs
