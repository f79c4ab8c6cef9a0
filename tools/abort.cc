// meshfs abort DIR: frees everybody who waits for a mount, with an error.
#include <sys/mount.h>

#include <cstdio>
#include <fstream>

#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/control_client.h"

namespace meshfs {
namespace {

// Without the daemon, which may be what hangs.
Status abort_in_kernel(const Daemon& daemon) {
    std::string minor = daemon.device.substr(daemon.device.find(':') + 1);
    std::ofstream file("/sys/fs/fuse/connections/" + minor + "/abort");
    file << "1" << std::flush;
    if (file || umount2(daemon.directory.c_str(), MNT_FORCE) == 0) return {};
    return fail(errno, "cannot abort the mount at " + daemon.directory);
}

}  // namespace

int run_abort(int argc, char** argv) {
    CLI::App app{"Drops the connection of a mount: its callers get an error at once. What was not synced is lost."};
    std::string target;
    std::vector<std::string> option_lists;
    app.add_option("DIR", target, "where it is mounted, or its SOURCE")->required();
    app.add_option("-o", option_lists, "accepted, as for the other commands")->allow_extra_args(false);
    app.footer("Then: umount DIR\nexample: meshfs abort /mnt/mesh\nexit: 0 done, 1 failed, 2 usage");
    if (auto status = read_arguments(app, "abort", argc, argv, kUsage)) return *status;

    auto daemon = find_mount(target);
    if (!daemon.ok()) {
        complain("abort", daemon.error().detail());
        return kFailed;
    }
    constexpr int64_t kPatienceNs = 2 * kNsPerSecond;
    auto told = ask(*daemon, {"abort"}, kPatienceNs);
    if (told.ok()) return 0;
    Status done = abort_in_kernel(*daemon);
    if (done.ok()) return 0;
    complain("abort", done.error());
    return kFailed;
}

}  // namespace meshfs
