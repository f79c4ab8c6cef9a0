// Lines over a socket, with a bound on every line and every wait: the control socket and the metrics stand on it.
#pragma once

#include <sys/socket.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "fs/base/executor.h"
#include "fs/base/result.h"

namespace meshfs {

// One connection, used by one thread.  Waits end with ETIMEDOUT at `until_ns` (CLOCK_BOOTTIME), with ECANCELED when the
// listener stops, with EPIPE when the other side has ended.
class Connection {
public:
    explicit Connection(int fd, int stop_fd = -1) : fd_(fd), stop_fd_(stop_fd) {}
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // Without its "\n" or "\r\n".  EMSGSIZE: it is longer than bytes_max.
    Result<std::string> read_line(size_t bytes_max, int64_t until_ns);
    Status send(std::string_view text, int64_t until_ns);
    // Who is there: of the moment it connected or listened.  Unix sockets only.
    Result<ucred> peer() const;

private:
    Status wait(short events, int64_t until_ns);
    const int fd_, stop_fd_;
    std::string read_ahead_;
};

// Accepts, and serves each connection on one of a few threads.
class Listener {
public:
    using Serve = std::function<void(Connection&)>;
    static constexpr size_t kServedMax = 8, kWaitingMax = 16;  // connections; beyond them new ones are closed

    // "/run/x.sock", for its owner alone and in the place of one that nobody listens on; or "HOST:PORT".
    // Errors carry a sentence.
    static Result<std::unique_ptr<Listener>> open(const std::string& address, Serve serve);
    // The same of a path, also in the place of one that somebody listens on: he keeps his connections and gets no more.
    static Result<std::unique_ptr<Listener>> open_path(const std::string& path, Serve serve);
    ~Listener();
    void stop();  // ends waits, returns when the last Serve has; removes the socket

private:
    static Result<std::unique_ptr<Listener>> start(int fd, std::string path, Serve serve);
    Listener(int fd, int stop_fd, std::string path, Serve serve);
    void accept_all();
    const int fd_, stop_fd_;
    const std::string path_;  // empty: TCP
    const Serve serve_;
    uint64_t path_ino_ = 0;
    Executor served_;
    Thread accepting_;
};

// Whether it is one that Listener::open() takes, without looking whether it is free.  EINVAL with a sentence.
Status check_address(const std::string& address);

// To a Unix socket.  ENOENT, ECONNREFUSED: nobody listens there.
Result<std::unique_ptr<Connection>> connect_to(const std::string& path);

}  // namespace meshfs
