#include "tools/volume.h"

#include <unistd.h>

#include <optional>
#include <sstream>

#include "fs/base/log.h"
#include "tools/control_client.h"
#include "tools/daemon.h"

namespace meshfs {
namespace {

// The last mount of a directory may be storing what is left: `fusermount3 -u` does not wait for that, so we do.
Result<std::unique_ptr<Store>> open_store_when_free(const Source& source, const StoreOptions& options) {
    constexpr int64_t kPauseNs = 50 * kNsPerMs;
    int64_t until = Clock::system().boot_ns() + options.mount_timeout_seconds * kNsPerSecond;
    for (;;) {
        auto store = open_store(source, options);
        bool is_ending = store.code() == EBUSY && source.kind == Source::Kind::local && !find_daemon(source.text);
        if (!is_ending || Clock::system().boot_ns() >= until) return store;
        Clock::system().sleep_ns(kPauseNs);
    }
}

Status make_volume_if_absent(Store& store, const Source& source, bool create) {
    if (source.kind != Source::Kind::memory && !create) return {};
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
        if (!found->is_directory())
            return fail(ENOTDIR, "cannot mount subdir=" + path + ": \"" + part + "\" is no directory");
        ino = found->ino;
    }
    return ino;
}

void note(const Status& status, const char* what, Status& first) {
    if (status.ok()) return;
    log_error(what, {{"why", status.error().text()}});
    if (first.ok()) first = status.error().in(what);
}

// Until the last byte is stored; `deadline` begins with the end.
Status use_names(MeteredStore& store, Meta& meta, MountOptions& options, const std::string& name,
                 std::optional<Deadline>& deadline, const std::function<Status(OpenVolume&)>& use) {
    options.vfs.root = options.fuse.root = TRY(find_directory(meta, options.subdir));
    Vfs vfs(store, meta, Clock::system(), options.vfs);
    PluginMeters meters;
    PluginHost plugins(vfs, store, [&meters](PluginMetric kind, const std::string& plugin, const std::string& name,
                                             double value) { meters.note(kind, plugin, name, value); });
    Status first = plugins.start(options.plugins);
    if (first.ok()) {
        OpenVolume volume{store, meta, vfs, plugins, meters, options};
        first = use(volume);
    }
    deadline.emplace(options.umount_timeout_ns, name);
    note(vfs.syncfs(), "not everything could be stored", first);  // plugins may take long to stop
    plugins.stop();
    note(vfs.stop(), "not everything could be stored", first);
    return first;
}

}  // namespace

Status with_volume(const Source& source, MountOptions options, const std::function<Status(OpenVolume&)>& use) {
    // -o create: of a directory that is empty or not there, too.  A store that is only read is not made.
    options.store.make_directory = options.create && !options.store.read_only;
    MeteredStore store(TRY(open_store_when_free(source, options.store)));
    TRY(make_volume_if_absent(store, source, options.create));
    VolumeInfo volume = TRY(read_volume(store));
    if (!volume.data_pool.empty()) TRY(store.add_data_pool(Pool{1}, volume.data_pool));
    std::unique_ptr<Meta> meta = TRY(Meta::open(store, Clock::system(), options.meta));
    std::optional<Deadline> deadline;
    Status first = use_names(store, *meta, options, source.text, deadline, use);
    note(meta->close(), "cannot end the session", first);
    return first;
}

}  // namespace meshfs
