#include "plugins/instance.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <thread>

#include "fs/base/log.h"
#include "fs/base/wire.h"
#include "fs/vfs/prefix.h"

namespace meshfs {
namespace {

constexpr size_t kTaskThreads = 4;
constexpr size_t kTasksMax = 8192;
constexpr size_t kNewsMax = 1024;
constexpr int64_t kStopNs = 10 * kNsPerSecond;  // for a plugin's stop
constexpr char kMailOf = 'm', kEventOf = 'e';  // first byte of a message between hosts

void host_log(const meshfs_host* host, int level, const char* message) noexcept {
    auto& instance = PluginInstance::of(host);
    LogLevel to = level <= MESHFS_DEBUG     ? LogLevel::debug
                  : level == MESHFS_INFO    ? LogLevel::info
                  : level == MESHFS_WARNING ? LogLevel::warning
                                            : LogLevel::error;
    log(to, message != nullptr ? message : "", {{"plugin", instance.name()}, {"prefix", instance.prefix()}});
}

template <PluginMetric kKind>
void host_metric(const meshfs_host* host, const char* name, double value) noexcept {
    auto& instance = PluginInstance::of(host);
    if (instance.metrics() && name != nullptr) instance.metrics()(kKind, instance.name(), name, value);
}

int64_t host_now_ns(const meshfs_host*) noexcept {
    Time now = Clock::system().now();
    return now.seconds * kNsPerSecond + now.ns;
}
int64_t host_boot_ns(const meshfs_host*) noexcept { return Clock::system().boot_ns(); }

thread_local const void* t_told = nullptr;  // the watch that this thread tells

Status refused(const std::string& what, int code, const char* why) {
    return fail(code > 0 && code < 4096 ? code : EIO,
                what + (why != nullptr && *why != 0 ? std::string(": ") + why : std::string()));
}

}  // namespace

int answer_of(PluginInstance& instance, const Error& error) {
    if (!error.detail().empty()) log_warning(error.detail(), {{"plugin", instance.name()}});
    return -error.code();
}

Caller plugin_caller() { return {.is_plugin = true}; }

PluginInstance::PluginInstance(Vfs& vfs, Store& store, const PluginMetrics& metrics, LoadedPlugin loaded,
                               std::string prefix)
    : vfs_(vfs),
      metrics_(metrics),
      loaded_(std::move(loaded)),
      name_(loaded_.plugin.name),
      prefix_(std::move(prefix)),
      records_(store, name_),
      tasks_("plugin-" + name_, kTaskThreads, kTasksMax),
      news_("plugin-news", 1, kNewsMax) {
    table_.size = sizeof table_;
    table_.abi = MESHFS_PLUGIN_ABI;
    table_.context = this;
    table_.log = host_log;
    table_.counter = host_metric<PluginMetric::counter>;
    table_.gauge = host_metric<PluginMetric::gauge>;
    table_.histogram = host_metric<PluginMetric::histogram>;
    table_.now_ns = host_now_ns;
    table_.boot_ns = host_boot_ns;
    set_reply_calls(table_);
    set_namespace_calls(table_);
    set_bytes_calls(table_);
    set_records_calls(table_);
}

PluginInstance::~PluginInstance() { stop(); }

Status PluginInstance::prepare(const std::map<std::string, std::string>& settings) {
    std::string me = "plugin \"" + name_ + "\" at " + prefix_;
    plugin_ = loaded_.plugin.create();
    if (plugin_ == nullptr) return fail(ENOMEM, me + " cannot be created");
    is_made_ = true;  // stop() follows whatever happens from here on
    for (const auto& [name, value] : settings) {
        const char* why = nullptr;
        int code = loaded_.plugin.config(plugin_, name.c_str(), value.c_str(), &why);
        if (code != 0) return refused(me + " refuses its setting " + name, -code, why);  // the value may be a secret
    }
    if (loaded_.serves) {
        ServedOptions options;
        options.name = name_;
        served_ = std::make_shared<ServedPlugin>(loaded_.serve, plugin_, options);
        TRY(vfs_.serve(prefix_, served_));
    } else if (auto there = prefix_ino(); !there) {
        return fail(there.code(), me + ": there is no directory " + prefix_ + "; make it, or set prefix = \"/...\"");
    }
    return {};
}

Status PluginInstance::start() {
    const char* why = nullptr;
    int code = loaded_.plugin.start(plugin_, &table_, &why);
    if (code != 0) return refused("plugin \"" + name_ + "\" at " + prefix_ + " cannot start", -code, why);
    log_info("plugin started", {{"plugin", name_}, {"prefix", prefix_}, {"serves", loaded_.serves ? "yes" : "no"}});
    return {};
}

// Watchers and mail are told of nothing from here on, and none is under way.
void PluginInstance::end_news() {
    MutexLock lock(mutex_);
    is_stopping_ = true;
    auto watches = std::exchange(watches_, {});
    mail_ = nullptr;
    auto are_told = [&] {
        if (mail_calls_ > 0) return true;
        for (auto& [number, watch] : watches)
            if (watch->calls > 0) return true;
        return false;
    };
    const int64_t deadline_ns = Clock::system().boot_ns() + kStopNs;
    while (are_told() && call_ended_.wait_until(mutex_, deadline_ns)) {
    }
}

// On a thread of its own, which may hang.
bool PluginInstance::end_plugin() {
    struct Ended {
        Mutex mutex;
        CondVar changed;
        bool is_true = false;
    };
    auto ended = std::make_shared<Ended>();
    std::thread([stop = loaded_.plugin.stop, plugin = plugin_, ended] {
        name_this_thread("plugin-stop");
        stop(plugin);
        MutexLock lock(ended->mutex);
        ended->is_true = true;
        ended->changed.notify_all();
    }).detach();
    const int64_t deadline_ns = Clock::system().boot_ns() + kStopNs;
    MutexLock lock(ended->mutex);
    while (!ended->is_true && ended->changed.wait_until(ended->mutex, deadline_ns)) {
    }
    if (!ended->is_true)
        log_error("plugin does not stop and is left behind", {{"plugin", name_}, {"prefix", prefix_}});
    return ended->is_true;
}

bool PluginInstance::stop() {
    if (!std::exchange(is_made_, false)) return true;
    end_news();
    bool has_ended = !served_ || served_->stop();
    if (has_ended) has_ended = end_plugin();
    has_ended_ = true;
    records_.close_mail();
    news_.stop();
    tasks_.stop();
    std::map<uint64_t, File> files;
    {
        MutexLock lock(mutex_);
        files.swap(files_);
        listings_.clear();
    }
    for (auto& [number, file] : files) vfs_.release(file.handle, false);
    return has_ended;
}

Result<Ino> PluginInstance::prefix_ino() {
    // Below the plugin that serves: its own calls mean the volume's files, so names are looked up in meta.  What it keeps
    // there needs a directory, which nobody else can make.
    Ino at = vfs_.root();
    for (size_t i = 1; i < prefix_.size();) {
        size_t end = std::min(prefix_.find('/', i), prefix_.size());
        const std::string name = prefix_.substr(i, end - i);
        if (loaded_.serves) at = TRY(vfs_.found_or_made(at, name));
        else at = TRY(vfs_.meta().lookup(at, name)).ino;
        i = end + 1;
    }
    return at;
}

Result<PluginInstance::Spot> PluginInstance::spot_of(const char* path) {
    if (path == nullptr || path[0] != '/') return fail(EINVAL);
    Spot spot{TRY(prefix_ino()), {}};
    std::string_view left(path);
    while (!left.empty()) {
        size_t end = std::min(left.find('/'), left.size());
        std::string_view part = left.substr(0, end);
        left.remove_prefix(std::min(end + 1, left.size()));
        if (part.empty()) continue;
        if (part == "." || part == "..") return fail(EINVAL);
        if (part.size() > kNameMax) return fail(ENAMETOOLONG);
        if (!spot.name.empty()) {
            Inode inode = TRY(vfs_.meta().lookup(spot.directory, spot.name));
            if (inode.is_symlink()) return fail(ELOOP);
            if (!inode.is_directory()) return fail(ENOTDIR);
            spot.directory = inode.ino;
        }
        spot.name = part;
    }
    return spot;
}

Result<Ino> PluginInstance::ino_of(const char* path) {
    Spot spot = TRY(spot_of(path));
    if (spot.name.empty()) return spot.directory;
    return TRY(vfs_.meta().lookup(spot.directory, spot.name)).ino;
}

std::string PluginInstance::path_below(const std::string& path) const {
    if (prefix_ == "/") return path;
    if (path == prefix_) return "/";
    if (path.size() > prefix_.size() && path.starts_with(prefix_) && path[prefix_.size()] == '/')
        return path.substr(prefix_.size());
    return {};
}

Result<uint64_t> PluginInstance::add_file(File file) {
    MutexLock lock(mutex_);
    if (files_.size() >= kOpenFilesMax) return fail(EMFILE);
    uint64_t number = next_number_++;
    files_.emplace(number, file);
    return number;
}

Result<PluginInstance::File> PluginInstance::file(uint64_t number) {
    MutexLock lock(mutex_);
    auto it = files_.find(number);
    if (it == files_.end()) return fail(EBADF);
    return it->second;
}

Result<PluginInstance::File> PluginInstance::take_file(uint64_t number) {
    MutexLock lock(mutex_);
    auto it = files_.find(number);
    if (it == files_.end()) return fail(EBADF);
    File file = it->second;
    files_.erase(it);
    return file;
}

Result<uint64_t> PluginInstance::add_listing(Listing listing) {
    MutexLock lock(mutex_);
    if (listings_.size() >= kOpenFilesMax) return fail(EMFILE);
    uint64_t number = next_number_++;
    listings_.emplace(number, std::make_shared<Listing>(std::move(listing)));
    return number;
}

std::shared_ptr<PluginInstance::Listing> PluginInstance::listing(uint64_t number) {
    MutexLock lock(mutex_);
    auto it = listings_.find(number);
    return it == listings_.end() ? nullptr : it->second;
}

void PluginInstance::drop_listing(uint64_t number) {
    MutexLock lock(mutex_);
    listings_.erase(number);
}

uint64_t PluginInstance::add_watch(std::string path, meshfs_watcher watcher, void* argument) {
    if (Status opened = open_mail(); !opened)  // without it only changes of this host are seen
        log_warning("plugin hears no changes of other hosts",
                    {{"plugin", name_}, {"why", opened.error().text()}});
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    MutexLock lock(mutex_);
    uint64_t number = next_number_++;
    watches_.emplace(number, std::make_shared<Watch>(Watch{std::move(path), watcher, argument}));
    return number;
}

void PluginInstance::drop_watch(uint64_t number) {
    MutexLock lock(mutex_);
    auto it = watches_.find(number);
    if (it == watches_.end()) return;
    auto watch = it->second;
    watches_.erase(it);
    const size_t own = t_told == watch.get() ? 1 : 0;
    while (watch->calls > own) call_ended_.wait(mutex_);
}

void PluginInstance::on_change(const Change& change) {
    {
        MutexLock lock(mutex_);
        if (watches_.empty() || is_stopping_) return;
    }
    // A full queue drops the event: watching is best effort, and the changer must not wait.
    news_.try_post([this, change] {
        {
            MutexLock lock(mutex_);
            if (is_stopping_) return;
        }
        std::string path = raw(change.directory) != 0 ? vfs_.path_of(change.directory) : vfs_.path_of(change.ino);
        if (raw(change.directory) != 0) path += (path == "/" ? "" : "/") + change.name;
        std::string below = path_below(path);
        if (below.empty()) return;
        int event = static_cast<int>(change.kind);
        tell_watchers(event, below);
        (void)records_.send(Encoder().u8(kEventOf).u8(static_cast<uint8_t>(event)).bytes(below).take());
    });
}

void PluginInstance::on_message(const std::string& message) {
    news_.try_post([this, message] {
        Decoder d(message);
        uint8_t kind = d.u8();
        if (kind == kMailOf) {
            tell_mail(d.rest());
        } else if (kind == kEventOf) {
            int event = d.u8();
            std::string path(d.rest());
            bool is_event = event >= MESHFS_CREATED && event <= MESHFS_RENAMED;
            if (is_event && !path.empty() && path[0] == '/' && path.find('\0') == path.npos)
                tell_watchers(event, path);
        }
    });
}

void PluginInstance::tell_mail(std::string_view text) {
    meshfs_mail mail = nullptr;
    void* argument = nullptr;
    {
        MutexLock lock(mutex_);
        mail = mail_, argument = mail_argument_;
        if (mail == nullptr) return;
        ++mail_calls_;
    }
    mail(argument, text.data(), text.size());
    MutexLock lock(mutex_);
    --mail_calls_;
    call_ended_.notify_all();
}

void PluginInstance::tell_watchers(int event, const std::string& path) {
    std::vector<std::shared_ptr<Watch>> told;
    {
        MutexLock lock(mutex_);
        for (auto& [number, watch] : watches_) {
            bool is_below = watch->path == "/" || path == watch->path ||
                            (path.starts_with(watch->path) && path[watch->path.size()] == '/');
            if (is_below) ++watch->calls, told.push_back(watch);
        }
    }
    for (auto& watch : told) {
        t_told = watch.get();
        watch->watcher(watch->argument, event, path.c_str());
        t_told = nullptr;
        MutexLock lock(mutex_);
        --watch->calls;
        call_ended_.notify_all();
    }
}

Status PluginInstance::open_mail() {
    {
        MutexLock lock(mutex_);
        if (mail_is_open_) return {};
        mail_is_open_ = true;
    }
    Status opened = records_.open_mail([this](std::string message) { on_message(message); });
    if (opened) return {};
    MutexLock lock(mutex_);
    mail_is_open_ = false;
    return opened;
}

int PluginInstance::set_mail(meshfs_mail mail, void* argument) {
    {
        MutexLock lock(mutex_);
        mail_ = mail, mail_argument_ = argument;
    }
    if (mail == nullptr) return 0;
    Status opened = open_mail();
    return opened ? 0 : answer_of(*this, opened.error());
}

}  // namespace meshfs
