// meshfs check SOURCE|DIR: are names and bytes what they must be?  Exit statuses are fsck(8)'s.
#include "fs/vfs/check/check.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/control_client.h"
#include "tools/long_work.h"
#include "tools/mounted_volume.h"

namespace meshfs {
namespace {

using nlohmann::json;

// More are counted, and shown by the next run once these are repaired.
constexpr size_t kFindingsMax = 10'000;

struct CheckArguments {
    std::string target;
    std::vector<std::string> option_lists;
    bool repair = false, dry_run = false, deep = false, as_json = false, quiet = false;
    unsigned threads = 8;
};

json describe(const Finding& finding) {
    static constexpr const char* kStates[] = {"wrong", "repaired", "failed", "note"};
    json told = {
        {"state", kStates[static_cast<size_t>(finding.state)]}, {"object", finding.object}, {"what", finding.what}};
    if (!finding.key.empty()) told["key"] = finding.key;
    if (!finding.path.empty()) told["path"] = finding.path;
    if (!finding.repair.empty()) told["repair"] = finding.repair;
    return told;
}

// The same in a mount and in the command.  is_alone: nobody else has the volume.
Result<json> check(Meta& meta, bool is_alone, const json& arguments, const TellProgress& tell,
                   std::atomic<bool>& stopping) {
    CheckOptions options;
    options.repair = arguments.value("repair", false);
    options.deep = arguments.value("deep", false);
    options.threads = std::clamp(arguments.value("threads", 8u), 1u, 64u);
    options.live = !is_alone;
    options.stopping = &stopping;
    json findings = json::array();  // of the work's thread until it has ended
    options.found = [&findings](const Finding& finding) {
        if (findings.size() < kFindingsMax) findings.push_back(describe(finding));
    };
    std::atomic<uint64_t> names{0};
    options.progress = [&names](const CheckCounts& counts) { names = counts.names; };
    return work_and_tell(
        tell, stopping,
        [&names] {
            return Progress{"names looked at", names, 0};
        },
        [&]() -> Result<json> {
            CheckCounts counts = TRY(check_volume(meta, options));
            return json{{"findings", std::move(findings)}, {"directories", counts.directories},
                        {"names", counts.names},           {"files", counts.files},
                        {"objects", counts.objects},       {"wrong", counts.wrong},
                        {"repaired", counts.repaired},     {"notes", counts.notes},
                        {"while_in_use", options.live}};
        });
}

Result<bool> is_anybody_else_there(Meta& meta) {
    for (const SessionInfo& session : TRY(meta.sessions()))
        if (!session.own && session.state == "alive") return true;
    return false;
}

Result<json> check_here(const CheckArguments& arguments, const json& wanted, const TellProgress& tell) {
    Source source = TRY(source_of_argument(arguments.target));
    MountOptions options = TRY(parse_mount_options(source, split_options(arguments.option_lists), false));
    options.store.read_only = options.meta.read_only = !arguments.repair;
    auto store = TRY(open_store(source, options.store));
    VolumeInfo volume = TRY(read_volume(*store));
    if (!volume.data_pool.empty()) TRY(store->add_data_pool(Pool{1}, volume.data_pool));
    auto meta = TRY(Meta::open(*store, Clock::system(), options.meta));
    bool is_alone = store->is_exclusive() || !TRY(is_anybody_else_there(*meta));
    static std::atomic<bool> stopping{false};
    stop_on_signal(stopping);
    auto told = check(*meta, is_alone, wanted, tell, stopping);
    Status closed = meta->close();
    if (told.ok() && !closed.ok()) return closed.error().in("cannot end the session");
    return told;
}

void print(const json& told, bool is_quiet) {
    for (const json& f : told["findings"]) {
        std::string state = f["state"], line = f["object"].get<std::string>();
        if (is_quiet && state == "note") continue;
        if (f.contains("key")) line += " " + f["key"].get<std::string>();
        if (f.contains("path")) line += " (" + f["path"].get<std::string>() + ")";
        line += ": " + f["what"].get<std::string>();
        if (state == "repaired") line += "; repaired: " + f["repair"].get<std::string>();
        else if (state == "wrong" && f.contains("repair")) line += "; --repair: " + f["repair"].get<std::string>();
        else if (state == "wrong") line += "; no repair is known";
        std::printf("%s%s\n", state == "note" ? "note: " : "", line.c_str());
    }
    if (is_quiet) return;
    std::printf("%ld directories, %ld names, %ld objects looked at: %ld wrong, %ld repaired, %ld notes\n",
                told["directories"].get<long>(), told["names"].get<long>(), told["objects"].get<long>(),
                told["wrong"].get<long>(), told["repaired"].get<long>(), told["notes"].get<long>());
}

int run(const CheckArguments& arguments) {
    json wanted = {{"repair", arguments.repair}, {"deep", arguments.deep}, {"threads", arguments.threads}};
    Result<json> told = fail(EIO);
    {
        ProgressLine line("check");
        TellProgress tell = [&](const Progress& progress) -> Status {
            if (!arguments.quiet) line.show(progress);
            return {};
        };
        auto daemon = find_daemon(arguments.target);
        told = daemon ? ask(*daemon, {"check", wanted}, kAnswerNs, tell) : check_here(arguments, wanted, tell);
    }
    if (!told.ok()) {
        const Error& error = told.error();
        if (error.code() == EINTR) return complain("check", "stopped; not everything was looked at"), fsck_exit::kStopped;
        complain("check", error.code() == EINVAL && !error.detail().empty() ? error.detail() : error.text());
        return error.code() == EINVAL ? fsck_exit::kUsage : fsck_exit::kFailed;
    }
    if (arguments.as_json) std::printf("%s\n", text_of(*told).c_str());
    else print(*told, arguments.quiet);
    return ((*told)["wrong"] > 0 ? fsck_exit::kWrong : 0) | ((*told)["repaired"] > 0 ? fsck_exit::kRepaired : 0);
}

}  // namespace

void add_check_command(ControlServer& server, MountedVolume& mounted) {
    server.add("check", [&mounted](const json& arguments, const TellProgress& tell) -> Result<json> {
        std::atomic<bool> stopping{false};
        try {
            return check(mounted.meta, false, arguments, tell, stopping);
        } catch (const json::exception&) {
            return fail(EINVAL, "\"repair\" and \"deep\" are true or false, \"threads\" is a number");
        }
    });
}

int run_check(int argc, char** argv) {
    CheckArguments arguments;
    CLI::App app{"Looks at all names, inodes and what they lead to, and changes nothing unless told."};
    app.add_option("SOURCE", arguments.target, "a directory, or rados:POOL[/VOLUME]; or where it is mounted")
        ->required();
    app.add_option("-o", arguments.option_lists, "NAME=VALUE,...: as for mount")->allow_extra_args(false);
    auto* repair = app.add_flag("--repair", arguments.repair, "repair what can be; each line says how");
    app.add_flag("-n,--dry-run", arguments.dry_run, "say what --repair would do, which is the default")
        ->excludes(repair);
    app.add_flag("--deep", arguments.deep, "look for each object of data, and for objects that nothing names");
    app.add_option("--threads", arguments.threads, "directories looked at at once (8)")->check(CLI::Range(1u, 64u));
    app.add_flag("--json", arguments.as_json, "for programs");
    app.add_flag("-q,--quiet", arguments.quiet, "only what is wrong");
    app.footer(
        "example: meshfs check --repair /srv/mesh\n"
        "exit: 0 nothing wrong, 1 repaired, 4 wrong, 8 failed, 16 usage, 32 stopped (as fsck(8))");
    if (auto status = read_arguments(app, "check", argc, argv, fsck_exit::kUsage)) return *status;
    return run(arguments);
}

}  // namespace meshfs
