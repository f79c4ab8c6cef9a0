// What may follow -o, and what it means; defaults from the configuration file.   Manual: mount.fuse.meshfs(8)
#pragma once

#include <string>
#include <vector>

#include "fs/base/config.h"
#include "fs/fuse/session.h"
#include "fs/meta/meta.h"
#include "fs/store/source.h"
#include "fs/vfs/vfs.h"
#include "plugins/loader.h"

namespace meshfs {

inline constexpr const char* kConfigPath = "/etc/meshfs/meshfs.toml";

struct MountOptions {
    StoreOptions store;
    MetaOptions meta{.hold = true, .names = MetaOptions::Names::alone};
    VfsSettings vfs;
    FuseSettings fuse;
    std::vector<PluginConfig> plugins;

    std::string config_path = kConfigPath;
    std::string subdir = "/";
    bool create = false;      // the volume, if absent
    bool foreground = false;
    bool nonempty = false;    // a directory with files may be hidden by the mount
    int64_t umount_timeout_ns = 80 * kNsPerSecond;
    std::string metrics;      // HOST:PORT or the path of a socket; empty: none
    std::string log_target = "syslog", log_level = "info";
    bool soft = false;        // store.soft_timeout_seconds is timeo then
    int timeo_seconds = 60;
    std::vector<std::string> given;     // of -o, as written
    std::vector<std::string> warnings;  // options that were skipped (-s)
};

// "a=1,b" of -o, given once or more: split at commas outside of "..." and not after a backslash.
std::vector<std::string> split_options(const std::vector<std::string>& lists);

// "acl", "cache=": all that may follow -o; "=": it takes a value.  Those that are always refused are left out.
std::vector<std::string> mount_option_names();

// source: as written.  The file's settings and plugins hold if its [volume] source is this one, or not set.
// sloppy (-s): an unknown option is a warning.  EINVAL, ENOENT: a sentence that names the option.
Result<MountOptions> parse_mount_options(const Source& source, const std::vector<std::string>& options, bool sloppy);

// EINVAL, as for a mount of some rados: source: a value that the file has for an option is none it can have.
Status check_settings(const Config& config);

// What `-o remount` makes of a mount: log_level, hard, soft, timeo, commit, dirty, sync, dirsync and async change.  Words of
// the kernel's and those that are as they were are accepted, since mount(8) repeats them.  EINVAL names the first that cannot
// change.
Result<MountOptions> parse_remount(const MountOptions& now, const std::vector<std::string>& options);

// Those of the options that all commands share with mount: config=, conf=, id=, keyring=, mount_timeout=.
Result<StoreOptions> parse_store_options(const Source& source, const std::vector<std::string>& options);

// parse_source() of what somebody typed: "srv/mesh", "./mesh" and "mesh", if that is a directory, are paths, too.  The text
// of the answer is absolute.
Result<Source> source_of_argument(const std::string& text);

// "/srv/mesh" for "local:../mesh/": one spelling of one volume.
std::string normal_source(const Source& source);

}  // namespace meshfs
