// meshfs umount DIR; as umount.fuse.meshfs what umount(8) runs: returns when everything is stored.
//
// umount(2) returns at once, with the daemon still flushing.  So: find the daemon, have it flush, unmount, wait until it
// has ended.
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/control_client.h"

namespace meshfs {
namespace {

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
    if (flushed.code() == ESTALE) return flushed.error();  // asked was the daemon of another mount
    return flushed.error().in("not everything could be stored, so " + daemon.directory +
                              " stays mounted (umount -f takes it away and loses that)");
}

// -f: the daemon ends by itself within seconds, with everything stored or not.
Status give_up(const Daemon& daemon) {
    constexpr int64_t kPatienceNs = 2 * kNsPerSecond;
    auto told = ask(daemon, {"give_up"}, kPatienceNs);
    // One that serves another mount must not be waited for; whoever is silent or gone is dealt with below.
    return told.code() == ESTALE ? Status(told.error()) : Status();
}

std::string who_uses(const Daemon& daemon) { return "; `fuser -vm " + daemon.directory + "` shows who uses it"; }

// The same file system at another place: a bind mount.  Its daemon serves on when one of them goes.
bool is_seen_elsewhere(const Daemon& daemon) {
    auto points = mount_points();
    return std::any_of(points.begin(), points.end(), [&](const MountPoint& point) {
        return point.device == daemon.device && point.directory != daemon.directory;
    });
}

Status take_away(const UmountArguments& arguments, const Daemon& daemon, bool stays) {
    if (geteuid() != 0) {
        pid_t child = fork();
        if (child == 0) {
            const char* how = arguments.lazy || arguments.force ? "-z" : "--";
            execlp("fusermount3", "fusermount3", "-u", "-q", how, daemon.directory.c_str(), nullptr);
            _exit(127);
        }
        int status = 0;
        if (child > 0 && waitpid(child, &status, 0) == child && status == 0) return {};
        if (WIFEXITED(status) && WEXITSTATUS(status) == 127) return fail(ENOENT, "there is no fusermount3; install fuse3");
        return fail(EBUSY, "cannot unmount " + daemon.directory + who_uses(daemon));
    }
    // MNT_FORCE ends the file system wherever it is seen.
    int flags = (arguments.lazy ? MNT_DETACH : 0) | (arguments.force && !stays ? MNT_FORCE : 0);
    if (umount2(daemon.directory.c_str(), flags) == 0) return {};
    return fail(errno, "cannot unmount " + daemon.directory + (errno == EBUSY ? who_uses(daemon) : ""));
}

bool ends_within(int pidfd, int ms) {
    pollfd wait{pidfd, POLLIN, 0};
    int ready;
    while ((ready = poll(&wait, 1, ms)) < 0 && errno == EINTR) {
    }
    return ready > 0;
}

Status wait_for_end(int pidfd, const UmountArguments& arguments, const Daemon& daemon) {
    constexpr int kForceMs = 5000;  // give_up takes two seconds
    constexpr int kNoteMs = 10'000;
    if (pidfd < 0) return {};
    Status ended;
    if (!arguments.force && !ends_within(pidfd, kNoteMs)) {
        complain("umount", "waiting until the daemon of " + daemon.source +
                               " ends: it is busy, or seen in another mount namespace");
        (void)ends_within(pidfd, -1);
    } else if (arguments.force && !ends_within(pidfd, kForceMs)) {
        // It was not stored on the user's word; a daemon that hangs has no other end.
        (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
        if (!ends_within(pidfd, kForceMs))
            ended = fail(EBUSY, "the daemon of " + daemon.directory + " was killed and still hangs in the kernel; it has " +
                                    daemon.source + " until that lets it go");
    }
    close(pidfd);
    return ended;
}

}  // namespace

int run_umount(int argc, char** argv) {
    UmountArguments arguments;
    CLI::App app{"Stores everything, takes the mount away, and returns when its daemon has ended."};
    app.add_option("DIR", arguments.target, "where it is mounted, or its SOURCE")->required();
    app.add_option("-t", arguments.type, "accepted: fuse.meshfs");
    app.add_option("-N", arguments.mount_namespace, "accepted from umount(8), which has entered it");
    app.add_flag("-l", arguments.lazy, "detach even if busy; the daemon ends with the last open file");
    app.add_flag("-f", arguments.force, "without storing first: what cannot be stored at once is lost, callers get an error");
    app.add_flag("--fake", arguments.fake, "check the arguments only");
    app.add_flag("-n", arguments.no_mtab, "accepted: there is no mtab");
    app.add_flag("-v", arguments.verbose, "accepted");
    app.add_flag("-r", arguments.read_only, "accepted, without effect");
    app.add_flag("-q", arguments.quiet, "accepted");
    app.add_flag("-i", arguments.same_mount, "accepted");
    app.footer("exit: 0 unmounted and everything stored, 1 usage, 32 failed");
    if (auto status = read_arguments(app, "umount", argc, argv, mount_exit::kUsage)) return *status;

    auto daemon = find_mount(arguments.target);
    if (!daemon.ok()) {
        complain("umount", daemon.error().detail());
        return daemon.code() == ENOENT ? mount_exit::kUsage : mount_exit::kFailed;
    }
    if (arguments.fake) return 0;
    if (geteuid() != 0 && geteuid() != daemon->uid) {
        complain("umount", daemon->directory + " is mounted by another user, number " + std::to_string(daemon->uid) +
                               "; only that user or root may unmount it");
        return mount_exit::kFailed;
    }
    if (!arguments.lazy && !arguments.force)
        if (Status flushed = flush(*daemon); !flushed.ok()) return complain("umount", flushed.error()), mount_exit::kFailed;
    int process = -1;
    const bool stays = is_seen_elsewhere(*daemon);
    Status meant = arguments.force && !stays ? give_up(*daemon) : Status();
    if (meant.ok() && !stays) process = open_process(*daemon);
    Status gone = take_away(arguments, *daemon, stays);
    if (!gone.ok()) return complain("umount", gone.error()), mount_exit::kFailed;
    if (arguments.lazy) return 0;
    Status ended = wait_for_end(process, arguments, *daemon);
    return ended.ok() ? 0 : (complain("umount", ended.error()), mount_exit::kFailed);
}

}  // namespace meshfs
