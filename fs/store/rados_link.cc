#include "fs/store/rados_link.h"

#include <fstream>
#include <sstream>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/store/rados_errors.h"
#include "fs/store/rados_operation.h"

namespace meshfs {
namespace {

// An object that is never made: writing to it under assert_exists asks for the right and changes nothing.
constexpr const char* kProbeName = "probe";
constexpr int kMonSecondsMax = 30;  // of a command to the monitors (capacity, snapshots, fences)

std::vector<std::string> split_list(const std::string& text) {
    std::vector<std::string> items;
    std::string item;
    for (char c : text + ",") {
        if (c != ',' && c != ' ' && c != ';') {
            item += c;
        } else if (!item.empty()) {
            items.push_back(std::move(item));
            item.clear();
        }
    }
    return items;
}

// Waits for one operation of librados until a moment; cancelled then, so that nothing is left to complete.
class OneWait {
public:
    OneWait() : completion_(librados::Rados::aio_create_completion(this, &OneWait::completed)) {}
    ~OneWait() { completion_->release(); }
    librados::AioCompletion* completion() { return completion_; }

    int wait(librados::IoCtx& io, int64_t until_ns) {
        MutexLock lock(mutex_);
        while (!is_done_ && changed_.wait_until(mutex_, until_ns)) {
        }
        bool is_late = !is_done_;
        if (is_late) {
            mutex_.unlock();
            io.aio_cancel(completion_);
            mutex_.lock();
            while (!is_done_) changed_.wait(mutex_);
        }
        return is_late ? -ETIMEDOUT : completion_->get_return_value();
    }

private:
    static void completed(librados::completion_t, void* argument) {
        auto* self = static_cast<OneWait*>(argument);
        MutexLock lock(self->mutex_);
        self->is_done_ = true;
        self->changed_.notify_all();
    }
    Mutex mutex_;
    CondVar changed_;
    bool is_done_ GUARDED_BY(mutex_) = false;
    librados::AioCompletion* completion_;
};

}  // namespace

RadosLink::RadosLink(Source source, StoreOptions options)
    : source_(std::move(source)), options_(std::move(options)), calls_(options_.soft_timeout_seconds) {}

RadosLink::~RadosLink() {
    calls_.stop();
    shut_down();
}

void RadosLink::shut_down() {
    gate_.close();
    if (std::exchange(is_connected_, false)) rados_.shutdown();
    calls_.forget_all();
}

std::string RadosLink::client_name() const { return "client." + (options_.id.empty() ? "admin" : options_.id); }

std::string RadosLink::conf_name() const {
    return options_.conf.empty() ? "/etc/ceph/ceph.conf" : options_.conf;
}

Status RadosLink::read_configuration() {
    int code = rados_.init2(client_name().c_str(), "ceph", 0);
    if (code < 0) return fail(-code, "cannot start librados as " + client_name());
    // Without conf= librados looks where Ceph's own programs do: $CEPH_CONF, /etc/ceph, ~/.ceph, the folder.
    code = rados_.conf_read_file(options_.conf.empty() ? nullptr : options_.conf.c_str());
    if (code < 0) {
        const char* what = code == -ENOENT    ? "there is no such file"
                           : code == -EACCES ? "it may not be read"
                                             : "it cannot be understood";
        return fail(-code, "cannot read the cluster's configuration " + conf_name() + ": " + what +
                               "; give the path of a ceph.conf with -o conf=");
    }
    auto set = [&](const char* name, const std::string& value) {
        int result = rados_.conf_set(name, value.c_str());
        if (result < 0) log_warning("librados does not know a setting", {{"setting", name}});
    };
    if (!options_.keyring.empty()) set("keyring", options_.keyring);
    set("client_mount_timeout", std::to_string(options_.mount_timeout_seconds));
    set("rados_mon_op_timeout", std::to_string(kMonSecondsMax));
    set("rados_osd_op_timeout", "0");  // our own deadlines: its would let operations end unknown
    // At the default 100 MiB submitting blocks; ours are below (kBytesInFlightMax, kCallsMax).
    set("objecter_inflight_op_bytes", std::to_string(uint64_t{2} << 30));
    set("objecter_inflight_ops", "32768");
    set("log_to_stderr", "false");  // its lines would land in the terminal of a user who gets our sentence
    set("err_to_stderr", "false");
    return {};
}

// Which of the many reasons for one code it was, is found by looking where librados looked.
Error RadosLink::connect_error(int code) {
    const std::string attempt = "cannot connect to the Ceph cluster of " + conf_name();
    std::string monitors, keyrings;
    rados_.conf_get("mon_host", monitors);
    rados_.conf_get("keyring", keyrings);
    if (monitors.empty() && (code == -ENOENT || code == -EINVAL))
        return fail(ENOENT, attempt + ": it names no monitors (mon_host)");
    if (code == -ETIMEDOUT)
        return fail(ETIMEDOUT, attempt + ": no monitor of " + monitors + " answered within " +
                                   std::to_string(options_.mount_timeout_seconds) +
                                   " s (mount_timeout); are they up, and reachable from here?");

    std::string readable;
    bool has_key = false;
    for (const auto& path : split_list(keyrings)) {
        std::ifstream file(path);
        if (!file) continue;
        std::stringstream text;
        text << file.rdbuf();
        readable += (readable.empty() ? "" : ", ") + path;
        has_key |= text.str().find("[" + client_name() + "]") != std::string::npos;
    }
    if (readable.empty())
        return fail(code == -EACCES ? EACCES : ENOENT,
                    attempt + ": no keyring can be read (looked for " + keyrings + "); give its path with -o keyring=");
    if (!has_key)
        return fail(ENOENT, attempt + ": there is no key for " + client_name() + " in " + readable +
                                "; name another key with -o id= or another file with -o keyring=");
    if (code == -EACCES || code == -EPERM)
        return fail(EACCES, attempt + ": the monitors refuse " + client_name() +
                                ": its key in " + readable +
                                " is not the cluster's, or it lacks a capability on the monitors; an administrator"
                                " sees it with: ceph auth get " + client_name());
    return fail(errno_of_rados(code), attempt);
}

// The command replaces all capabilities of the key, so it names all that MeshFS needs.
Error RadosLink::denied(const std::string& pool) {
    std::string may = "allow rw pool=" + source_.pool + " namespace=" + source_.volume;
    auto add = [&](const std::string& name) {
        if (name != source_.pool) may += ", allow rw pool=" + name + " namespace=" + source_.volume;
    };
    for (const auto& [number, name] : options_.data_pools) add(name);
    if (may.find("pool=" + pool + " ") == std::string::npos) add(pool);
    return fail(EACCES, "cannot use pool \"" + pool + "\" of the Ceph cluster: " + client_name() + " may not " +
                            (options_.read_only ? "read" : "read and write") + " namespace \"" + source_.volume +
                            "\" there; an administrator allows it with: ceph auth caps " + client_name() +
                            " mon 'profile rbd' osd '" + may + "'");
}

Status RadosLink::connect() {
    TRY(read_configuration());
    int code = rados_.connect();
    if (code < 0) return connect_error(code);
    is_connected_ = true;
    rados_.cluster_fsid(&fsid_);
    address_ = rados_.get_addrs();

    auto meta = std::make_shared<RadosPool>();
    meta->name = source_.pool;
    meta->io = TRY(open_pool(source_.pool));
    TRY(probe(*meta));
    auto data = std::make_shared<RadosPool>(*meta);
    data->prefix = "1 ";
    {
        MutexLock lock(mutex_);
        pools_[kMetaPool] = meta;
        pools_[Pool{1}] = data;
    }
    for (const auto& [number, name] : options_.data_pools) TRY(add_data_pool(number, name));
    return {};
}

Result<librados::IoCtx> RadosLink::open_pool(const std::string& name) {
    librados::IoCtx io;
    int code = rados_.ioctx_create(name.c_str(), io);
    if (code == -ENOENT)
        return fail(ENOENT, "pool \"" + name + "\" does not exist in the Ceph cluster of " + conf_name() +
                                "; an administrator makes it with: ceph osd pool create " + name +
                                " && ceph osd pool application enable " + name + " meshfs");
    if (code < 0) return fail(errno_of_rados(code), "cannot open pool \"" + name + "\" of the Ceph cluster");
    io.set_namespace(source_.volume);
    return io;
}

// A mount that may not write should say so now, not at the first fsync.
Status RadosLink::probe(const RadosPool& pool) {
    librados::IoCtx io = pool.io;
    OneWait wait;
    librados::ObjectWriteOperation write;
    librados::ObjectReadOperation read;
    int code;
    if (options_.read_only) {
        read.stat(nullptr, nullptr, nullptr);
        code = io.aio_operate(kProbeName, wait.completion(), &read, nullptr);
    } else {
        write.assert_exists();
        write.truncate(0);
        code = io.aio_operate(kProbeName, wait.completion(), &write, librados::OPERATION_FULL_TRY);
    }
    if (code < 0) return fail(errno_of_rados(code), "cannot use pool \"" + pool.name + "\"");
    code = wait.wait(io, Clock::system().boot_ns() + options_.mount_timeout_seconds * kNsPerSecond);
    if (errno_of_rados(code) == EACCES) return denied(pool.name);
    if (code == -ETIMEDOUT)
        return fail(ETIMEDOUT, "the OSDs of pool \"" + pool.name + "\" did not answer within " +
                                   std::to_string(options_.mount_timeout_seconds) +
                                   " s (mount_timeout); an administrator sees why with: ceph health detail");
    if (errno_of_rados(code) == ESHUTDOWN)
        return fail(ESHUTDOWN, "this client has been fenced (blocklisted) by the Ceph cluster");
    return {};  // ENOENT: as it should be; ENOSPC and EDQUOT stop writes, not the mount
}

Status RadosLink::add_data_pool(Pool number, const std::string& name) {
    if (number == kMetaPool) return fail(EINVAL, "pool 0 is the source's own");
    auto added = std::make_shared<RadosPool>();
    added->name = name;
    added->io = TRY(open_pool(name));
    auto meta = TRY(pool(kMetaPool));
    // The same pool by its id, whatever it is called: the names must then be told apart.
    if (librados::IoCtx(meta->io).get_id() == added->io.get_id()) added->prefix = std::to_string(number) + " ";
    else TRY(probe(*added));
    MutexLock lock(mutex_);
    pools_[number] = std::move(added);
    snap_contexts_.clear();
    return {};
}

Result<std::shared_ptr<const RadosPool>> RadosLink::pool(Pool number) {
    MutexLock lock(mutex_);
    auto it = pools_.find(number);
    if (it == pools_.end()) return fail(EINVAL, "this volume has no pool " + std::to_string(number));
    return it->second;
}

std::vector<std::shared_ptr<const RadosPool>> RadosLink::distinct_pools() {
    MutexLock lock(mutex_);
    std::vector<std::shared_ptr<const RadosPool>> distinct;
    for (const auto& [number, pool] : pools_) {
        bool is_new = true;
        for (const auto& other : distinct)
            is_new &= librados::IoCtx(other->io).get_id() != librados::IoCtx(pool->io).get_id();
        if (is_new) distinct.push_back(pool);
    }
    return distinct;
}

Result<librados::IoCtx> RadosLink::context_at(Pool number, SnapId at) {
    auto which = TRY(pool(number));
    if (at == SnapId::head) return which->io;
    MutexLock lock(mutex_);
    for (auto it = snap_contexts_.begin(); it != snap_contexts_.end(); ++it) {
        if (it->first != std::pair(number, at)) continue;
        snap_contexts_.splice(snap_contexts_.begin(), snap_contexts_, it);
        return it->second;
    }
    librados::IoCtx io;
    io.dup(which->io);
    io.snap_set_read(raw(at));
    snap_contexts_.emplace_front(std::pair(number, at), io);
    if (snap_contexts_.size() > kSnapContextsMax) snap_contexts_.pop_back();
    return io;
}

}  // namespace meshfs
