#include "tools/line_socket.h"

#include <netdb.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "fs/base/clock.h"

namespace meshfs {
namespace {

Result<sockaddr_un> unix_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return fail(ENAMETOOLONG, "socket path " + path + " is too long");
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

Result<int> listen_on_path(const std::string& path, bool takes_over) {
    sockaddr_un address = TRY(unix_address(path));
    if (auto other = connect_to(path); other.ok() && !takes_over) return fail(EADDRINUSE, "another process listens on " + path);
    struct stat there {};
    if (lstat(path.c_str(), &there) == 0 && !S_ISSOCK(there.st_mode))
        return fail(EEXIST, "will not replace " + path + ", which is no socket");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return fail(errno, "cannot make a socket");
    (void)unlink(path.c_str());  // of one that died, or gives way
    // The mode before listen(2): nobody else can have connected.
    if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 && chmod(path.c_str(), 0600) == 0 &&
        listen(fd, 64) == 0)
        return fd;
    int code = errno;
    close(fd);
    return fail(code, "cannot listen on " + path);
}

bool is_path(const std::string& address) { return address.starts_with('/'); }

Result<int> listen_on_port(const std::string& address) {
    TRY(check_address(address));
    size_t colon = address.rfind(':');
    std::string host = address.substr(0, colon), port = address.substr(colon + 1);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    addrinfo wanted{}, *found = nullptr;
    wanted.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    wanted.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &wanted, &found) != 0)
        return fail(EINVAL, "\"" + address + "\" names no host that is known here");
    std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
    int code = EADDRNOTAVAIL;
    for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
        int fd = socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
        if (fd < 0) continue;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(fd, one->ai_addr, one->ai_addrlen) == 0 && listen(fd, 64) == 0) return fd;
        code = errno;
        close(fd);
    }
    return fail(code, "cannot listen on " + address);
}

uint64_t ino_of_path(const std::string& path) {
    struct stat there {};
    return stat(path.c_str(), &there) == 0 ? there.st_ino : 0;
}

}  // namespace

Connection::~Connection() { close(fd_); }

Status Connection::wait(short events, int64_t until_ns) {
    for (;;) {
        int64_t left_ms = (until_ns - Clock::system().boot_ns()) / kNsPerMs;
        if (left_ms < 0) return fail(ETIMEDOUT);
        pollfd fds[2] = {{fd_, events, 0}, {stop_fd_, POLLIN, 0}};  // poll skips -1
        int ready = poll(fds, 2, static_cast<int>(std::min<int64_t>(left_ms + 1, INT_MAX)));
        if (ready < 0 && errno != EINTR) return fail(errno);
        if (ready > 0 && fds[1].revents != 0) return fail(ECANCELED);
        if (ready > 0) return {};
    }
}

Result<std::string> Connection::read_line(size_t bytes_max, int64_t until_ns) {
    for (;;) {
        size_t end = read_ahead_.find('\n');
        if (std::min(end, read_ahead_.size()) > bytes_max) return fail(EMSGSIZE, "line too long");
        if (end != std::string::npos) {
            std::string line = read_ahead_.substr(0, end);
            read_ahead_.erase(0, end + 1);
            if (line.ends_with('\r')) line.pop_back();
            return line;
        }
        TRY(wait(POLLIN, until_ns));
        char bytes[4096];
        ssize_t got = recv(fd_, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got == 0) return fail(EPIPE);
        if (got > 0) read_ahead_.append(bytes, static_cast<size_t>(got));
        else if (errno != EAGAIN && errno != EINTR) return fail(errno == ECONNRESET ? EPIPE : errno);
    }
}

Status Connection::send(std::string_view text, int64_t until_ns) {
    while (!text.empty()) {
        ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0) text.remove_prefix(static_cast<size_t>(sent));
        else if (errno == EAGAIN) TRY(wait(POLLOUT, until_ns));
        else if (errno != EINTR) return fail(errno == ECONNRESET ? EPIPE : errno);
    }
    return {};
}

Result<ucred> Connection::peer() const {
    ucred peer{};
    socklen_t length = sizeof peer;
    if (getsockopt(fd_, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return fail(errno);
    return peer;
}

Status check_address(const std::string& address) {
    if (is_path(address)) return {};
    size_t colon = address.rfind(':');
    std::string port = colon == address.npos ? "" : address.substr(colon + 1);
    if (port.empty() || port.find_first_not_of("0123456789") != port.npos)
        return fail(EINVAL, "\"" + address + "\" is neither HOST:PORT nor the absolute path of a socket");
    // getaddrinfo takes any number, and the kernel its last 16 bits.
    if (port.size() > 5 || std::atoi(port.c_str()) < 1 || std::atoi(port.c_str()) > 65535)
        return fail(EINVAL, "\"" + address + "\" has no port from 1 to 65535");
    return {};
}

Result<std::unique_ptr<Listener>> Listener::open(const std::string& address, Serve serve) {
    int fd = TRY(is_path(address) ? listen_on_path(address, false) : listen_on_port(address));
    return start(fd, is_path(address) ? address : "", std::move(serve));
}

Result<std::unique_ptr<Listener>> Listener::open_path(const std::string& path, Serve serve) {
    return start(TRY(listen_on_path(path, true)), path, std::move(serve));
}

Result<std::unique_ptr<Listener>> Listener::start(int fd, std::string path, Serve serve) {
    int stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stop_fd < 0) {
        int code = errno;
        close(fd);
        return fail(code, "cannot make an eventfd");
    }
    return std::unique_ptr<Listener>(new Listener(fd, stop_fd, std::move(path), std::move(serve)));
}

Listener::Listener(int fd, int stop_fd, std::string path, Serve serve)
    : fd_(fd), stop_fd_(stop_fd), path_(std::move(path)), serve_(std::move(serve)),
      path_ino_(path_.empty() ? 0 : ino_of_path(path_)), served_("connection", kServedMax, kWaitingMax),
      accepting_("listener", [this] { accept_all(); }) {}

Listener::~Listener() {
    stop();
    close(fd_);
    close(stop_fd_);
}

void Listener::stop() {
    if (!accepting_.joinable()) return;
    uint64_t one = 1;
    (void)!write(stop_fd_, &one, sizeof one);  // never read: every wait ends from now on
    accepting_.join();
    served_.stop();
    // Unless the next one has taken the place already.
    if (!path_.empty() && ino_of_path(path_) == path_ino_) (void)unlink(path_.c_str());
}

void Listener::accept_all() {
    for (;;) {
        pollfd fds[2] = {{fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR) return;
        if (fds[1].revents != 0) return;
        int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            // Without room for another descriptor the connection stays pending: do not spin over it.
            constexpr int kPauseMs = 100;
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) (void)poll(&fds[1], 1, kPauseMs);
            continue;
        }
        auto connection = std::make_shared<Connection>(fd, stop_fd_);  // with the task, which must be copyable
        (void)served_.try_post([this, connection] { serve_(*connection); });
    }
}

Result<std::unique_ptr<Connection>> connect_to(const std::string& path) {
    sockaddr_un address = TRY(unix_address(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return fail(errno, "cannot make a socket");
    auto connection = std::make_unique<Connection>(fd);
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
        return fail(errno, "cannot connect to " + path);
    return connection;
}

}  // namespace meshfs
