#include "tools/daemon.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "fs/base/log.h"
#include "fs/base/result.h"

namespace meshfs {
namespace {

sigset_t ending_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
    return set;
}

}  // namespace

void hold_signals() {
    sigset_t set = ending_signals();
    pthread_sigmask(SIG_BLOCK, &set, nullptr);  // inherited by every thread
    signal(SIGPIPE, SIG_IGN);
}

void notify_systemd(const std::string& state) {
    const char* path = getenv("NOTIFY_SOCKET");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path == nullptr || std::strlen(path) >= sizeof address.sun_path) return;
    std::strcpy(address.sun_path, path);
    if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
    if (sendto(fd, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), length) < 0)
        log_warning("cannot tell systemd", {{"state", state}, {"errno", errno_name(errno)}});
    close(fd);
}

Ending::Ending(std::function<void()> end) : end_(std::move(end)), thread_([this] { wait(); }) {}

Ending::~Ending() {
    over_ = true;
    pthread_kill(thread_.native_handle(), SIGTERM);
    thread_.join();
}

void Ending::wait() {
    sigset_t set = ending_signals();
    int signal = 0;
    while (sigwait(&set, &signal) == 0 && !over_) {
        log_info("told to end", {{"signal", strsignal(signal)}});
        notify_systemd("STOPPING=1");
        end_();
    }
}

Deadline::Deadline(int64_t ns, std::string what, const char* why)
    : what_(std::move(what)), why_(why), until_(Clock::system().boot_ns() + ns), thread_([this] { wait(); }) {}

Deadline::~Deadline() {
    {
        MutexLock lock(mutex_);
        over_ = true;
        changed_.notify_all();
    }
    thread_.join();
}

void Deadline::wait() {
    MutexLock lock(mutex_);
    while (!over_)
        if (!changed_.wait_until(mutex_, until_) && !over_) {
            log_error(why_, {{"volume", what_}});
            _exit(32);
        }
}

}  // namespace meshfs
