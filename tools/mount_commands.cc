// What a mount answers on its control socket: info, status, flush, remount, abort, give_up.
#include <unistd.h>

#include "fs/base/log.h"
#include "tools/describe.h"
#include "tools/mounted_volume.h"
#include "tools/silence.h"

namespace meshfs {
namespace {

using nlohmann::json;

json features_of(const FuseSession& session) {
    const Features& features = session.features();
    json lines = json::array();
    for (const auto& line : features.lines) lines.push_back({{"name", line.name}, {"on", line.on}, {"why", line.why}});
    return {{"protocol", std::to_string(features.protocol_major) + "." + std::to_string(features.protocol_minor)},
            {"max_background", features.max_background},
            {"max_write", features.max_write},
            {"features", lines}};
}

Result<json> info(MountedVolume& mounted) {
    json told = describe_volume(mounted.source, mounted.store, mounted.meta.volume(),
                                TRY(mounted.store.capacity(Pool{1})));
    told["pid"] = getpid();
    told["directory"] = mounted.directory;
    {
        MutexLock lock(mounted.mutex);
        told["subdir"] = mounted.options.subdir;
        told["options"] = mounted.options.given;
    }
    if (mounted.session != nullptr) told["kernel"] = features_of(*mounted.session);
    told["plugins"] = json::array();
    for (const PluginStatus& plugin : mounted.plugins.status())
        told["plugins"].push_back({{"name", plugin.name}, {"version", plugin.version}, {"prefix", plugin.prefix},
                                   {"module", plugin.module}, {"serves", plugin.serves}});
    return told;
}

double us_of(int64_t ns) { return static_cast<double>(ns) / 1000; }

json operations_of(const FuseSession& session) {
    json all = json::array();
    for (size_t i = 0; i < kOps; ++i) {
        auto s = session.latency(static_cast<Op>(i)).summary();
        if (s.count == 0 && s.running == 0) continue;
        all.push_back({{"name", name_of(static_cast<Op>(i))}, {"count", s.count}, {"failed", s.failed},
                       {"running", s.running}, {"p50_us", us_of(s.p50_ns)}, {"p90_us", us_of(s.p90_ns)},
                       {"p99_us", us_of(s.p99_ns)}, {"max_us", us_of(s.max_ns)}});
    }
    return all;
}

json store_of(const MeteredStore& store) {
    json calls = json::array();
    for (const StoreCount& c : store.counts().counts)
        calls.push_back({{"kind", name_of(c.kind)}, {"pool", c.pool}, {"calls", c.calls}, {"bytes", c.bytes},
                         {"refused", c.refused}, {"errors", c.errors}, {"p50_us", c.quantile_us(0.5)},
                         {"p99_us", c.quantile_us(0.99)}});
    auto waiting = store.waiting();
    json told = {{"calls", calls}, {"waiting", waiting.calls}, {"silent", false}};
    if (!waiting.longest) return told;
    int64_t ns = Clock::system().boot_ns() - waiting.longest->began_ns;
    told["silent"] = ns >= kSilentNs;
    told["waits_for"] = describe(*waiting.longest);
    told["waits_seconds"] = static_cast<double>(ns) / kNsPerSecond;
    return told;
}

json leases_of(MountedVolume& mounted, bool is_silent) {
    LeaseUsage usage = mounted.meta.lease_usage(!is_silent);
    json told = {{"held", usage.held},       {"unwritten", usage.unwritten}, {"bytes", usage.bytes},
                 {"batches", usage.batches}, {"records", usage.records},     {"recalls", usage.recalls},
                 {"recalls_a_second", usage.recalls_a_second}, {"contended", json::array()}};
    for (const auto& c : usage.contended)
        told["contended"].push_back({{"times", c.times}, {"group", c.group},
                                     {"directory", raw(c.directory) ? mounted.vfs.path_of(c.directory) : "?"}});
    return told;
}

Result<json> status(MountedVolume& mounted) {
    auto usage = mounted.vfs.usage();
    json told = {{"source", mounted.source.text},
                 {"directory", mounted.directory},
                 {"pid", getpid()},
                 {"up_seconds", (Clock::system().boot_ns() - mounted.began_ns) / kNsPerSecond},
                 {"session", raw(mounted.meta.session())},
                 {"in_window", mounted.meta.is_in_window()},
                 {"data", {{"dirty_bytes", usage.dirty_bytes}, {"dirty_bytes_max", usage.dirty_bytes_max},
                           {"open_files", usage.open_files}, {"handles", usage.handles},
                           {"purge_waiting", usage.purge_waiting}}},
                 {"store", store_of(mounted.store)}};
    // Not while it is silent: this answer must come then, too.
    const bool is_silent = told["store"]["silent"].get<bool>();
    if (!is_silent) told["sessions"] = describe_sessions(mounted.meta);
    told["leases"] = leases_of(mounted, is_silent);
    if (mounted.session != nullptr) {
        told["operations"] = operations_of(*mounted.session);
        told["queued"] = mounted.session->queued();
    }
    return told;
}

// Everything written so far is stored: what umount waits for.  Tells each second what is left, and gives up after
// umount_timeout, with the mount and all its bytes as they were.
class Flush {
public:
    explicit Flush(MountedVolume& mounted) : mounted_(mounted) {}

    Result<json> run(const TellProgress& tell) {
        struct Done {
            Mutex mutex;
            CondVar changed;
            std::optional<Status> status GUARDED_BY(mutex);
        };
        auto done = std::make_shared<Done>();  // with the flush, which may outlive this wait
        if (!flushing_.try_post([this, done] {
                Status status = mounted_.vfs.syncfs();
                MutexLock lock(done->mutex);
                done->status = std::move(status);
                done->changed.notify_all();
            }))
            return fail(EBUSY, "earlier flushes have not ended");
        int64_t until = Clock::system().boot_ns() + timeout_ns();
        while (Clock::system().boot_ns() < until) {
            {
                int64_t soon = Clock::system().boot_ns() + kNsPerSecond;
                MutexLock lock(done->mutex);
                while (!done->status && done->changed.wait_until(done->mutex, soon)) {
                }
                if (done->status && done->status->ok()) return json::object();
                if (done->status) return done->status->error();
            }
            TRY(tell({"bytes to store", mounted_.vfs.usage().dirty_bytes, 0}));
        }
        auto waiting = mounted_.store.waiting();
        return fail(ETIMEDOUT, std::to_string(mounted_.vfs.usage().dirty_bytes) + " bytes are not stored" +
                                   (waiting.longest ? "; the store owes " + describe(*waiting.longest) : ""));
    }

private:
    int64_t timeout_ns() {
        MutexLock lock(mounted_.mutex);
        return mounted_.options.umount_timeout_ns;
    }
    MountedVolume& mounted_;
    Executor flushing_{"flush", 2, 8};
};

Result<json> remount(MountedVolume& mounted, const json& arguments) {
    std::vector<std::string> wanted;
    if (!arguments.contains("options") || !arguments["options"].is_array())
        return fail(EINVAL, "remount needs \"options\": an array of texts");
    for (const auto& option : arguments["options"]) {
        if (!option.is_string()) return fail(EINVAL, "\"options\" is an array of texts");
        wanted.push_back(option.get<std::string>());
    }
    MutexLock lock(mounted.mutex);
    MountOptions now = TRY(parse_remount(mounted.options, wanted));
    LogLevel level = LogLevel::info;
    parse_log_level(now.log_level, level);
    set_log_level(level);
    mounted.store.set_soft_timeout(now.store.soft_timeout_seconds);
    mounted.vfs.set_commit(now.vfs.commit_ns);
    mounted.meta.set_synchronous(now.meta.synchronous);
    mounted.vfs.set_dirty_bytes_max(now.vfs.data.dirty_bytes_max);
    mounted.options = std::move(now);
    log_info("settings changed", {{"directory", mounted.directory}});
    return json::object();
}

}  // namespace

void add_mount_commands(ControlServer& server, MountedVolume& mounted) {
    server.add("info", [&mounted](const json&, const TellProgress&) { return info(mounted); });
    server.add("status", [&mounted](const json&, const TellProgress&) { return status(mounted); });
    server.add("remount", [&mounted](const json& arguments, const TellProgress&) { return remount(mounted, arguments); });
    add_check_command(server, mounted);
    add_gc_command(server, mounted);
    auto flush = std::make_shared<Flush>(mounted);  // with the handler, which must be copyable
    server.add("flush", [flush](const json&, const TellProgress& tell) { return flush->run(tell); });
    server.add("give_up", [&mounted](const json&, const TellProgress&) -> Result<json> {
        if (!mounted.give_up) return fail(EINVAL, "there is no mount to give up; stop the process");
        log_warning("given up: what cannot be stored at once is lost", {{"directory", mounted.directory}});
        mounted.give_up();
        return json::object();
    });
    server.add("abort", [&mounted](const json&, const TellProgress&) -> Result<json> {
        if (mounted.session == nullptr) return fail(EINVAL, "there is no mount to abort; stop the process");
        log_warning("aborted: its callers get an error", {{"directory", mounted.directory}});
        TRY(mounted.session->abort());
        return json::object();
    });
}

}  // namespace meshfs
