#include "plugins/instance.h"

#include <fcntl.h>

#include "fs/base/log.h"
#include "fs/base/wire.h"
#include "fs/vfs/prefix.h"

namespace meshfs {
namespace {

constexpr size_t kTaskThreads = 4;
constexpr size_t kTasksMax = 8192;
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

Status refused(const std::string& what, int code, const char* why) {
    return fail(code > 0 && code < 4096 ? code : EIO,
                what + (why != nullptr && *why != 0 ? std::string(": ") + why : std::string()));
}

}  // namespace

int answer_of(PluginInstance& instance, const Error& error) {
    if (!error.detail().empty()) log_warning(error.detail(), {{"plugin", instance.name()}});
    return -error.code();
}

Caller plugin_caller() { return {}; }

PluginInstance::PluginInstance(Vfs& vfs, Store& store, const PluginMetrics& metrics, LoadedPlugin loaded,
                               std::string prefix)
    : vfs_(vfs),
      metrics_(metrics),
      loaded_(std::move(loaded)),
      name_(loaded_.plugin.name),
      prefix_(std::move(prefix)),
      records_(store, name_),
      tasks_("plugin-" + name_, kTaskThreads, kTasksMax) {
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

Status PluginInstance::start(const std::map<std::string, std::string>& settings) {
    std::string me = "plugin \"" + name_ + "\" at " + prefix_;
    plugin_ = loaded_.plugin.create();
    if (plugin_ == nullptr) return fail(ENOMEM, me + " cannot be created");
    is_started_ = true;  // stop() follows whatever happens from here on
    for (const auto& [name, value] : settings) {
        const char* why = nullptr;
        int code = loaded_.plugin.config(plugin_, name.c_str(), value.c_str(), &why);
        if (code != 0) return refused(me + " refuses " + name + " = \"" + value + "\"", -code, why);
    }
    const char* why = nullptr;
    int code = loaded_.plugin.start(plugin_, &table_, &why);
    if (code != 0) return refused(me + " cannot start", -code, why);
    if (loaded_.serves) {
        ServedOptions options;
        options.name = name_;
        served_ = std::make_shared<ServedPlugin>(loaded_.serve, plugin_, options);
        TRY(vfs_.serve(prefix_, served_));
    }
    log_info("plugin started", {{"plugin", name_}, {"prefix", prefix_}, {"serves", loaded_.serves ? "yes" : "no"}});
    return {};
}

void PluginInstance::stop() {
    if (!is_started_) return;
    is_started_ = false;
    if (served_) served_->stop();
    loaded_.plugin.stop(plugin_);
    {
        MutexLock lock(mutex_);
        is_stopping_ = true;
        for (auto& [number, watch] : watches_) watch->gone = true;
        watches_.clear();
        mail_ = nullptr;
    }
    records_.close_mail();
    tasks_.stop();
    std::map<uint64_t, File> files;
    {
        MutexLock lock(mutex_);
        files.swap(files_);
        listings_.clear();
    }
    for (auto& [number, file] : files) vfs_.release(file.handle, false);
}

Result<Ino> PluginInstance::prefix_ino() {
    // Below the plugin that serves: its own calls mean the volume's files, so names are looked up in meta.
    Ino at = kRootIno;
    for (size_t i = 1; i < prefix_.size();) {
        size_t end = std::min(prefix_.find('/', i), prefix_.size());
        at = TRY(vfs_.meta().lookup(at, std::string_view(prefix_).substr(i, end - i))).ino;
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
    watch->gone = true;
    while (watch->calls > 0) call_ended_.wait(mutex_);
}

void PluginInstance::on_change(const Change& change) {
    {
        MutexLock lock(mutex_);
        if (watches_.empty() || is_stopping_) return;
    }
    // A full queue drops the event: watching is best effort, and the changer must not wait.
    tasks_.try_post([this, change] {
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
    tasks_.try_post([this, message] {
        Decoder d(message);
        uint8_t kind = d.u8();
        if (kind == kMailOf) {
            meshfs_mail mail = nullptr;
            void* argument = nullptr;
            {
                MutexLock lock(mutex_);
                mail = mail_, argument = mail_argument_;
            }
            std::string_view text = d.rest();
            if (mail != nullptr) mail(argument, text.data(), text.size());
        } else if (kind == kEventOf) {
            int event = d.u8();
            std::string path(d.rest());
            bool is_event = event >= MESHFS_CREATED && event <= MESHFS_RENAMED;
            if (is_event && !path.empty() && path[0] == '/' && path.find('\0') == path.npos)
                tell_watchers(event, path);
        }
    });
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
        watch->watcher(watch->argument, event, path.c_str());
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
