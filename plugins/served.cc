#include "plugins/served.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <map>

#include "fs/base/log.h"

namespace meshfs {
namespace {

// What a plugin answered: error, or the parts that the call wants.
struct Reply {
    int code = 0;  // an errno, or 0
    meshfs_attr attr{};
    uint64_t handle = 0;
    std::string data;
    size_t count = 0;
    uint64_t statfs[3] = {0, 0, 0};
    std::vector<ServedPrefix::Entry> entries;
};

struct Request {
    Mutex mutex;
    CondVar told;
    bool is_told GUARDED_BY(mutex) = false;
    Reply reply GUARDED_BY(mutex);
    size_t entries_max = 0;
    size_t data_max = 0;
    // What the plugin was given pointers to: alive until it answers, however late.
    meshfs_caller caller{};
    std::string name, to_name, value;
    Buffer bytes;
    meshfs_attr attr{};
    std::function<void()> answered;  // the place with the plugin is free again
};

// The requests that are with plugins.  A number that is not here has been answered: a second or late answer
// finds nothing, and numbers are never used twice, so a plugin's mistake cannot reach another request.
class Unanswered {
public:
    static Unanswered& all() {
        static auto* table = new Unanswered;  // never freed: plugins' threads may outlive everything
        return *table;
    }
    meshfs_request* add(std::shared_ptr<Request> request) {
        MutexLock lock(mutex_);
        uint64_t number = next_++;
        requests_.emplace(number, std::move(request));
        return reinterpret_cast<meshfs_request*>(number);
    }
    std::shared_ptr<Request> find(meshfs_request* handle) {
        MutexLock lock(mutex_);
        auto it = requests_.find(reinterpret_cast<uint64_t>(handle));
        return it == requests_.end() ? nullptr : it->second;
    }
    std::shared_ptr<Request> take(meshfs_request* handle) {
        MutexLock lock(mutex_);
        auto it = requests_.find(reinterpret_cast<uint64_t>(handle));
        if (it == requests_.end()) return nullptr;
        auto request = std::move(it->second);
        requests_.erase(it);
        return request;
    }

private:
    Mutex mutex_;
    uint64_t next_ GUARDED_BY(mutex_) = 1;
    std::map<uint64_t, std::shared_ptr<Request>> requests_ GUARDED_BY(mutex_);
};

void answer(meshfs_request* handle, const std::function<void(Request&, Reply&)>& fill) noexcept {
    auto request = Unanswered::all().take(handle);
    if (!request) return;
    {
        MutexLock lock(request->mutex);
        fill(*request, request->reply);
        request->is_told = true;
        request->told.notify_all();
    }
    request->answered();
}

int errno_of(int error) {
    if (error == 0) return 0;
    return error < 0 && error > -4096 ? -error : EIO;
}

void reply_error(meshfs_request* r, int error) {
    answer(r, [&](Request&, Reply& reply) { reply.code = errno_of(error); });
}
void reply_attr(meshfs_request* r, const meshfs_attr* attr) {
    answer(r, [&](Request&, Reply& reply) {
        if (attr != nullptr) reply.attr = *attr;
        else reply.code = EIO;
    });
}
void reply_open(meshfs_request* r, const meshfs_attr* attr, uint64_t handle) {
    answer(r, [&](Request&, Reply& reply) {
        if (attr != nullptr) reply.attr = *attr;
        reply.handle = handle;
    });
}
void reply_data(meshfs_request* r, const void* bytes, size_t length) {
    answer(r, [&](Request& request, Reply& reply) {
        if (bytes == nullptr && length > 0) reply.code = EIO;
        else if (length > 0)
            reply.data.assign(static_cast<const char*>(bytes), std::min(length, request.data_max));
    });
}
void reply_count(meshfs_request* r, size_t count) {
    answer(r, [&](Request&, Reply& reply) { reply.count = count; });
}
void reply_statfs(meshfs_request* r, uint64_t total, uint64_t free, uint64_t files) {
    answer(r, [&](Request&, Reply& reply) {
        reply.statfs[0] = total, reply.statfs[1] = free, reply.statfs[2] = files;
    });
}
int reply_entry(meshfs_request* r, const char* name, const meshfs_attr* attr, uint64_t cookie) {
    auto request = Unanswered::all().find(r);
    if (!request || name == nullptr || attr == nullptr) return 1;
    MutexLock lock(request->mutex);
    if (request->is_told || request->reply.entries.size() >= request->entries_max) return 1;
    std::string_view text(name);
    bool is_name = !text.empty() && text.size() <= kNameMax && text.find('/') == text.npos && text != "." &&
                   text != ".." && cookie != 0;
    if (is_name)
        request->reply.entries.push_back(
            {std::string(text), cookie, inode_of(*attr), static_cast<int64_t>(attr->valid_ns)});
    return request->reply.entries.size() >= request->entries_max ? 1 : 0;
}

Time time_of(int64_t ns) {
    int64_t seconds = ns / kNsPerSecond, rest = ns % kNsPerSecond;
    if (rest < 0) --seconds, rest += kNsPerSecond;
    return {seconds, static_cast<uint32_t>(rest)};
}
// Saturates: the ABI's range is the years 1677 to 2262.
int64_t ns_of(Time time) {
    if (time.seconds > INT64_MAX / kNsPerSecond - 1) return INT64_MAX;
    if (time.seconds < INT64_MIN / kNsPerSecond + 1) return INT64_MIN;
    return time.seconds * kNsPerSecond + time.ns;
}

}  // namespace

meshfs_attr attr_of(const Inode& inode) {
    meshfs_attr a{};
    a.ino = raw(inode.ino);
    a.mode = inode.mode;
    a.links = inode.links;
    a.uid = inode.uid;
    a.gid = inode.gid;
    a.bytes = inode.map.size;
    a.allocated = inode.map.bytes;
    a.atime_ns = ns_of(inode.atime);
    a.mtime_ns = ns_of(inode.mtime);
    a.ctime_ns = ns_of(inode.ctime);
    a.btime_ns = ns_of(inode.btime);
    a.rdev = inode.rdev;
    a.generation = inode.content_version;
    return a;
}

Inode inode_of(const meshfs_attr& a) {
    Inode inode;
    inode.ino = Ino{a.ino};
    inode.mode = a.mode;
    inode.links = a.links == 0 ? 1 : a.links;
    inode.uid = a.uid;
    inode.gid = a.gid;
    inode.map.size = std::min<uint64_t>(a.bytes, kFileSizeMax);
    inode.map.bytes = a.allocated;
    inode.atime = time_of(a.atime_ns);
    inode.mtime = time_of(a.mtime_ns);
    inode.ctime = time_of(a.ctime_ns);
    inode.btime = time_of(a.btime_ns);
    inode.rdev = a.rdev;
    return inode;
}

void set_reply_calls(meshfs_host& host) {
    host.reply_error = reply_error;
    host.reply_attr = reply_attr;
    host.reply_open = reply_open;
    host.reply_data = reply_data;
    host.reply_count = reply_count;
    host.reply_statfs = reply_statfs;
    host.reply_entry = reply_entry;
}

// Counts what is with the plugin and runs its functions on threads that may hang.
class ServedPlugin::Calls : public std::enable_shared_from_this<Calls> {
public:
    explicit Calls(ServedOptions options)
        : options_(std::move(options)),
          callers_("plugin-call", options_.with_plugin_max, 4 * options_.with_plugin_max) {}

    Executor& callers() { return callers_; }

    // Waits for a place with the plugin, calls it, waits for the answer.
    Result<Reply> call(std::shared_ptr<Request> request, std::function<void(meshfs_request*)> function) {
        int64_t deadline_ns = Clock::system().boot_ns() + options_.answer_seconds * kNsPerSecond;
        TRY(enter(deadline_ns));
        request->answered = [self = weak_from_this()] {
            if (auto calls = self.lock()) calls->leave();
        };
        meshfs_request* handle = Unanswered::all().add(request);
        run([function = std::move(function), handle] { function(handle); });
        MutexLock lock(request->mutex);
        while (!request->is_told) {
            if (request->told.wait_until(request->mutex, deadline_ns) || request->is_told) continue;
            log_error("plugin does not answer", {{"plugin", options_.name}, {"seconds", options_.answer_seconds}});
            return fail(EIO, "plugin " + options_.name + " does not answer");
        }
        if (request->reply.code != 0) return fail(request->reply.code);
        return std::move(request->reply);
    }

    // Runs what has no answer.
    void run(std::function<void()> task) {
        MutexLock lock(mutex_);
        if (stopped_) return;
        tasks_.push_back(std::move(task));
        if (tasks_.size() > idle_ && threads_ < options_.with_plugin_max) {  // who is idle may have been woken already
            ++threads_;
            std::thread([self = shared_from_this()] { self->serve_tasks(); }).detach();
        }
        wake_.notify_one();
    }

    bool stop() {
        callers_.stop();
        MutexLock lock(mutex_);
        if (stopped_) return threads_ == 0;  // those who hang have been waited for
        stopped_ = true;
        tasks_.clear();
        wake_.notify_all();
        room_.notify_all();
        int64_t deadline_ns = Clock::system().boot_ns() + kStopSeconds * kNsPerSecond;
        while (threads_ > 0 && ended_.wait_until(mutex_, deadline_ns)) {
        }
        if (threads_ > 0)
            log_error("threads hang in a plugin and are left behind",
                      {{"plugin", options_.name}, {"threads", threads_}});
        return threads_ == 0;
    }

private:
    static constexpr int kStopSeconds = 5;

    Status enter(int64_t deadline_ns) {
        MutexLock lock(mutex_);
        while (with_plugin_ >= options_.with_plugin_max && !stopped_)
            if (!room_.wait_until(mutex_, deadline_ns) && with_plugin_ >= options_.with_plugin_max)
                return fail(EIO, "plugin " + options_.name + " has too many unanswered requests");
        if (stopped_) return fail(EIO, "plugin " + options_.name + " has stopped");
        ++with_plugin_;
        return {};
    }
    void leave() {
        MutexLock lock(mutex_);
        --with_plugin_;
        room_.notify_one();
    }
    void serve_tasks() {
        name_this_thread("plugin");
        while (true) {
            std::function<void()> task;
            {
                MutexLock lock(mutex_);
                ++idle_;
                while (tasks_.empty() && !stopped_) wake_.wait(mutex_);
                --idle_;
                if (stopped_) break;
                task = std::move(tasks_.front());
                tasks_.pop_front();
            }
            task();
        }
        MutexLock lock(mutex_);
        --threads_;
        ended_.notify_all();
    }

    const ServedOptions options_;
    Executor callers_;
    Mutex mutex_;
    CondVar wake_, room_, ended_;
    std::deque<std::function<void()>> tasks_ GUARDED_BY(mutex_);  // at most those with the plugin, and forgets
    size_t with_plugin_ GUARDED_BY(mutex_) = 0;
    size_t threads_ GUARDED_BY(mutex_) = 0, idle_ GUARDED_BY(mutex_) = 0;
    bool stopped_ GUARDED_BY(mutex_) = false;
};

ServedPlugin::ServedPlugin(const meshfs_serve& serve, void* plugin, ServedOptions options)
    : serve_(serve), plugin_(plugin), calls_(std::make_shared<Calls>(std::move(options))) {}
ServedPlugin::~ServedPlugin() { stop(); }
bool ServedPlugin::stop() { return calls_->stop(); }
Executor& ServedPlugin::executor() { return calls_->callers(); }

namespace {

std::shared_ptr<Request> request_for(std::string_view name = {}) {
    auto request = std::make_shared<Request>();
    request->name = name;
    return request;
}
std::shared_ptr<Request> request_for(const Caller& caller, std::string_view name = {}) {
    auto request = request_for(name);
    request->caller = {caller.uid, caller.gid, caller.pid, caller.umask};
    return request;
}
ServedPrefix::Found found(const Reply& reply) {
    return {inode_of(reply.attr), static_cast<int64_t>(reply.attr.valid_ns), reply.handle};
}
Status done(const Result<Reply>& reply) {
    if (!reply) return reply.error();
    return {};
}

}  // namespace

Result<ServedPrefix::Found> ServedPlugin::lookup(const Caller& caller, uint64_t dir, std::string_view name) {
    auto r = request_for(caller, name);
    return found(TRY(calls_->call(r, [=, this](meshfs_request* h) {
        serve_.lookup(plugin_, h, &r->caller, dir, r->name.c_str());
    })));
}

Result<ServedPrefix::Found> ServedPlugin::getattr(uint64_t ino) {
    auto r = request_for();
    return found(TRY(calls_->call(r, [=, this](meshfs_request* h) { serve_.getattr(plugin_, h, ino); })));
}

Result<ServedPrefix::Found> ServedPlugin::setattr(const Caller& caller, uint64_t ino, const SetAttributes& set) {
    if (serve_.setattr == nullptr) return fail(ENOSYS);
    auto r = request_for(caller);
    uint32_t which = 0;
    Time now = Clock::system().now();
    if (set.mode) r->attr.mode = *set.mode, which |= MESHFS_SET_MODE;
    if (set.uid) r->attr.uid = *set.uid, which |= MESHFS_SET_UID;
    if (set.gid) r->attr.gid = *set.gid, which |= MESHFS_SET_GID;
    if (set.size) r->attr.bytes = *set.size, which |= MESHFS_SET_SIZE;
    if (set.atime || set.atime_now) r->attr.atime_ns = ns_of(set.atime.value_or(now)), which |= MESHFS_SET_ATIME;
    if (set.mtime || set.mtime_now) r->attr.mtime_ns = ns_of(set.mtime.value_or(now)), which |= MESHFS_SET_MTIME;
    return found(TRY(calls_->call(r, [=, this](meshfs_request* h) {
        serve_.setattr(plugin_, h, &r->caller, ino, &r->attr, which);
    })));
}

Result<std::vector<ServedPrefix::Entry>> ServedPlugin::readdir(uint64_t dir, uint64_t cookie, size_t entries_max) {
    auto r = request_for();
    r->entries_max = entries_max;
    return TRY(calls_->call(r, [=, this](meshfs_request* h) { serve_.readdir(plugin_, h, dir, cookie); })).entries;
}

Result<ServedPrefix::Found> ServedPlugin::create(const Caller& caller, uint64_t dir, std::string_view name,
                                                 uint32_t mode, int flags) {
    if (serve_.create == nullptr) return fail(ENOSYS);
    auto r = request_for(caller, name);
    return found(TRY(calls_->call(r, [=, this](meshfs_request* h) {
        serve_.create(plugin_, h, &r->caller, dir, r->name.c_str(), mode, flags);
    })));
}

Result<ServedPrefix::Found> ServedPlugin::open(const Caller& caller, uint64_t ino, int flags) {
    if (serve_.open == nullptr) return fail(ENOSYS);
    auto r = request_for(caller);
    return found(TRY(calls_->call(
        r, [=, this](meshfs_request* h) { serve_.open(plugin_, h, &r->caller, ino, flags); })));
}

Result<Buffers> ServedPlugin::read(uint64_t ino, uint64_t handle, ByteRange range) {
    if (serve_.read == nullptr) return fail(ENOSYS);
    auto r = request_for();
    r->data_max = range.length;
    Reply reply = TRY(calls_->call(r, [=, this](meshfs_request* h) {
        serve_.read(plugin_, h, ino, handle, range.offset, range.length);
    }));
    Buffers pieces;
    if (!reply.data.empty()) pieces.push_back(Buffer::copy_of(reply.data));
    return pieces;
}

Result<size_t> ServedPlugin::write(uint64_t ino, uint64_t handle, uint64_t offset, const Buffer& bytes) {
    if (serve_.write == nullptr) return fail(ENOSYS);
    auto r = request_for();
    r->bytes = bytes;
    size_t count = TRY(calls_->call(r, [=, this](meshfs_request* h) {
        serve_.write(plugin_, h, ino, handle, offset, r->bytes.data(), r->bytes.size());
    })).count;
    return std::min(count, bytes.size());
}

Status ServedPlugin::fsync(uint64_t ino, uint64_t handle, bool data_only) {
    if (serve_.fsync == nullptr) return fail(ENOSYS);
    auto r = request_for();
    return done(calls_->call(
        r, [=, this](meshfs_request* h) { serve_.fsync(plugin_, h, ino, handle, data_only ? 1 : 0); }));
}

void ServedPlugin::release(uint64_t ino, uint64_t handle) {
    if (serve_.release != nullptr) calls_->run([=, this] { serve_.release(plugin_, ino, handle); });
}

Result<ServedPrefix::Found> ServedPlugin::mkdir(const Caller& caller, uint64_t dir, std::string_view name,
                                                uint32_t mode) {
    if (serve_.mkdir == nullptr) return fail(ENOSYS);
    auto r = request_for(caller, name);
    return found(TRY(calls_->call(r, [=, this](meshfs_request* h) {
        serve_.mkdir(plugin_, h, &r->caller, dir, r->name.c_str(), mode);
    })));
}

Status ServedPlugin::unlink(uint64_t dir, std::string_view name) {
    if (serve_.unlink == nullptr) return fail(ENOSYS);
    auto r = request_for(name);
    return done(calls_->call(r, [=, this](meshfs_request* h) { serve_.unlink(plugin_, h, dir, r->name.c_str()); }));
}

Status ServedPlugin::rmdir(uint64_t dir, std::string_view name) {
    if (serve_.rmdir == nullptr) return fail(ENOSYS);
    auto r = request_for(name);
    return done(calls_->call(r, [=, this](meshfs_request* h) { serve_.rmdir(plugin_, h, dir, r->name.c_str()); }));
}

Status ServedPlugin::rename(uint64_t dir, std::string_view name, uint64_t to_dir, std::string_view to_name,
                            uint32_t flags) {
    if (serve_.rename == nullptr) return fail(ENOSYS);
    auto r = request_for(name);
    r->to_name = to_name;
    return done(calls_->call(r, [=, this](meshfs_request* h) {
        serve_.rename(plugin_, h, dir, r->name.c_str(), to_dir, r->to_name.c_str(), flags);
    }));
}

Result<std::string> ServedPlugin::getxattr(uint64_t ino, std::string_view name) {
    if (serve_.getxattr == nullptr) return fail(ENODATA);
    auto r = request_for(name);
    r->data_max = kXattrsBytesMax;
    return TRY(calls_->call(r, [=, this](meshfs_request* h) {
        serve_.getxattr(plugin_, h, ino, r->name.c_str());
    })).data;
}

Result<std::vector<std::string>> ServedPlugin::listxattr(uint64_t ino) {
    std::vector<std::string> names;
    if (serve_.listxattr == nullptr) return names;
    auto r = request_for();
    r->data_max = kXattrsBytesMax;
    std::string data =
        TRY(calls_->call(r, [=, this](meshfs_request* h) { serve_.listxattr(plugin_, h, ino); })).data;
    for (size_t at = 0; at < data.size();) {
        size_t end = std::min(data.find('\0', at), data.size());
        if (end > at) names.push_back(data.substr(at, end - at));
        at = end + 1;
    }
    return names;
}

Status ServedPlugin::setxattr(uint64_t ino, std::string_view name, std::string_view value, int flags) {
    if (serve_.setxattr == nullptr) return fail(ENOTSUP);
    auto r = request_for(name);
    r->value = value;
    return done(calls_->call(r, [=, this](meshfs_request* h) {
        serve_.setxattr(plugin_, h, ino, r->name.c_str(), r->value.data(), r->value.size(), flags);
    }));
}

Status ServedPlugin::removexattr(uint64_t ino, std::string_view name) {
    if (serve_.removexattr == nullptr) return fail(ENOTSUP);
    auto r = request_for(name);
    return done(
        calls_->call(r, [=, this](meshfs_request* h) { serve_.removexattr(plugin_, h, ino, r->name.c_str()); }));
}

Result<struct statvfs> ServedPlugin::statfs() {
    if (serve_.statfs == nullptr) return fail(ENOSYS);
    auto r = request_for();
    Reply reply = TRY(calls_->call(r, [=, this](meshfs_request* h) { serve_.statfs(plugin_, h); }));
    struct statvfs s {};
    s.f_bsize = s.f_frsize = 4096;
    s.f_namemax = kNameMax;
    s.f_blocks = reply.statfs[0] / 4096;
    s.f_bfree = s.f_bavail = reply.statfs[1] / 4096;
    s.f_files = reply.statfs[2];
    return s;
}

void ServedPlugin::forget(uint64_t ino) {
    if (serve_.forget != nullptr) calls_->run([=, this] { serve_.forget(plugin_, ino); });
}

}  // namespace meshfs
