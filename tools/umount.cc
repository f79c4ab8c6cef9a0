// meshfs umount DIR; as umount.fuse.meshfs what umount(8) runs: returns when everything is stored.
//
// umount(2) returns at once, with the daemon still flushing.  So: find the daemon, have it flush, unmount, wait until it
// has ended.
#include <poll.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/control_client.h"

namespace meshfs {
namespace {

constexpr int kUsage = 1, kFailed = 32;

struct UmountArguments {
    std::string target, type, mount_namespace;
    bool lazy = false, force = false, fake = false, no_mtab = false, verbose = false, read_only = false,
         quiet = false, same_mount = false;
};

// Everything is stored before the mount goes: what cannot be stored now still has its mount, and its owner a choice.
Status flush(const Daemon& daemon) {
    ProgressLine line("umount");
    auto flushed = ask(daemon, {"flush"}, kAnswerNs, [&](const Progress& progress) -> Status {
        line.show(progress);
        return {};
    });
    if (flushed.ok()) return {};
    // Nobody is there (any more): nothing can be lost by going on.
    for (int gone : {ENOENT, ECONNREFUSED, EPIPE})
        if (flushed.code() == gone) return {};
    return flushed.error().in("not everything could be stored, so " + daemon.directory +
                              " stays mounted (umount -f takes it away and loses that)");
    if (flushed.code() == ESTALE) return flushed.error();  // asked was the daemon of another mount
}

Status take_away(const UmountArguments& arguments, const Daemon& daemon) {
    if (geteuid() != 0) {
        pid_t child = fork();
        if (child == 0) {
            execlp("fusermount3", "fusermount3", "-u", arguments.lazy ? "-z" : "--", daemon.directory.c_str(), nullptr);
            _exit(127);
        }
        int status = 0;
        if (child > 0 && waitpid(child, &status, 0) == child && status == 0) return {};
        return fail(EPERM, "fusermount3 could not unmount " + daemon.directory);
    }
    int flags = (arguments.lazy ? MNT_DETACH : 0) | (arguments.force ? MNT_FORCE : 0);
    if (umount2(daemon.directory.c_str(), flags) == 0) return {};
    std::string remedy = errno == EBUSY ? "; `fuser -vm " + daemon.directory + "` shows who uses it" : "";
    return fail(errno, "cannot unmount " + daemon.directory + remedy);
}

void wait_for_end(int pidfd) {
    if (pidfd < 0) return;
    pollfd wait{pidfd, POLLIN, 0};
    while (poll(&wait, 1, -1) < 0 && errno == EINTR) {
    }
    close(pidfd);
}

}  // namespace

int run_umount(int argc, char** argv) {
    UmountArguments arguments;
    CLI::App app{"Stores everything, takes the mount away, and returns when its daemon has ended."};
    app.add_option("DIR", arguments.target, "where it is mounted, or its SOURCE")->required();
    app.add_option("-t", arguments.type, "accepted: fuse.meshfs");
    app.add_option("-N", arguments.mount_namespace, "accepted from umount(8), which has entered it");
    app.add_flag("-l", arguments.lazy, "detach even if busy; the daemon ends with the last open file");
    app.add_flag("-f", arguments.force, "drop the connection: callers that wait get an error");
    app.add_flag("--fake", arguments.fake, "check the arguments only");
    app.add_flag("-n", arguments.no_mtab, "accepted: there is no mtab");
    app.add_flag("-v", arguments.verbose, "accepted");
    app.add_flag("-r", arguments.read_only, "accepted, without effect");
    app.add_flag("-q", arguments.quiet, "accepted");
    app.add_flag("-i", arguments.same_mount, "accepted");
    app.footer("exit: 0 unmounted and everything stored, 1 usage, 32 failed");
    if (auto status = read_arguments(app, "umount", argc, argv, kUsage)) return *status;

    auto daemon = find_mount(arguments.target);
    if (!daemon || daemon->directory.empty()) {
        complain("umount", arguments.target + " is not a MeshFS mount; /proc/mounts lists those there are");
        return kUsage;
    }
    if (arguments.fake) return 0;
    if (!arguments.lazy && !arguments.force)
        if (Status flushed = flush(*daemon); !flushed.ok()) return complain("umount", flushed.error()), kFailed;
    int process = open_process(*daemon);
    Status gone = take_away(arguments, *daemon);
    if (!gone.ok()) return complain("umount", gone.error()), kFailed;
    if (arguments.lazy) return 0;
    wait_for_end(process);
    return 0;
}

}  // namespace meshfs
    if (geteuid() != 0 && geteuid() != daemon->uid) {
        complain("umount", daemon->directory + " is mounted by another user, number " + std::to_string(daemon->uid) +
                               "; only that user or root may unmount it");
        return kFailed;
    }
