// One mount's life: store, names, POSIX, plugins, kernel; and the way back in the opposite order.
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <sstream>
#include <thread>

#include "fs/base/log.h"
#include "fs/fuse/mount_point.h"
#include "tools/mount.h"
#include "tools/mounted_volume.h"
#include "tools/presence.h"

namespace meshfs {
namespace {

// Tells systemd (Type=notify); nothing if it did not start us.
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

sigset_t ending_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
    return set;
}

// Takes SIGTERM, SIGINT and SIGHUP, which every other thread has blocked.
class Ending {
public:
    explicit Ending(std::function<void()> end) : end_(std::move(end)), thread_([this] { wait(); }) {}
    ~Ending() {
        over_ = true;
        pthread_kill(thread_.native_handle(), SIGTERM);
        thread_.join();
    }

private:
    void wait() {
        sigset_t set = ending_signals();
        int signal = 0;
        while (sigwait(&set, &signal) == 0 && !over_) {
            log_info("told to end", {{"signal", strsignal(signal)}});
            end_();
        }
    }
    const std::function<void()> end_;
    std::atomic<bool> over_{false};
    std::thread thread_;
};

// Ends the process if the way out takes longer than allowed: systemd would kill it soon after, without a word.
class Deadline {
public:
    Deadline(int64_t ns, std::string directory)
        : directory_(std::move(directory)), until_(Clock::system().boot_ns() + ns), thread_([this] { wait(); }) {}
    ~Deadline() {
        {
            MutexLock lock(mutex_);
            over_ = true;
            changed_.notify_all();
        }
        thread_.join();
    }

private:
    void wait() {
        MutexLock lock(mutex_);
        while (!over_)
            if (!changed_.wait_until(mutex_, until_) && !over_) {
                log_error("not everything could be stored within umount_timeout; what was not synced is lost",
                          {{"directory", directory_}});
                _exit(32);
            }
    }
    const std::string directory_;
    const int64_t until_;
    Mutex mutex_;
    CondVar changed_;
    bool over_ GUARDED_BY(mutex_) = false;
    std::thread thread_;
};

Status make_volume_if_absent(Store& store, const MountRequest& request) {
    bool in_memory = request.source.kind == Source::Kind::memory;
    if (!in_memory && !request.options.create) return {};
    auto volume = read_volume(store);
    if (volume.ok() || volume.code() != ENOENT) return {};
    FormatOptions options;
    options.root_uid = geteuid();
    options.root_gid = getegid();
    return format_volume(store, Clock::system(), options);
}

Result<Ino> find_directory(Meta& meta, const std::string& path) {
    Ino ino = kRootIno;
    std::istringstream parts(path);
    for (std::string part; std::getline(parts, part, '/');) {
        if (part.empty() || part == ".") continue;
        if (part == "..") return fail(EINVAL, "mount option subdir=" + path + ": \"..\" is not allowed");
        auto found = meta.lookup(ino, part);
        if (!found.ok()) return found.error().in("cannot mount subdir=" + path + ": no \"" + part + "\"");
        if (!found->is_directory()) return fail(ENOTDIR, "cannot mount subdir=" + path + ": \"" + part + "\" is no directory");
        ino = found->ino;
    }
    return ino;
}

void log_store_errors(const Status& status, const char* what, Status& first) {
    if (status.ok()) return;
    log_error(what, {{"why", status.error().text()}});
    if (first.ok()) first = status.error().in(what);
}

// Everything below Vfs is open: plugins, kernel, until the end.
Status serve(const MountRequest& request, Store& store, Meta& meta, Vfs& vfs, Presence& presence,
             const std::function<void()>& ready) {
    const MountOptions& options = request.options;
    PluginHost plugins(vfs, store);
    TRY(plugins.start(options.plugins));
    FuseSettings settings = options.fuse;
    settings.source = request.source.kind == Source::Kind::local ? normal_source(request.source) : request.source.text;
    settings.directory = request.directory;
    settings.root = options.vfs.root;
    auto session = FuseSession::mount(vfs, settings);
    if (!session.ok()) {
        plugins.stop();
        return session.error().in("cannot mount at " + request.directory);
    }
    std::atomic<bool> is_ending{false};
    auto end = [&] {
        if (is_ending.exchange(true)) return;
        notify_systemd("STOPPING=1");
        Status flushed = vfs.syncfs();
        if (!flushed.ok()) log_error("not everything could be stored", {{"why", flushed.error().text()}});
        if ((*session)->unmount(false)) return;
        log_warning("the mount is busy: detached, its open files end", {{"directory", request.directory}});
        (*session)->unmount(true);
        (*session)->stop();
    };
    MountedVolume mounted{store, meta, vfs, **session, plugins, settings.source, request.directory,
                          request.source.kind != Source::Kind::rados, [] { kill(getpid(), SIGTERM); }};
    {
        Ending ending(end);
        (*session)->run([&] {
            Status announced = presence.announce((*session)->device());
            if (!announced.ok()) log_warning("umount cannot wait for this mount", {{"why", announced.error().text()}});
            log_info("mounted", {{"source", settings.source}, {"directory", request.directory}});
            ready();
            notify_systemd("READY=1");
        });
    }
    plugins.stop();
    (void)mounted;
    return {};
}

}  // namespace

Status serve_mount(const MountRequest& request, const std::function<void()>& ready) {
    sigset_t set = ending_signals();
    pthread_sigmask(SIG_BLOCK, &set, nullptr);  // inherited by every thread
    signal(SIGPIPE, SIG_IGN);
    MountOptions options = request.options;

    std::unique_ptr<Store> store = TRY(open_store(request.source, options.store));
    TRY(make_volume_if_absent(*store, request));
    VolumeInfo volume = TRY(read_volume(*store));
    if (!volume.data_pool.empty()) TRY(store->add_data_pool(Pool{1}, volume.data_pool));
    std::unique_ptr<Meta> meta = TRY(Meta::open(*store, Clock::system(), options.meta));
    Status first;
    Presence presence;  // until all is stored
    {
        auto root = find_directory(*meta, options.subdir);
        if (!root.ok()) {
            log_store_errors(meta->close(), "cannot end the session", first);
            return root.error();
        }
        options.vfs.root = *root;
        Vfs vfs(*store, *meta, Clock::system(), options.vfs);
        MountRequest settled{request.source, request.directory, options};
        first = serve(settled, *store, *meta, vfs, presence, ready);
        Deadline deadline(options.umount_timeout_ns, request.directory);
        log_store_errors(vfs.stop(), "not everything could be stored", first);
        log_store_errors(meta->close(), "cannot end the session", first);
    }
    meta.reset();
    log_info("unmounted", {{"directory", request.directory}});
    return first;
}

}  // namespace meshfs
