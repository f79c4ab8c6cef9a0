#include "tools/control_client.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <filesystem>

#include "tools/control_server.h"
#include "tools/line_socket.h"
#include "tools/mount_options.h"

namespace meshfs {
namespace {

Daemon daemon_of(const MountPoint& point) {
    return {control_path(point.device, point.uid), point.source, point.directory, point.device};
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
        Daemon candidate{entry.path(), source, "", ""};
        auto told = ask(candidate, {"info"});
        if (told.ok() && told->value("source", "") == source) return candidate;
    }
    return std::nullopt;
}

}  // namespace

std::optional<Daemon> find_daemon(const std::string& text) {
    // Without asking the file system first: it may be dead, or wait.
    std::string path = text;
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    if (auto point = mount_point_at(path)) return daemon_of(*point);
    auto source = parse_source(text);
    if (source.ok()) {
        std::string normal = normal_source(*source);
        std::optional<MountPoint> top;
        for (auto& point : mount_points())
            if (auto its = parse_source(point.source); its.ok() && normal_source(*its) == normal) top = std::move(point);
        if (top) return daemon_of(*top);
        if (auto serve = find_serve(normal)) return serve;
    }
    char resolved[PATH_MAX];
    if (realpath(path.c_str(), resolved) != nullptr)
        if (auto point = mount_point_at(resolved)) return daemon_of(*point);
    return std::nullopt;
}

Result<Source> source_of_target(const std::string& text) {
    auto source = parse_source(text);
    if (source.ok()) return source;
    return fail(EINVAL, "\"" + text + "\" is no MeshFS mount, and no source: " + source.error().detail());
}

Result<nlohmann::json> ask(const Daemon& daemon, const ControlRequest& request, int64_t answer_ns,
                           const TellProgress& tell) {
    auto until = [&] { return answer_ns == INT64_MAX ? INT64_MAX : Clock::system().boot_ns() + answer_ns; };
    auto here = [&](const Error& error) { return error.in("cannot ask the daemon of " + daemon.source); };
    auto opened = connect_to(daemon.socket);
    if (!opened.ok()) return here(opened.error());
    Connection& connection = **opened;
    TRY(check_listener(connection, daemon.socket));
    if (Status sent = connection.send(line_of(request), until()); !sent.ok()) return here(sent.error());
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
