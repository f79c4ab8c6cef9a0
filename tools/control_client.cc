#include "tools/control_client.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <filesystem>

#include "tools/control_server.h"
#include "tools/line_socket.h"
#include "tools/mount_options.h"

namespace meshfs {
namespace {

Daemon daemon_of(const MountPoint& point) {
    return {control_path(point.device, point.uid), point.source, point.directory, point.device, point.uid};
}

bool says_nobody(int code) { return code == ENOENT || code == ECONNREFUSED; }

// Without asking the file system: it may be dead, or wait.
std::optional<MountPoint> mount_point_named(const std::string& text) {
    if (auto point = mount_point_at(text)) return point;
    std::error_code none;
    std::string path = std::filesystem::absolute(text, none).lexically_normal();
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    return none ? std::nullopt : mount_point_at(path);
}

std::vector<Daemon> mounts_of(const Source& source) {
    std::vector<Daemon> found;
    const std::string normal = normal_source(source);
    for (const auto& point : mount_points())
        if (auto its = parse_source(point.source); its.ok() && normal_source(*its) == normal)
            found.push_back(daemon_of(point));
    return found;
}

std::optional<Daemon> mount_behind(const std::string& text) {
    char resolved[PATH_MAX];
    if (realpath(text.c_str(), resolved) != nullptr)
        if (auto point = mount_point_at(resolved)) return daemon_of(*point);
    return std::nullopt;
}

// Who must listen there: a user could leave a socket of his own in the way of root's question.
Status check_listener(const Connection& connection, const std::string& socket) {
    auto peer = TRY(connection.peer());
    if (peer.uid == 0 || peer.uid == geteuid() || geteuid() == 0) return {};
    return fail(EPERM, "somebody else listens on " + socket);
}

// Hosts without a mount have sockets "serve-PID.sock" in the same directory.
std::optional<Daemon> find_serve(const std::string& source) {
    std::error_code none;
    std::string folder = std::filesystem::path(control_path("x", geteuid())).parent_path();
    for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
        if (!entry.path().filename().string().starts_with("serve-")) continue;
        Daemon candidate{entry.path(), source, "", "", geteuid()};
        if (auto told = ask(candidate, {"info"}); told.ok()) return candidate;  // others say that they serve another
    }
    return std::nullopt;
}

}  // namespace

bool is_gone(const Daemon& daemon) { return says_nobody(connect_to(daemon.socket).code()); }

std::optional<Daemon> find_daemon(const std::string& text) {
    if (auto point = mount_point_named(text)) return daemon_of(*point);
    if (auto source = source_of_argument(text); source.ok()) {
        auto living = mounts_of(*source);
        std::erase_if(living, is_gone);
        if (!living.empty()) return living.back();
        if (auto serve = find_serve(normal_source(*source))) return serve;
    }
    return mount_behind(text);
}

Result<Daemon> find_mount(const std::string& text) {
    if (auto point = mount_point_named(text)) return daemon_of(*point);
    std::vector<Daemon> mounts, living;
    if (auto source = source_of_argument(text); source.ok()) living = mounts = mounts_of(*source);
    std::erase_if(living, is_gone);
    auto is_elsewhere = [&](const Daemon& other) { return other.directory != living.front().directory; };
    if (auto other = std::find_if(living.begin(), living.end(), is_elsewhere); other != living.end())
        return fail(EBUSY, text + " is mounted at " + living.front().directory + " and at " + other->directory +
                               "; name one of them");
    if (!living.empty()) return living.back();
    if (!mounts.empty()) return mounts.back();  // a dead one is meant if it is all there is
    if (auto daemon = mount_behind(text); daemon && !daemon->directory.empty()) return *daemon;
    return fail(ENOENT, text + " is not a MeshFS mount; /proc/mounts lists those there are");
}

Result<Source> source_of_target(const std::string& text) {
    auto source = source_of_argument(text);
    if (source.ok()) return source;
    return fail(EINVAL, "\"" + text + "\" is no MeshFS mount, and no source: " + source.error().detail());
}

Result<nlohmann::json> ask(const Daemon& daemon, const ControlRequest& request, int64_t answer_ns,
                           const TellProgress& tell) {
    auto until = [&] { return answer_ns == INT64_MAX ? INT64_MAX : Clock::system().boot_ns() + answer_ns; };
    auto here = [&](const Error& error) { return error.in("cannot ask the daemon of " + daemon.source); };
    auto opened = connect_to(daemon.socket);
    if (says_nobody(opened.code()) && !daemon.directory.empty())
        return fail(opened.code(), "the daemon of " + daemon.source + " at " + daemon.directory + " is gone; `meshfs umount " +
                                       daemon.directory + "` clears its mount away");
    if (opened.code() == EACCES && daemon.uid != geteuid())
        return fail(EACCES, daemon.source + " is mounted by another user, number " + std::to_string(daemon.uid) +
                                "; only that user or root may ask its daemon");
    if (!opened.ok()) return here(opened.error());
    Connection& connection = **opened;
    TRY(check_listener(connection, daemon.socket));
    ControlRequest addressed = request;
    addressed.source = daemon.source;
    addressed.directory = daemon.directory;
    if (Status sent = connection.send(line_of(addressed), until()); !sent.ok()) return here(sent.error());
    for (;;) {
        auto line = connection.read_line(kReplyMax, until());
        if (line.code() == ETIMEDOUT) return fail(ETIMEDOUT, "the daemon of " + daemon.source + " does not answer");
        if (line.code() == EPIPE) return fail(EPIPE, "the daemon of " + daemon.source + " ended before it had answered");
        if (!line.ok()) return here(line.error());
        ControlReply reply = TRY(parse_reply(*line));
        if (reply.answer) return std::move(*reply.answer);
        if (tell) TRY(tell(*reply.progress));
    }
}

int open_process(const Daemon& daemon) {
    auto connection = connect_to(daemon.socket);
    if (!connection.ok()) return -1;
    auto peer = (*connection)->peer();
    return peer.ok() && peer->pid > 0 ? static_cast<int>(syscall(SYS_pidfd_open, peer->pid, 0)) : -1;
}

}  // namespace meshfs
