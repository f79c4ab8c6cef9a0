// One mount: the connection to the kernel, the threads that read it, and the pools that answer.
//
// Who reads a request carries it out, and before he waits for a store, another request or a notification somebody else
// reads on (crew.h).  Plugins' calls run on their own pools; RELEASE, with everybody waiting, on a lane of its own that a full
// queue cannot hold up.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fs/base/executor.h"
#include "fs/base/mutex.h"
#include "fs/fuse/crew.h"
#include "fs/fuse/feature.h"
#include "fs/fuse/invalidate.h"
#include "fs/fuse/lane.h"
#include "fs/fuse/latency.h"
#include "fs/fuse/request.h"
#include "fs/vfs/vfs.h"

struct fuse_session;
struct fuse_conn_info;
struct iovec;

namespace meshfs {

class ReceiveBuffer;

struct FuseSettings {
    std::string source, directory;             // as /proc/mounts shall show them
    std::vector<std::string> kernel_options;   // "nosuid", "context=...": for mount(2) or fusermount3
    bool allow_other = true;
    bool acl = true;
    bool debug = false;                        // each request on stderr, by libfuse
    uint32_t background = 256;                 // 1 .. 65,535 requests
    uint32_t io_bytes_max = 1u << 20;          // 128 KiB .. 1 MiB
    uint64_t readahead_bytes = 8u << 20;
    uint32_t block_bytes = 64u << 10;          // st_blksize
    size_t readers = 0;                        // 0: one a core, at most 16
    size_t workers = 64;
    size_t queue_max = 1024;
    enum class Io : uint8_t { automatic, cached, direct } io = Io::automatic;
    int64_t valid_ns_max = INT64_MAX;          // timeout=
    Ino root = kRootIno;                       // subdir=
};

class FuseSession {
public:
    // Mounts; the kernel's first request is answered once run() is called.  Vfs outlives the session.  Errors carry
    // a sentence.
    static Result<std::unique_ptr<FuseSession>> mount(Vfs& vfs, FuseSettings settings);
    ~FuseSession();

    // Serves until the mount is gone or stop() is called.  `ready` is called once, when INIT is answered.
    void run(std::function<void()> ready);
    // Ends run(): readers stop, what is in flight is finished.  Any thread but the session's own; safe twice.
    void stop();
    // Takes the mount away: false if it is busy (EBUSY), unless `lazy`.
    bool unmount(bool lazy);
    // The kernel drops the connection: callers get ECONNABORTED.
    Status abort();

    const FuseSettings& settings() const { return settings_; }
    const Features& features() const { return features_; }
    const Latency& latency(Op op) const { return latencies_[static_cast<size_t>(op)]; }
    std::string device() const { return device_; }  // "0:57"; known once run() has called `ready`
    size_t queued();

    // --- for the operations (ops*.cc, reply.cc)
    Vfs& vfs() { return vfs_; }
    Request begin(fuse_req* handle, Op op, uint64_t nodeid);
    Request begin_raw(Op op, uint64_t unique, uint64_t nodeid);
    // For reply.cc: before the answer is written, for who sees it finds it counted; and when it is.
    void end(const Request& request, int code);
    void answered();
    void kept_too_late();  // what the kernel was just told to keep may be wrong by now
    // Where calls about this number may wait: in this call, or later.
    void run(Ino ino, Executor::Task task, std::string_view name = {});
    void run_release(Ino ino, Executor::Task task);
    void post_reply(Executor::Task task) { crew_.post(std::move(task)); }
    // The root of the mount is 1 for the kernel, whatever directory it is.
    Ino ino_of(uint64_t nodeid) const { return nodeid == 1 ? settings_.root : Ino{nodeid}; }
    uint64_t nodeid_of(Ino ino) const { return ino == settings_.root ? 1 : raw(ino); }
    int send_raw(uint64_t unique, int code, const iovec* pieces, int count);
    // The kernel was told that this file has setuid or setgid; and: a write has cleared them.
    void note_privileged(Ino ino);
    void forget_privileges(Ino ino);
    // A SETLKW that waits: the number under which Vfs knows it; stop() ends those that are left.
    uint64_t begin_wait();
    void end_wait(uint64_t ticket);
    void settle(fuse_conn_info& connection);

private:
    FuseSession(Vfs& vfs, FuseSettings settings);
    Status connect();
    bool read_request(ReceiveBuffer& buffer);
    void take_request(ReceiveBuffer& buffer, char* bytes, size_t size);
    void start_reader();
    void end_readers();
    void finish_requests();
    void describe(uint64_t flags, uint32_t max_write);  // INIT's answer, for features()
    Lane& lane_of(Executor& executor);
    static ssize_t write_device(int fd, iovec* pieces, int count, void* userdata);

    Vfs& vfs_;
    const FuseSettings settings_;
    Features features_;
    fuse_session* fuse_ = nullptr;
    int device_fd_ = -1;
    std::string device_;
    std::array<Latency, kOps> latencies_;
    std::atomic<bool> stopping_{false};
    std::atomic<int64_t> in_flight_{0};
    uint64_t init_unique_ = 0, offered_ = 0;  // of the first reader, before there are others

    Mutex mutex_;
    CondVar changed_;
    size_t reading_ GUARDED_BY(mutex_) = 0;  // who have not seen the end
    bool is_settled_ GUARDED_BY(mutex_) = false;  // INIT is answered
    bool is_over_ GUARDED_BY(mutex_) = false;     // requests in flight are finished
    uint64_t ticket_ GUARDED_BY(mutex_) = 0;
    std::set<uint64_t> waits_ GUARDED_BY(mutex_);
    // Files shown with setuid or setgid.  Past the bound some keep showing it until the kernel asks again.
    static constexpr size_t kPrivilegedMax = 65'536;
    std::unordered_set<Ino> privileged_ GUARDED_BY(mutex_);

    Crew crew_;
    Executor releasers_;
    Lane release_lane_;
    std::atomic<size_t> releases_here_{0};  // in the crew: more would leave nobody for what memory answers
    Mutex lanes_mutex_;
    std::unordered_map<Executor*, std::unique_ptr<Lane>> lanes_ GUARDED_BY(lanes_mutex_);  // plugins' pools
    std::unique_ptr<Invalidate> invalidate_;
};

}  // namespace meshfs
