#include "tools/metrics.h"

#include "tools/commands.h"

namespace meshfs {
namespace {

double seconds_of(int64_t ns) { return static_cast<double>(ns) / kNsPerSecond; }

void write_store(const MeteredStore& store, MetricsText& out) {
    const StoreCounts all = store.counts();
    auto each = [&](const auto& write) {
        for (const StoreCount& c : all.counts) {
            std::string pool = std::to_string(c.pool);
            write(c, MetricsText::Labels{{"kind", name_of(c.kind)}, {"pool", pool}});
        }
    };
    std::vector<double> bounds;
    for (size_t i = 0; i + 1 < StoreCount{}.histogram.size(); ++i)
        bounds.push_back(static_cast<double>(uint64_t{1} << i) / 1e6);
    out.family("meshfs_store_call_seconds", "histogram", "calls of the store, by kind and pool");
    each([&](const StoreCount& c, const auto& labels) {
        out.histogram(labels, bounds, {c.histogram.begin(), c.histogram.end()}, static_cast<double>(c.total_us) / 1e6);
    });
    out.family("meshfs_store_call_bytes_total", "counter", "bytes written or read");
    each([&](const StoreCount& c, const auto& labels) { out.sample(labels, static_cast<double>(c.bytes)); });
    out.family("meshfs_store_call_refused_total", "counter",
               "calls whose guard failed: races that were lost and tried again, and names that were looked for");
    each([&](const StoreCount& c, const auto& labels) { out.sample(labels, static_cast<double>(c.refused)); });
    out.family("meshfs_store_call_errors_total", "counter", "calls that failed otherwise");
    each([&](const StoreCount& c, const auto& labels) { out.sample(labels, static_cast<double>(c.errors)); });

    auto waiting = store.waiting();
    out.family("meshfs_store_waiting_calls", "gauge", "calls without an answer");
    out.sample({}, static_cast<double>(waiting.calls));
    out.family("meshfs_store_longest_wait_seconds", "gauge", "how long the first of them has waited");
    out.sample({}, waiting.longest ? seconds_of(Clock::system().boot_ns() - waiting.longest->began_ns) : 0);
}

void write_fuse(FuseSession& session, MetricsText& out) {
    std::vector<std::pair<const char*, Latency::Summary>> all;
    for (size_t i = 0; i < kOps; ++i) {
        auto summary = session.latency(static_cast<Op>(i)).summary();
        if (summary.count > 0 || summary.running > 0) all.emplace_back(name_of(static_cast<Op>(i)), summary);
    }
    out.family("meshfs_fuse_operation_seconds", "summary", "requests of the kernel, since it is mounted");
    for (const auto& [name, s] : all) {
        out.sample({{"operation", name}, {"quantile", "0.5"}}, seconds_of(s.p50_ns));
        out.sample({{"operation", name}, {"quantile", "0.9"}}, seconds_of(s.p90_ns));
        out.sample({{"operation", name}, {"quantile", "0.99"}}, seconds_of(s.p99_ns));
        out.sample({{"operation", name}}, seconds_of(s.total_ns), "_sum");
        out.sample({{"operation", name}}, static_cast<double>(s.count), "_count");
    }
    out.family("meshfs_fuse_operation_errors_total", "counter", "those answered with an error, ENOENT included");
    for (const auto& [name, s] : all) out.sample({{"operation", name}}, static_cast<double>(s.failed));
    out.family("meshfs_fuse_running_requests", "gauge", "not yet answered");
    for (const auto& [name, s] : all) out.sample({{"operation", name}}, static_cast<double>(s.running));
    out.family("meshfs_fuse_queued_requests", "gauge", "waiting for a thread");
    out.sample({}, static_cast<double>(session.queued()));
}

void write_leases(Meta& meta, MetricsText& out) {
    LeaseUsage usage = meta.lease_usage(false);
    auto add = [&](const char* name, const char* type, const char* help, uint64_t value) {
        out.family(name, type, help);
        out.sample({}, static_cast<double>(value));
    };
    add("meshfs_meta_held_groups", "gauge", "ranges of directories that this mount has for itself", usage.held);
    add("meshfs_meta_unwritten_groups", "gauge", "of these, with changes not yet stored", usage.unwritten);
    add("meshfs_meta_held_bytes", "gauge", "of their copies in memory", usage.bytes);
    add("meshfs_meta_batches_total", "counter", "writes of what had changed in a group", usage.batches);
    add("meshfs_meta_batch_records_total", "counter", "records in them", usage.records);
    add("meshfs_meta_recalls_total", "counter", "groups that other mounts asked for", usage.recalls);
}

void write_vfs(Vfs& vfs, MetricsText& out) {
    auto usage = vfs.usage();
    auto gauge = [&](const char* name, const char* help, uint64_t value) {
        out.family(name, "gauge", help);
        out.sample({}, static_cast<double>(value));
    };
    gauge("meshfs_data_dirty_bytes", "written and not yet stored", usage.dirty_bytes);
    gauge("meshfs_data_dirty_max_bytes", "how many there may be (dirty=)", usage.dirty_bytes_max);
    gauge("meshfs_data_cached_bytes", "of files, in this process' memory", usage.cached_bytes);
    gauge("meshfs_vfs_open_files", "files held open or not yet stored", usage.open_files);
    gauge("meshfs_vfs_handles", "opens", usage.handles);
    gauge("meshfs_vfs_purge_waiting_files", "removed files whose room is not yet free", usage.purge_waiting);
}

// GET /metrics, nothing else; one request a connection.
void answer(Connection& connection, MountedVolume& mounted) {
    constexpr size_t kLineMax = 8 << 10, kLinesMax = 100;
    constexpr int64_t kRequestNs = 5 * kNsPerSecond;
    int64_t until = Clock::system().boot_ns() + kRequestNs;
    auto first = connection.read_line(kLineMax, until);
    if (!first.ok()) return;
    for (size_t i = 0; i < kLinesMax; ++i) {
        auto line = connection.read_line(kLineMax, until);
        if (!line.ok()) return;
        if (line->empty()) break;
    }
    bool is_get = first->starts_with("GET "), is_ours = first->starts_with("GET /metrics ");
    std::string body = is_ours ? metrics_of(mounted) : "GET /metrics\n";
    std::string head = is_ours ? "200 OK" : is_get ? "404 Not Found" : "405 Method Not Allowed";
    (void)connection.send("HTTP/1.1 " + head + "\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: " +
                              std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body,
                          Clock::system().boot_ns() + kRequestNs);  // gone meanwhile: nobody to tell
}

}  // namespace

std::string metrics_of(MountedVolume& mounted) {
    MetricsText out;
    out.family("meshfs_build_info", "gauge", "always 1");
    out.sample({{"version", MESHFS_VERSION}}, 1);
    out.family("meshfs_up_seconds", "gauge", "since it is mounted");
    out.sample({}, seconds_of(Clock::system().boot_ns() - mounted.began_ns));
    out.family("meshfs_meta_in_window", "gauge", "1: the session beats; 0: its leases have run out");
    out.sample({}, mounted.meta.is_in_window() ? 1 : 0);
    write_leases(mounted.meta, out);
    write_store(mounted.store, out);
    write_vfs(mounted.vfs, out);
    if (mounted.session != nullptr) write_fuse(*mounted.session, out);
    mounted.meters.write(out);
    return out.text();
}

Result<std::unique_ptr<Listener>> serve_metrics(const std::string& address, MountedVolume& mounted) {
    if (address.empty()) return std::unique_ptr<Listener>();
    auto listener = Listener::open(address, [&mounted](Connection& connection) { answer(connection, mounted); });
    if (!listener.ok()) return listener.error().in("metrics=" + address);
    return listener;
}

}  // namespace meshfs
