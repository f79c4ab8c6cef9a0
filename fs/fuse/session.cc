#include "fs/fuse/session.h"

#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstring>
#include <fstream>
#include <mutex>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/base/waiting.h"
#include "fs/fuse/mount_point.h"
#include "fs/fuse/ops.h"
#include "fs/fuse/protocol.h"
#include "fs/fuse/receive_buffer.h"

namespace meshfs {
namespace {

thread_local Incoming t_incoming;

constexpr size_t kReleaseThreads = 4;
constexpr size_t kReadersMax = 16;
constexpr int kWakeSignal = SIGUSR1;  // ends a reader's read(2); does nothing else

// libfuse speaks to stderr; what it says at mounting is the detail of our error.
std::mutex g_libfuse_mutex;
std::string g_libfuse_said;

void hear_libfuse(fuse_log_level level, const char* format, va_list arguments) {
    char line[512];
    vsnprintf(line, sizeof line, format, arguments);
    std::string text(line);
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
    if (text.starts_with("fuse: ")) text.erase(0, 6);
    if (level == FUSE_LOG_DEBUG) return static_cast<void>(fprintf(stderr, "%s\n", text.c_str()));
    std::lock_guard lock(g_libfuse_mutex);
    g_libfuse_said = text;
}

std::string libfuse_said() {
    std::lock_guard lock(g_libfuse_mutex);
    return g_libfuse_said;
}

size_t reader_count(const FuseSettings& settings) {
    size_t wanted = settings.readers ? settings.readers : std::thread::hardware_concurrency();
    return std::clamp<size_t>(wanted, 1, kReadersMax);
}

// libfuse splits at commas.
std::string escaped(const std::string& value) {
    std::string out;
    for (char c : value) {
        if (c == ',' || c == '\\') out += '\\';
        out += c;
    }
    return out;
}

void ignore_wake_signal() {
    struct sigaction action {};
    action.sa_handler = [](int) {};  // without SA_RESTART: read(2) ends with EINTR
    sigaction(kWakeSignal, &action, nullptr);
}

}  // namespace

const Incoming& incoming() { return t_incoming; }

const char* name_of(Op op) {
    static constexpr const char* kNames[kOps] = {
        "lookup", "getattr", "setattr", "readlink", "mknod", "mkdir", "unlink", "rmdir", "symlink", "rename", "link",
        "open", "create", "tmpfile", "read", "write", "flush", "release", "fsync", "opendir", "readdir",
        "readdirplus", "releasedir", "fsyncdir", "statfs", "syncfs", "setxattr", "getxattr", "listxattr",
        "removexattr", "access", "getlk", "setlk", "flock", "ioctl", "fallocate", "lseek", "copy_file_range",
        "statx", "forget"};
    return kNames[static_cast<size_t>(op)];
}

Result<std::unique_ptr<FuseSession>> FuseSession::mount(Vfs& vfs, FuseSettings settings) {
    std::unique_ptr<FuseSession> session(new FuseSession(vfs, std::move(settings)));
    TRY(session->connect());
    return session;
}

FuseSession::FuseSession(Vfs& vfs, FuseSettings settings)
    : vfs_(vfs), settings_(std::move(settings)),
      crew_(reader_count(settings_) + settings_.workers, [this](ReceiveBuffer& buffer) { return read_request(buffer); }),
      releasers_("release", kReleaseThreads, settings_.queue_max), release_lane_(releasers_) {}

FuseSession::~FuseSession() {
    if (!fuse_) return;
    stop();
    if (device_.empty()) fuse_session_unmount(fuse_);  // run() was never called
    else if (mount_point_at(settings_.directory)) unmount(true);
    fuse_session_destroy(fuse_);
}

Status FuseSession::connect() {
    fuse_set_log_func(hear_libfuse);
    std::string options = "fsname=" + escaped(settings_.source) + ",subtype=meshfs,default_permissions";
    if (settings_.allow_other) options += ",allow_other";
    if (geteuid() == 0) options += ",suid,dev";  // libfuse's default is nosuid,nodev
    if (settings_.debug) options += ",debug";
    for (const auto& option : settings_.kernel_options) options += "," + escaped(option);
    fuse_args arguments = FUSE_ARGS_INIT(0, nullptr);
    fuse_opt_add_arg(&arguments, "meshfs");
    fuse_opt_add_arg(&arguments, "-o");
    fuse_opt_add_arg(&arguments, options.c_str());
    fuse_lowlevel_ops ops{};
    fill_name_ops(ops);
    fill_file_ops(ops);
    fill_ioctl_ops(ops);
    fuse_ = fuse_session_new(&arguments, &ops, sizeof ops, this);
    fuse_opt_free_args(&arguments);
    if (fuse_ == nullptr) return fail(EINVAL, "libfuse refuses to begin: " + libfuse_said());
    if (fuse_session_mount(fuse_, settings_.directory.c_str()) != 0) {
        int code = errno ? errno : EIO;
        fuse_session_destroy(fuse_);
        fuse_ = nullptr;
        return fail(code, libfuse_said());
    }
    device_fd_ = fuse_session_fd(fuse_);
    fuse_custom_io io{};
    io.writev = write_device;
    io.read = [](int fd, void* bytes, size_t size, void*) { return ::read(fd, bytes, size); };
    if (fuse_session_custom_io(fuse_, &io, device_fd_) != 0) return fail(ENOMEM, libfuse_said());
    return {};
}

// libfuse asks what we want of what the kernel offers.
void FuseSession::settle(fuse_conn_info& connection) {
    connection.want = 0;
    auto want = [&](unsigned bits) { connection.want |= connection.capable & bits; };
    want(FUSE_CAP_ASYNC_READ | FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS | FUSE_CAP_ATOMIC_O_TRUNC |
         FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_DONT_MASK | FUSE_CAP_IOCTL_DIR | FUSE_CAP_READDIRPLUS |
         FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_CACHE_SYMLINKS |
         FUSE_CAP_EXPLICIT_INVAL_DATA);
    if (settings_.acl) want(FUSE_CAP_POSIX_ACL);
    connection.max_write = settings_.io_bytes_max;
    connection.max_background = settings_.background;
    connection.congestion_threshold = settings_.background * 3 / 4;
    connection.max_readahead = UINT32_MAX;
    connection.time_gran = 1;
    features_.protocol_major = connection.proto_major;
    features_.protocol_minor = connection.proto_minor;
    features_.max_background = connection.max_background;
}

// libfuse 3.14 neither knows nor passes on some bits of INIT's answer: they are added on its way to the kernel.
ssize_t FuseSession::write_device(int fd, iovec* pieces, int count, void* userdata) {
    auto* header = static_cast<fuse_out_header*>(pieces[0].iov_base);
    auto& session = *static_cast<FuseSession*>(userdata);
    if (header->unique == session.init_unique_ && session.init_unique_ != 0 && header->error == 0 && count > 1 &&
        pieces[1].iov_len >= sizeof(fuse_init_out)) {
        auto* answer = static_cast<fuse_init_out*>(pieces[1].iov_base);
        uint64_t flags = answer->flags | uint64_t{answer->flags2} << 32;
        flags |= session.offered_ & (protocol::kInitParallelDirops | protocol::kInitKillprivV2 |
                                     protocol::kInitSetxattrExt | protocol::kInitExt |
                                     protocol::kInitDirectIoAllowMmap);
        answer->flags = static_cast<uint32_t>(flags);
        answer->flags2 = static_cast<uint32_t>(flags >> 32);
        session.describe(flags, answer->max_write);
    }
    return writev(fd, pieces, count);
}

void FuseSession::describe(uint64_t flags, uint32_t max_write) {
    features_.max_write = max_write;
    features_.killpriv_v2 = (flags & protocol::kInitKillprivV2) != 0;
    features_.setxattr_ext = (flags & protocol::kInitSetxattrExt) != 0;
    features_.direct_io_mmap = (flags & protocol::kInitDirectIoAllowMmap) != 0;
    const char* kernel = "the kernel does not offer it";
    auto add = [&](const char* name, uint64_t bit) { features_.add(name, (flags & bit) != 0, kernel); };
    add("async_read", FUSE_ASYNC_READ);
    add("atomic_o_trunc", FUSE_ATOMIC_O_TRUNC);
    add("async_dio", FUSE_ASYNC_DIO);
    add("cache_symlinks", FUSE_CACHE_SYMLINKS);
    add("direct_io_allow_mmap", protocol::kInitDirectIoAllowMmap);
    add("dont_mask", FUSE_DONT_MASK);
    add("explicit_inval_data", FUSE_EXPLICIT_INVAL_DATA);
    add("export_support", FUSE_EXPORT_SUPPORT);
    add("flock_locks", FUSE_FLOCK_LOCKS);
    add("handle_killpriv_v2", protocol::kInitKillprivV2);
    add("parallel_dirops", FUSE_PARALLEL_DIROPS);
    features_.add("posix_acl", (flags & FUSE_POSIX_ACL) != 0, settings_.acl ? kernel : "the mount option noacl");
    add("posix_locks", FUSE_POSIX_LOCKS);
    add("readdirplus_auto", FUSE_READDIRPLUS_AUTO);
    add("setxattr_ext", protocol::kInitSetxattrExt);
    features_.add("statx", true, {});
    features_.add("tmpfile", true, {});
    features_.add("auto_inval_data", false, "leases say what changed");
    features_.add("writeback_cache", false, "the kernel would own size and mtime; MeshFS writes back itself");
    features_.add("splice", false, "gained nothing when measured");
    features_.add("clone_fd", false, "libfuse 3.14 has it for its own loop only");
    features_.add("io_uring", false, "needs libfuse 3.18 (-Dfuse=wrap)");
}

Request FuseSession::begin(fuse_req* handle, Op op, uint64_t nodeid) {
    Request request = begin_raw(op, incoming().unique, nodeid);
    request.handle = handle;
    return request;
}

Request FuseSession::begin_raw(Op op, uint64_t unique, uint64_t nodeid) {
    in_flight_.fetch_add(1, std::memory_order_relaxed);
    latencies_[static_cast<size_t>(op)].begin();
    return {this, nullptr, unique, ino_of(nodeid), Clock::system().boot_ns(), op};
}

void FuseSession::end(const Request& request, int code) {
    latencies_[static_cast<size_t>(request.op)].end(Clock::system().boot_ns() - request.begun_ns, code != 0);
}

// With the last of them run() may return, and the session go.
void FuseSession::answered() {
    if (!stopping_) return static_cast<void>(--in_flight_);
    MutexLock lock(mutex_);
    if (--in_flight_ == 0) changed_.notify_all();
}

void FuseSession::kept_too_late() {
    if (invalidate_ && !stopping_ && vfs_.meta().keep_name_ns() == 0) invalidate_->forget_names();
}

int FuseSession::send_raw(uint64_t unique, int code, const iovec* pieces, int count) {
    fuse_out_header header{};
    std::vector<iovec> all{{&header, sizeof header}};
    all.insert(all.end(), pieces, pieces + count);
    size_t bytes = 0;
    for (const auto& piece : all) bytes += piece.iov_len;
    header.len = static_cast<uint32_t>(bytes);
    header.error = -code;
    header.unique = unique;
    return writev(device_fd_, all.data(), static_cast<int>(all.size())) < 0 ? errno : 0;
}

Lane& FuseSession::lane_of(Executor& executor) {
    MutexLock lock(lanes_mutex_);
    auto& lane = lanes_[&executor];
    if (!lane) lane = std::make_unique<Lane>(executor);
    return *lane;
}

void FuseSession::run(Ino ino, Executor::Task task, std::string_view name) {
    if (Executor* own = vfs_.executor_for(ino, name)) lane_of(*own).post(std::move(task));
    else crew_.run(std::move(task));
}

void FuseSession::run_release(Ino ino, Executor::Task task) {
    if (Executor* own = vfs_.executor_for(ino)) return lane_of(*own).post(std::move(task));
    bool has_run = ++releases_here_ <= kReleaseThreads && crew_.run_here(task);
    --releases_here_;
    if (!has_run) release_lane_.post(std::move(task));
}

size_t FuseSession::queued() { return crew_.waiting(); }

void FuseSession::note_privileged(Ino ino) {
    MutexLock lock(mutex_);
    if (privileged_.size() >= kPrivilegedMax) privileged_.erase(privileged_.begin());
    privileged_.insert(ino);
}

// With FUSE_HANDLE_KILLPRIV_V2 the kernel goes on showing the mode it remembers.  At offset -1 only attributes are
// dropped, which never waits.
void FuseSession::forget_privileges(Ino ino) {
    {
        MutexLock lock(mutex_);
        if (privileged_.erase(ino) == 0) return;
    }
    before_waiting();  // for an inode that the kernel is just letting go of
    fuse_lowlevel_notify_inval_inode(fuse_, nodeid_of(ino), -1, 0);
}

uint64_t FuseSession::begin_wait() {
    MutexLock lock(mutex_);
    waits_.insert(++ticket_);
    return ticket_;
}

void FuseSession::end_wait(uint64_t ticket) {
    MutexLock lock(mutex_);
    waits_.erase(ticket);
}

void FuseSession::take_request(ReceiveBuffer& buffer, char* bytes, size_t size) {
    fuse_in_header header{};
    std::memcpy(&header, bytes, sizeof header);
    auto word = [&](size_t offset) {  // of the operation's own part
        uint32_t value = 0;
        if (size >= sizeof header + offset + sizeof value)
            std::memcpy(&value, bytes + sizeof header + offset, sizeof value);
        return value;
    };
    t_incoming = {header.unique, false, &buffer};
    switch (header.opcode) {
        case FUSE_WRITE:
            t_incoming.kill_suid_sgid =
                (word(offsetof(fuse_write_in, write_flags)) & protocol::kWriteKillSuidgid) != 0;
            break;
        case FUSE_OPEN:
            t_incoming.kill_suid_sgid =
                (word(offsetof(fuse_open_in, open_flags)) & protocol::kOpenKillSuidgid) != 0;
            break;
        case FUSE_SETATTR:
            t_incoming.kill_suid_sgid =
                (word(offsetof(fuse_setattr_in, valid)) & protocol::kSetattrKillSuidgid) != 0;
            break;
        case FUSE_INIT:
            init_unique_ = header.unique;
            offered_ = word(offsetof(fuse_init_in, flags));
            if (offered_ & protocol::kInitExt) offered_ |= uint64_t{word(offsetof(fuse_init_in, flags2))} << 32;
            break;
        default:
            if (handle_raw(*this, bytes, size)) return;
    }
    fuse_buf request{};
    request.mem = bytes;
    request.size = size;
    fuse_session_process_buf(fuse_, &request);
    if (header.opcode == FUSE_INIT) {
        MutexLock lock(mutex_);
        is_settled_ = true;
        changed_.notify_all();
    }
}

bool FuseSession::read_request(ReceiveBuffer& buffer) {
    if (!stopping_) {
        fuse_buf received{};
        received.mem = buffer.memory();
        int size = fuse_session_receive_buf(fuse_, &received);
        buffer.held(received.mem, settings_.io_bytes_max);
        if (size == -EINTR || size == -EAGAIN) return true;
        if (size > 0) {
            take_request(buffer, static_cast<char*>(received.mem), static_cast<size_t>(size));
            return true;
        }
    }
    MutexLock lock(mutex_);  // stopped, or the mount is gone
    --reading_;
    changed_.notify_all();
    return false;
}

void FuseSession::start_reader() {
    {
        MutexLock lock(mutex_);
        ++reading_;
    }
    crew_.add_reader();
}

void FuseSession::run(std::function<void()> ready) {
    ignore_wake_signal();
    start_reader();
    bool settled;
    {
        MutexLock lock(mutex_);
        while (!is_settled_ && reading_ > 0) changed_.wait(mutex_);
        settled = is_settled_;
    }
    if (settled) {
        for (size_t i = 1; i < reader_count(settings_); ++i) start_reader();
        if (auto point = mount_point_at(settings_.directory)) device_ = point->device;
        Status ahead = set_readahead(device_, settings_.readahead_bytes);
        features_.add("readahead", ahead.ok(), "only root may set it; MeshFS reads ahead itself");
        invalidate_ = std::make_unique<Invalidate>(fuse_, device_fd_, [this](Ino ino) { return nodeid_of(ino); });
        features_.inc_epoch = invalidate_->probe_inc_epoch();
        features_.add("inc_epoch", features_.inc_epoch, "needs Linux 6.16");
        auto hooks = invalidate_->hooks();
        hooks.keeps_names = features_.inc_epoch;
        vfs_.set_invalidator(std::move(hooks));
        ready();
    }
    end_readers();
    finish_requests();
}

void FuseSession::end_readers() {
    {
        MutexLock lock(mutex_);
        while (reading_ > 0 && !stopping_) changed_.wait(mutex_);
    }
    // A reader may be about to read when the signal comes: again until all have seen it.
    while (true) {
        MutexLock lock(mutex_);
        if (reading_ == 0) break;
        crew_.interrupt_readers(kWakeSignal);
        changed_.wait_until(mutex_, Clock::system().boot_ns() + 10 * kNsPerMs);
    }
}

void FuseSession::finish_requests() {
    stopping_ = true;
    if (invalidate_) {
        vfs_.set_invalidator({});
        invalidate_->stop();
    }
    std::set<uint64_t> waits;
    {
        MutexLock lock(mutex_);
        waits = waits_;
    }
    for (uint64_t ticket : waits) vfs_.cancel_setlk(ticket);
    {
        MutexLock lock(mutex_);
        while (in_flight_ > 0) changed_.wait_until(mutex_, Clock::system().boot_ns() + kNsPerSecond);
    }
    crew_.drain();
    release_lane_.drain();
    {
        MutexLock lock(lanes_mutex_);
        for (auto& [executor, lane] : lanes_) lane->drain();
    }
    MutexLock lock(mutex_);
    is_over_ = true;
    changed_.notify_all();
}

void FuseSession::stop() {
    stopping_ = true;
    MutexLock lock(mutex_);
    changed_.notify_all();
}

bool FuseSession::unmount(bool lazy) {
    if (getuid() == 0) return umount2(settings_.directory.c_str(), lazy ? MNT_DETACH : 0) == 0;
    std::string command = "fusermount3";
    pid_t child = fork();
    if (child == 0) {
        execlp("fusermount3", "fusermount3", "-u", "-q", lazy ? "-z" : "--", settings_.directory.c_str(), nullptr);
        _exit(127);
    }
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

Status FuseSession::abort() {
    std::string minor = device_.substr(device_.find(':') + 1);
    std::string path = "/sys/fs/fuse/connections/" + minor + "/abort";
    std::ofstream file(path);
    file << "1" << std::flush;
    if (file) return {};
    if (umount2(settings_.directory.c_str(), MNT_FORCE) == 0) return {};
    return fail(errno, "cannot abort the mount at " + settings_.directory);
}

}  // namespace meshfs
