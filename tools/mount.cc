// meshfs mount SOURCE DIR [-o ...]; as mount.fuse.meshfs what mount(8) runs.
//
// The daemon is forked before anything is opened (librados' threads do not survive a fork); the parent returns when
// the kernel has its first answer.  Exit: mount(8)'s.
#include "tools/mount.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "fs/base/log.h"
#include "tools/arguments.h"
#include "tools/commands.h"

namespace meshfs {
namespace {

struct MountArguments {
    std::string source, directory, type, mount_namespace;
    std::vector<std::string> option_lists;
    bool sloppy = false, foreground = false, fake = false, no_mtab = false, verbose = false;
};

int fail_mount(const Error& error, int status) {
    complain("mount", error);
    return status;
}

void become_daemon() {
    setsid();
    if (chdir("/") != 0) complain("mount", "cannot leave the directory");
}

// The terminal, or mount(8)'s pipe, is let go: its reader must not wait for us.
void let_go_of_terminal() {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd <= 2; ++fd) dup2(null, fd);
    if (null > 2) close(null);
}

int serve_in_foreground(const MountRequest& request) {
    log_to(request.options.log_target == "syslog" ? "stderr" : request.options.log_target);
    Status done = serve_mount(request, [] {});
    return done.ok() ? 0 : fail_mount(done.error(), mount_exit::kFailed);
}

int serve_as_daemon(const MountRequest& request, int tell_fd) {
    become_daemon();
    // Until it is mounted the user reads along; log lines go where they belong.
    if (!log_to(request.options.log_target)) {
        complain("mount", "cannot open the log \"" + request.options.log_target + "\": " + errno_name(errno));
        return mount_exit::kUsage;
    }
    bool told = false;
    Status done = serve_mount(request, [&] {
        let_go_of_terminal();
        char ready = 1;
        told = write(tell_fd, &ready, 1) == 1;
        close(tell_fd);
    });
    if (done.ok()) return 0;
    if (!told) return fail_mount(done.error(), mount_exit::kFailed);
    log_error("the mount ended with an error", {{"why", done.error().text()}});
    return mount_exit::kFailed;
}

int wait_for_daemon(pid_t daemon, int fd) {
    char ready = 0;
    ssize_t got;
    while ((got = read(fd, &ready, 1)) < 0 && errno == EINTR) {
    }
    if (got == 1) return 0;
    int status = 0;
    while (waitpid(daemon, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) return WEXITSTATUS(status);
    complain("mount", WIFSIGNALED(status) ? "the daemon was killed by signal " + std::to_string(WTERMSIG(status))
                                          : std::string("the daemon ended before it was mounted"));
    return mount_exit::kFailed;
}

int start_daemon(const MountRequest& request) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return fail_mount(fail(errno, "cannot make a pipe"), mount_exit::kSystem);
    std::fflush(nullptr);
    pid_t daemon = fork();
    if (daemon < 0) return fail_mount(fail(errno, "cannot start the daemon"), mount_exit::kSystem);
    if (daemon == 0) {
        close(ends[0]);
        int status = serve_as_daemon(request, ends[1]);
        std::fflush(nullptr);
        _exit(status);
    }
    close(ends[1]);
    return wait_for_daemon(daemon, ends[0]);
}

void describe(CLI::App& app, MountArguments& arguments) {
    app.add_option("SOURCE", arguments.source, "a directory, rados:POOL[/VOLUME], or memory:")->required();
    app.add_option("DIR", arguments.directory, "where to show it")->required();
    app.add_option("-o", arguments.option_lists, "NAME=VALUE,...  (all: mount.fuse.meshfs(8))")->allow_extra_args(false);
    app.add_option("-t", arguments.type, "accepted: fuse.meshfs");
    app.add_option("-N", arguments.mount_namespace, "accepted from mount(8), which has entered it");
    app.add_flag("-s", arguments.sloppy, "an unknown option is a warning");
    app.add_flag("-f", arguments.fake, "check the arguments, do not mount");
    app.add_flag("-n", arguments.no_mtab, "accepted: there is no mtab");
    app.add_flag("-v", arguments.verbose, "accepted");
    app.footer("  -o dirty=BYTES   bytes written and not yet stored, 256 MiB\n  -o fg            stay in the foreground\n"
               "example: meshfs mount rados:ai/train /mnt/train -o id=train\n"
               "exit: 0 mounted, 1 usage, 2 no /dev/fuse or memory, 32 failed");
}

}  // namespace

int run_mount(int argc, char** argv) {
    MountArguments arguments;
    CLI::App app{"Shows a volume under DIR; returns when it can be used."};
    describe(app, arguments);
    if (auto status = read_arguments(app, "mount", argc, argv, mount_exit::kUsage)) return *status;

    auto source = source_of_argument(arguments.source);
    if (!source.ok()) return fail_mount(source.error(), mount_exit::kUsage);
    if (source->kind == Source::Kind::local) source->path = normal_source(*source);
    auto options = parse_mount_options(*source, split_options(arguments.option_lists), arguments.sloppy);
    if (!options.ok()) return fail_mount(options.error(), mount_exit::kUsage);
    if (std::find(options->given.begin(), options->given.end(), "remount") != options->given.end()) {
        Status done = arguments.fake ? Status() : remount(arguments.directory, options->given);
        return done.ok() ? 0 : fail_mount(done.error(), done.code() == EINVAL ? mount_exit::kUsage : mount_exit::kFailed);
    }
    for (const auto& warning : options->warnings) complain("mount", "warning: " + warning);
    LogLevel level = LogLevel::info;
    parse_log_level(options->log_level, level);
    set_log_level(level);
    if (arguments.fake) return 0;
    if (access("/dev/fuse", R_OK | W_OK) != 0) {
        const char* remedy = errno == EACCES ? "its mode is 0666 where users may mount: chmod 666 /dev/fuse"
                                             : "`modprobe fuse`, or in a container --device /dev/fuse";
        return fail_mount(fail(errno, std::string("cannot use /dev/fuse; ") + remedy), mount_exit::kSystem);
    }
    auto directory = prepare_mount_directory(arguments.directory, options->nonempty);
    if (!directory.ok()) return fail_mount(directory.error(), mount_exit::kFailed);

    MountRequest request{*source, *directory, *options};
    return options->foreground ? serve_in_foreground(request) : start_daemon(request);
}

}  // namespace meshfs
