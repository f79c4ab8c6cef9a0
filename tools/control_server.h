// The socket on which a mount (or `meshfs serve`) is asked and told things; and how it is found: who connects learns
// from the kernel which process listens.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "tools/control.h"
#include "tools/line_socket.h"

namespace meshfs {

// Answers one command.  Runs on a thread of the socket's, several at once; may block.  `tell` sends progress, and its
// error (the asker has gone, the mount ends) is to be returned.
using ControlHandler = std::function<Result<nlohmann::json>(const nlohmann::json& arguments, const TellProgress& tell)>;

class ControlServer {
public:
    ~ControlServer() { stop(); }
    void add(std::string command, ControlHandler handler);  // before listen()
    // Who asks for another source, or a directory that `is_served` does not know, is sent away: before listen().
    void serve_only(std::string source, std::function<bool(const std::string& directory)> is_served);
    // Only this process' user and root are answered.  Whoever listens there now loses the name: see Listener::open_path.
    Status listen(const std::string& path);
    void stop();  // returns when no handler runs

private:
    void serve(Connection& connection);
    Status check_is_meant(const ControlRequest& request) const;
    Result<nlohmann::json> answer(const std::string& line, Connection& connection);
    std::map<std::string, ControlHandler> handlers_;
    std::string source_;
    std::function<bool(const std::string&)> is_served_;
    std::unique_ptr<Listener> listener_;
};

// Where the socket of a user's mount is: "/run/meshfs/0:57.sock"; of others than root below /run/user/UID, or below
// /tmp/meshfs-UID where there is no such directory.  The same for whoever asks, whatever the environment.
std::string control_path(const std::string& name, uid_t uid);
// Makes the directory; EACCES if it is there and somebody else's.
Status make_control_directory(const std::string& path);

}  // namespace meshfs
