// mount -o remount: the daemon takes its settings, the kernel its flags.
#include <sys/mount.h>

#include <sstream>

#include "tools/control_client.h"
#include "tools/mount.h"

namespace meshfs {
namespace {

struct Flag {
    const char* on;
    const char* off;
    unsigned long bit;
};
constexpr Flag kFlags[] = {{"ro", "rw", MS_RDONLY},       {"nosuid", "suid", MS_NOSUID}, {"nodev", "dev", MS_NODEV},
                           {"noexec", "exec", MS_NOEXEC}, {"sync", "async", MS_SYNCHRONOUS},
                           {"dirsync", "async", MS_DIRSYNC}, {"noatime", "", MS_NOATIME},   {"relatime", "", MS_RELATIME}};

unsigned long with_flags(unsigned long bits, const std::vector<std::string>& options) {
    for (const auto& option : options)
        for (const Flag& flag : kFlags) {
            if (option == flag.on) bits |= flag.bit;
            if (option == flag.off) bits &= ~flag.bit;
        }
    return bits;
}

}  // namespace

Status remount(const std::string& directory, const std::vector<std::string>& options) {
    auto daemon = find_daemon(directory);
    if (!daemon || daemon->directory.empty())
        return fail(EINVAL, directory + " is not a MeshFS mount; /proc/mounts lists those there are");
    TRY(ask(*daemon, {"remount", {{"options", options}}}));
    // What is not named stays as it is: `meshfs mount -o remount,commit=5s` must not take nosuid away.
    unsigned long before = 0;
    if (auto point = mount_point_at(daemon->directory))
        before = with_flags(0, split_options({point->options, point->options_of_all}));
    unsigned long after = with_flags(before, options);
    if (after == before) return {};
    if (mount(nullptr, daemon->directory.c_str(), nullptr, MS_REMOUNT | after, nullptr) == 0) return {};
    return fail(errno, "the kernel does not change the flags of " + daemon->directory);
}

}  // namespace meshfs
