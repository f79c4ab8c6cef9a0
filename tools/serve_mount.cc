// One mount's life: a volume, the kernel, the control socket; and the way back in the opposite order.
#include <optional>

#include "fs/base/log.h"
#include "fs/fuse/mount_point.h"
#include "tools/daemon.h"
#include "tools/metrics.h"
#include "tools/mount.h"
#include "tools/mounted_volume.h"
#include "tools/silence.h"

namespace meshfs {
namespace {

// What `umount -f` starts, and what ends the process then, wherever it is: a full store is asked again for minutes.
class GivingUp {
public:
    explicit GivingUp(std::string what) : what_(std::move(what)) {}
    void begin() {
        constexpr int64_t kStillNs = 2 * kNsPerSecond;  // for what can be stored
        MutexLock lock(mutex_);
        if (!deadline_) deadline_.emplace(kStillNs, what_, "umount -f: not everything could be stored at once; the rest is lost");
    }

private:
    const std::string what_;
    Mutex mutex_;
    std::optional<Deadline> deadline_ GUARDED_BY(mutex_);
};

// By whatever path it is seen (a bind mount has another one), as long as it is there.
bool is_served(const FuseSession& session, const std::string& own, const std::string& directory) {
    if (directory == own) return true;
    for (const MountPoint& point : mount_points())
        if (point.directory == own && point.device == session.device()) return true;
    return false;
}

// The volume is open: the kernel, until the end.
Status serve(const MountRequest& request, OpenVolume& volume, GivingUp& giving_up, const std::function<void()>& ready) {
    FuseSettings settings = volume.options.fuse;
    settings.source = request.source.kind == Source::Kind::local ? normal_source(request.source) : request.source.text;
    settings.directory = request.directory;
    auto mounted = FuseSession::mount(volume.vfs, settings);
    if (!mounted.ok()) return mounted.error().in("cannot mount at " + request.directory);
    FuseSession& session = **mounted;
    std::optional<Deadline> deadline;
    Ending ending([&] {
        if (deadline) return;
        deadline.emplace(volume.options.umount_timeout_ns, request.directory);
        Status flushed = volume.vfs.syncfs();
        if (!flushed.ok()) log_error("not everything could be stored", {{"why", flushed.error().text()}});
        if (session.unmount(false)) return;
        log_warning("the mount is busy: detached, its open files end", {{"directory", request.directory}});
        session.unmount(true);
        session.stop();
    });
    MountedVolume parts{.store = volume.store, .meta = volume.meta, .vfs = volume.vfs, .plugins = volume.plugins,
                        .meters = volume.meters,
                        .source = request.source, .directory = request.directory, .session = &session,
                        .options = volume.options, .give_up = [&giving_up] { giving_up.begin(); }};
    SilenceWatch silence(volume.store);
    auto metrics = TRY(serve_metrics(volume.options.metrics, parts));
    ControlServer control;
    add_mount_commands(control, parts);
    control.serve_only(settings.source, [&](const std::string& directory) {
        return is_served(session, request.directory, directory);
    });
    session.run([&] {
        Status listening = control.listen(control_path(session.device(), geteuid()));
        if (!listening.ok())
            log_warning("no control socket: `meshfs status` cannot ask this mount, and umount cannot wait for it",
                        {{"why", listening.error().text()}});
        log_info("mounted", {{"source", settings.source}, {"directory", request.directory}});
        ready();
        notify_systemd("READY=1");
    });
    control.stop();
    return {};
}

}  // namespace

Status serve_mount(const MountRequest& request, const std::function<void()>& ready) {
    hold_signals();
    GivingUp giving_up(request.directory);
    Status done = with_volume(request.source, request.options,
                              [&](OpenVolume& volume) { return serve(request, volume, giving_up, ready); });
    log_info("unmounted", {{"directory", request.directory}});
    return done;
}

}  // namespace meshfs
