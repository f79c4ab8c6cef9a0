// meshfs gc SOURCE|DIR: what nobody needs any more goes, now: removed files and directories, what mounts that died
// have left.  A mount does most of it by itself, a little later.
#include <chrono>
#include <cstdio>
#include <thread>

#include "fs/base/config.h"
#include "fs/vfs/compaction.h"
#include "fs/vfs/data_hooks.h"
#include "fs/vfs/leavings.h"
#include "fs/vfs/purger.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/control_client.h"
#include "tools/long_work.h"
#include "tools/mounted_volume.h"

namespace meshfs {
namespace {

using nlohmann::json;
struct GcArguments {
    std::string target;
    std::vector<std::string> option_lists;
    bool as_json = false, quiet = false;
};

// What other mounts may still read is due only after twice the lease time; and a directory after what was unlinked in it.
// A mount comes back to it by itself; the command waits here, or the space would stay.
Result<uint64_t> purge_all_in_time(Meta& meta, Data& data, std::atomic<bool>& stopping) {
    const auto patience = std::chrono::seconds(2 * meta.volume().lease_seconds + 1);
    auto until = std::chrono::steady_clock::now() + patience;
    uint64_t gone = 0;
    size_t queued = SIZE_MAX;
    while (true) {
        const uint64_t now_gone = TRY(Purger::purge_all(meta, data, &stopping));
        const size_t now_queued = meta.queued_for_purge();
        const auto now = std::chrono::steady_clock::now();
        if (now_gone > 0 || now_queued != queued) until = now + patience;
        gone += now_gone;
        queued = now_queued;
        if (stopping || queued == 0 || now > until) return gone;
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
}

enum class Waits { no, yes };

// The same in a mount and in the command, but that the command waits for what is not due yet.
Result<json> collect(Store& store, Meta& meta, const TellProgress& tell, std::atomic<bool>& stopping, Waits waits) {
    std::atomic<uint64_t> groups{0};
    uint64_t before = TRY(store.capacity(Pool{1})).available;
    return work_and_tell(
        tell, stopping,
        [&groups] {
            return Progress{"groups looked at", groups, 0};
        },
        [&]() -> Result<json> {
            Data data(store, Clock::system(), {}, data_hooks(meta));
            auto found = TRY(meta.collect([&groups](uint64_t done) { groups = done; }));
            uint64_t purged = waits == Waits::yes ? TRY(purge_all_in_time(meta, data, stopping))
                                                  : TRY(Purger::purge_all(meta, data, &stopping));
            Leavings leavings = TRY(remove_leavings(store, meta, data, stopping));
            Compacted packs = TRY(compact_packs(store, meta, data, Clock::system(), stopping));
            if (waits == Waits::yes && packs.files > 0) {  // then what they were in can go, too
                purged += TRY(purge_all_in_time(meta, data, stopping));
                packs.packs += TRY(compact_packs(store, meta, data, Clock::system(), stopping)).packs;
            }
            data.stop();
            uint64_t after = TRY(store.capacity(Pool{1})).available;
            if (stopping) return fail(EINTR);
            return json{{"groups", found.groups},     {"unlinked", found.unlinked},
                        {"nameless", found.nameless}, {"sessions", found.sessions + leavings.sessions},
                        {"purged", purged},           {"objects_left_over", leavings.objects},
                        {"packs", packs.packs},       {"files_moved", packs.files},
                        {"bytes_freed", after > before ? after - before : 0}};
        });
}

Result<json> collect_here(const GcArguments& arguments, const TellProgress& tell) {
    Source source = TRY(source_of_argument(arguments.target));
    MountOptions options = TRY(parse_mount_options(source, split_options(arguments.option_lists), false));
    auto store = TRY(open_store(source, options.store));
    VolumeInfo volume = TRY(read_volume(*store));
    if (!volume.data_pool.empty()) TRY(store->add_data_pool(Pool{1}, volume.data_pool));
    auto meta = TRY(Meta::open(*store, Clock::system(), options.meta));
    static std::atomic<bool> stopping{false};
    stop_on_signal(stopping);
    auto told = collect(*store, *meta, tell, stopping, Waits::yes);
    Status closed = meta->close();
    if (told.ok() && !closed.ok()) return closed.error().in("cannot end the session");
    return told;
}

int run(const GcArguments& arguments) {
    Result<json> told = fail(EIO);
    {
        ProgressLine line("gc");
        TellProgress tell = [&](const Progress& progress) -> Status {
            if (!arguments.quiet) line.show(progress);
            return {};
        };
        auto daemon = find_daemon(arguments.target);
        told = daemon ? ask(*daemon, {"gc"}, kAnswerNs, tell) : collect_here(arguments, tell);
    }
    if (!told.ok()) {
        const Error& error = told.error();
        complain("gc", error.code() == EINTR                               ? "stopped; run it again at any time"
                       : error.code() == EINVAL && !error.detail().empty() ? error.detail()
                                                                           : error.text());
        return error.code() == EINVAL ? kUsage : kFailed;
    }
    if (arguments.as_json) return std::printf("%s\n", text_of(*told).c_str()), 0;
    if (arguments.quiet) return 0;
    std::printf(
        "%ld groups looked at: %ld removed files and directories found, %ld unfinished directories, "
        "%ld sessions that were no more\n%ld removed for good, %ld objects of data that no file had, %ld packs of small "
        "files (%ld files moved), %s freed\n",
        (*told)["groups"].get<long>(), (*told)["unlinked"].get<long>(), (*told)["nameless"].get<long>(),
        (*told)["sessions"].get<long>(), (*told)["purged"].get<long>(), (*told)["objects_left_over"].get<long>(),
        (*told)["packs"].get<long>(), (*told)["files_moved"].get<long>(),
        human_bytes((*told)["bytes_freed"].get<uint64_t>()).c_str());
    return 0;
}

}  // namespace

void add_gc_command(ControlServer& server, MountedVolume& mounted) {
    server.add("gc", [&mounted](const json&, const TellProgress& tell) {
        std::atomic<bool> stopping{false};
        return collect(mounted.store, mounted.meta, tell, stopping, Waits::no);
    });
}

int run_gc(int argc, char** argv) {
    GcArguments arguments;
    CLI::App app{"Removes what nobody needs any more: bytes of removed files, leavings of mounts that died."};
    app.add_option("SOURCE", arguments.target, "a directory, or rados:POOL[/VOLUME]; or where it is mounted")
        ->required();
    app.add_option("-o", arguments.option_lists, "NAME=VALUE,...: as for mount")->allow_extra_args(false);
    app.add_flag("--json", arguments.as_json, "for programs");
    app.add_flag("-q,--quiet", arguments.quiet, "say nothing if all is well");
    app.footer("example: meshfs gc /srv/mesh\nexit: 0 done, 1 failed, 2 usage");
    if (auto status = read_arguments(app, "gc", argc, argv, kUsage)) return *status;
    return run(arguments);
}

}  // namespace meshfs
