#include "tools/control_server.h"

#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/base/nearest.h"

namespace meshfs {
namespace {

constexpr int64_t kRequestNs = 5 * kNsPerSecond;  // to send a line once connected, and to take one of ours

int64_t soon() { return Clock::system().boot_ns() + kRequestNs; }

}  // namespace

std::string control_path(const std::string& name, uid_t uid) {
    if (uid == 0) return "/run/meshfs/" + name + ".sock";
    std::string run = "/run/user/" + std::to_string(uid);
    std::string folder = access(run.c_str(), F_OK) == 0 ? run + "/meshfs" : "/tmp/meshfs-" + std::to_string(uid);
    return folder + "/" + name + ".sock";
}

Status make_control_directory(const std::string& path) {
    std::string folder = path.substr(0, path.rfind('/'));
    if (mkdir(folder.c_str(), geteuid() == 0 ? 0755 : 0700) != 0 && errno != EEXIST)
        return fail(errno, "cannot make " + folder);
    struct stat found {};
    if (lstat(folder.c_str(), &found) != 0 || !S_ISDIR(found.st_mode) || found.st_uid != geteuid() ||
        (found.st_mode & 022) != 0)
        return fail(EACCES, folder + " is not a directory that only its owner, this user, can write to");
    return {};
}

void ControlServer::add(std::string command, ControlHandler handler) {
    handlers_[std::move(command)] = std::move(handler);
}

void ControlServer::serve_only(std::string source, std::function<bool(const std::string& directory)> is_served) {
    source_ = std::move(source);
    is_served_ = std::move(is_served);
}

Status ControlServer::check_is_meant(const ControlRequest& request) const {
    if (!is_served_ || (request.source.empty() && request.directory.empty())) return {};
    bool is_other = !request.source.empty() && request.source != source_;
    if (!is_other && (request.directory.empty() || is_served_(request.directory))) return {};
    return fail(ESTALE, "the process " + std::to_string(getpid()) + " that listens for " +
                            (request.directory.empty() ? request.source : request.directory) + " serves " + source_ +
                            ", and no longer that mount; try again once it has ended, or umount -l");
}

Status ControlServer::listen(const std::string& path) {
    TRY(make_control_directory(path));
    // The name is ours: the kernel gave this mount its number.  Who had both before is ending, and need not be asked.
    listener_ = TRY(Listener::open_path(path, [this](Connection& connection) { serve(connection); }));
    return {};
}

void ControlServer::stop() {
    if (listener_) listener_->stop();
}

void ControlServer::serve(Connection& connection) {
    auto line = connection.read_line(kRequestMax, soon());
    if (!line.ok() && line.code() != EMSGSIZE) return;  // gone, silent, or only looking who listens
    Result<nlohmann::json> told = line.ok() ? answer(*line, connection)
                                            : fail(EMSGSIZE, "a request is at most " + std::to_string(kRequestMax) + " bytes");
    (void)connection.send(line_of(told), soon());  // gone meanwhile: nobody to tell
}

Result<nlohmann::json> ControlServer::answer(const std::string& line, Connection& connection) {
    auto peer = TRY(connection.peer());
    if (peer.uid != 0 && peer.uid != geteuid())
        return fail(EPERM, "this mount answers its own user and root only");
    ControlRequest request = TRY(parse_request(line));
    TRY(check_is_meant(request));
    auto handler = handlers_.find(request.command);
    if (handler == handlers_.end()) {
        std::vector<std::string> known;
        for (const auto& [name, ignored] : handlers_) known.push_back(name);
        std::string near = nearest(request.command, known);
        return fail(EOPNOTSUPP, "this mount does not know the command \"" + request.command + "\"" +
                                    (near.empty() ? "" : "; did you mean \"" + near + "\"?"));
    }
    log_debug("asked", {{"command", request.command}, {"pid", peer.pid}});
    try {
        return handler->second(request.arguments, [&](const Progress& progress) {
            return connection.send(line_of(progress), soon());
        });
    } catch (const nlohmann::json::exception& wrong) {  // an argument of another kind than the handler reads
        return fail(EINVAL, request.command + ": " + wrong.what());
    }
}

}  // namespace meshfs
