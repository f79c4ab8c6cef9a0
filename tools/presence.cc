#include "tools/presence.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace meshfs {
namespace {

bool address_of(const std::string& path, sockaddr_un& address) {
    address = {};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return false;
    std::memcpy(address.sun_path, path.data(), path.size());
    return true;
}

std::string folder() {
    const char* own = getenv("XDG_RUNTIME_DIR");
    return (geteuid() != 0 && own != nullptr ? std::string(own) : std::string("/run")) + "/meshfs";
}

}  // namespace

std::string presence_path(const std::string& device) { return folder() + "/" + device + ".sock"; }

// The device is ours now, so a socket that is there is of a daemon that died.
Status Presence::announce(const std::string& device) {
    (void)mkdir(folder().c_str(), 0755);  // there already, or bind says why not
    std::string path = presence_path(device);
    sockaddr_un address;
    if (!address_of(path, address)) return fail(ENAMETOOLONG, "cannot listen on " + path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return fail(errno, "cannot make a socket");
    (void)unlink(path.c_str());
    if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(fd, 64) != 0) {
        int code = errno;
        close(fd);
        return fail(code, "cannot listen on " + path);
    }
    fd_ = fd;
    path_ = path;
    return {};
}

Presence::~Presence() {
    if (fd_ < 0) return;
    (void)unlink(path_.c_str());
    close(fd_);
}

int open_daemon(const std::string& device) {
    sockaddr_un address;
    if (!address_of(presence_path(device), address)) return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    ucred peer{};
    socklen_t length = sizeof peer;
    int pidfd = -1;
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.pid > 0)
        pidfd = static_cast<int>(syscall(SYS_pidfd_open, peer.pid, 0));
    close(fd);
    return pidfd;
}

}  // namespace meshfs
