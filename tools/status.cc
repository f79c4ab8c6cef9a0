// meshfs status SOURCE|DIR: who uses a volume, and how this machine's mount of it fares.
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <ctime>

#include "fs/base/config.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/control_client.h"
#include "tools/describe.h"
#include "tools/mount_options.h"

namespace meshfs {
namespace {

using nlohmann::json;
struct StatusArguments {
    std::string target;
    std::vector<std::string> option_lists;
    bool as_json = false;
    int watch_seconds = 0;  // 0: once
};

// Of a mount here, which knows most; else what the store tells.
Result<json> look(const StatusArguments& arguments) {
    if (auto daemon = find_daemon(arguments.target)) return ask(*daemon, {"status"});
    Source source = TRY(source_of_target(arguments.target));
    MountOptions options = TRY(parse_mount_options(source, split_options(arguments.option_lists), false));
    options.store.read_only = options.meta.read_only = true;
    auto store = TRY(open_store(source, options.store));
    auto meta = TRY(Meta::open(*store, Clock::system(), options.meta));
    json told = {{"source", normal_source(source)}, {"sessions", describe_sessions(*meta)}};
    TRY(meta->close());
    return told;
}

std::string duration(uint64_t seconds) {
    char text[48];
    if (seconds >= 86400)
        std::snprintf(text, sizeof text, "%" PRIu64 " d %" PRIu64 " h", seconds / 86400, seconds / 3600 % 24);
    else if (seconds >= 3600)
        std::snprintf(text, sizeof text, "%" PRIu64 " h %" PRIu64 " min", seconds / 3600, seconds / 60 % 60);
    else if (seconds >= 60)
        std::snprintf(text, sizeof text, "%" PRIu64 " min %" PRIu64 " s", seconds / 60, seconds % 60);
    else
        std::snprintf(text, sizeof text, "%" PRIu64 " s", seconds);
    return text;
}

std::string latency(double us) {
    char text[32];
    if (us < 1000) std::snprintf(text, sizeof text, "%.0f us", us);
    else if (us < 1e6) std::snprintf(text, sizeof text, "%.1f ms", us / 1000);
    else std::snprintf(text, sizeof text, "%.1f s", us / 1e6);
    return text;
}

std::string moment(int64_t seconds) {
    char text[32];
    time_t time = seconds;
    tm local{};
    localtime_r(&time, &local);
    std::strftime(text, sizeof text, "%F %T", &local);
    return text;
}

void print_leases(const json& leases) {
    uint64_t batches = leases["batches"].get<uint64_t>(), records = leases["records"].get<uint64_t>();
    std::printf("leases    %ld groups held, %ld with changes not yet stored; %s in memory; %ld batches of %.1f records\n",
                leases["held"].get<long>(), leases["unwritten"].get<long>(),
                human_bytes(leases["bytes"].get<uint64_t>()).c_str(), static_cast<long>(batches),
                batches == 0 ? 0.0 : static_cast<double>(records) / static_cast<double>(batches));
    std::printf("recalls   %ld, %.1f a second now\n", leases["recalls"].get<long>(), leases["recalls_a_second"].get<double>());
    for (const json& c : leases["contended"])
        std::printf("contended %s, %ld times\n", c["directory"].get<std::string>().c_str(), c["times"].get<long>());
}

void print_mount(const json& told) {
    const json& data = told["data"];
    const json& store = told["store"];
    std::printf("process   %ld, up %s, session %ld%s\n", told["pid"].get<long>(),
                duration(told["up_seconds"].get<uint64_t>()).c_str(), told["session"].get<long>(),
                told["in_window"].get<bool>() ? "" : "; its leases have run out");
    std::printf("data      %s of at most %s not yet stored; %ld files open; %ld removed and not yet freed\n",
                human_bytes(data["dirty_bytes"].get<uint64_t>()).c_str(),
                human_bytes(data["dirty_bytes_max"].get<uint64_t>()).c_str(), data["open_files"].get<long>(),
                data["purge_waiting"].get<long>());
    print_leases(told["leases"]);
    if (store["silent"].get<bool>())
        std::printf("store     SILENT: %.0f s without an answer to %s; %ld calls wait\n",
                    store["waits_seconds"].get<double>(), store["waits_for"].get<std::string>().c_str(),
                    store["waiting"].get<long>());
    else
        std::printf("store     answers; %ld calls in flight\n", store["waiting"].get<long>());
}

void print_sessions(const json& sessions) {
    if (sessions.contains("error"))
        return void(std::printf("\nsessions: %s\n", sessions["error"].get<std::string>().c_str()));
    std::printf("\n%10s  %-24s %-8s %-20s %s\n", "session", "host", "state", "since", "intents");
    for (const json& s : sessions)
        std::printf("%10ld  %-24s %-8s %-20s %ld%s\n", s["id"].get<long>(), s["host"].get<std::string>().c_str(),
                    s["state"].get<std::string>().c_str(), moment(s["started"].get<int64_t>()).c_str(),
                    s["intents"].get<long>(), s["own"].get<bool>() ? "  (this mount)" : "");
}

void print_operations(const json& told) {
    std::printf("\n%-16s %10s %8s %8s %9s %9s %9s %9s\n", "operation", "count", "failed", "running", "p50", "p90", "p99",
                "max");
    for (const json& o : told["operations"])
        std::printf("%-16s %10ld %8ld %8ld %9s %9s %9s %9s\n", o["name"].get<std::string>().c_str(),
                    o["count"].get<long>(), o["failed"].get<long>(), o["running"].get<long>(),
                    latency(o["p50_us"].get<double>()).c_str(), latency(o["p90_us"].get<double>()).c_str(),
                    latency(o["p99_us"].get<double>()).c_str(), latency(o["max_us"].get<double>()).c_str());
}

void print_store_calls(const json& calls) {
    std::printf("\n%-16s %4s %10s %8s %8s %10s %9s %9s\n", "store call", "pool", "count", "refused", "failed", "bytes",
                "p50", "p99");
    for (const json& c : calls)
        std::printf("%-16s %4ld %10ld %8ld %8ld %10s %9s %9s\n", c["kind"].get<std::string>().c_str(),
                    c["pool"].get<long>(), c["calls"].get<long>(), c["refused"].get<long>(), c["errors"].get<long>(),
                    human_bytes(c["bytes"].get<uint64_t>()).c_str(), latency(c["p50_us"].get<double>()).c_str(),
                    latency(c["p99_us"].get<double>()).c_str());
}

void print_status(const json& told) {
    std::string directory = told.value("directory", "");
    std::printf("%s%s\n", told["source"].get<std::string>().c_str(),
                !directory.empty() ? (" at " + directory).c_str() : told.contains("pid") ? ", served" : ", not in use here");
    if (told.contains("pid")) print_mount(told);
    if (told.contains("sessions")) print_sessions(told["sessions"]);
    if (told.contains("operations")) print_operations(told);
    if (told.contains("store")) print_store_calls(told["store"]["calls"]);
}

int show(const StatusArguments& arguments) {
    auto told = look(arguments);
    if (!told.ok()) {
        complain("status", told.error());
        return kFailed;
    }
    if (arguments.as_json) {
        std::printf("%s\n", text_of(*told).c_str());
    } else {
        if (arguments.watch_seconds > 0 && isatty(STDOUT_FILENO)) std::printf("\033[H\033[2J");
        print_status(*told);
    }
    std::fflush(stdout);
    return 0;
}

}  // namespace

int run_status(int argc, char** argv) {
    CLI::App app{"Tells who uses a volume, and how this machine's mount of it fares."};
    StatusArguments arguments;
    app.add_option("TARGET", arguments.target, "DIR of a mount, or SOURCE")->required();
    app.add_option("-o", arguments.option_lists, "NAME=VALUE,...: as for mount")->allow_extra_args(false);
    app.add_flag("--json", arguments.as_json, "for programs")->default_val(false);
    app.add_option("--watch", arguments.watch_seconds, "again each SECONDS (2), until ^C")
        ->expected(0, 1)
        ->default_str("2")
        ->check(CLI::Range(1, 86400));
    app.footer("example: meshfs status /mnt/mesh --watch\nexit: 0 done, 1 failed, 2 usage");
    if (auto status = read_arguments(app, "status", argc, argv, kUsage)) return *status;
    for (;;) {
        int status = show(arguments);
        if (status != 0 || arguments.watch_seconds == 0) return status;
        sleep(static_cast<unsigned>(arguments.watch_seconds));
    }
}

}  // namespace meshfs
