// meshfs format SOURCE: makes a volume.
#include <unistd.h>

#include <cstdio>

#include "fs/base/clock.h"
#include "fs/meta/meta.h"
#include "fs/store/source.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/mount_options.h"
#include "tools/progress.h"

namespace meshfs {
namespace {

struct FormatArguments {
    std::string source;
    std::vector<std::string> option_lists;
    std::string data_pool, root_mode = "0755";
    int lease_seconds = 30;
    bool force = false, quiet = false;
};

Status format(const FormatArguments& arguments) {
    Source source = TRY(source_of_argument(arguments.source));
    if (source.kind == Source::Kind::memory)
        return fail(EINVAL, "a memory: volume lives in its mount only; `meshfs mount memory: DIR` makes it");
    StoreOptions options = TRY(parse_store_options(source, split_options(arguments.option_lists)));
    options.make_directory = true;
    FormatOptions wanted;
    wanted.lease_seconds = arguments.lease_seconds;
    wanted.data_pool = arguments.data_pool;
    wanted.root_mode = static_cast<uint32_t>(std::stoul(arguments.root_mode, nullptr, 8));
    wanted.root_uid = geteuid();
    wanted.root_gid = getegid();
    wanted.force = arguments.force;
    ProgressLine line("format");
    wanted.progress = [&](uint64_t done, uint64_t total) { line.show({"objects deleted", done, total}); };
    if (!wanted.data_pool.empty()) options.data_pools[Pool{1}] = wanted.data_pool;
    auto store = TRY(open_store(source, options));
    return format_volume(*store, Clock::system(), wanted);
}

}  // namespace

int run_format(int argc, char** argv) {
    FormatArguments arguments;
    CLI::App app{"Makes a volume. Refuses where one is, unless --force."};
    app.add_option("SOURCE", arguments.source, "a directory, or rados:POOL[/VOLUME]")->required();
    app.add_option("-o", arguments.option_lists, "NAME=VALUE,...: conf, id, keyring and the others of mount")
        ->allow_extra_args(false);
    app.add_option("--data-pool", arguments.data_pool, "rados: pool for file data, else that of SOURCE");
    app.add_option("--root-mode", arguments.root_mode, "permissions of the root directory, octal (0755)")
        ->check([](const std::string& text) {
            bool octal = !text.empty() && text.size() <= 5 && text.find_first_not_of("01234567") == text.npos;
            return octal ? std::string() : "\"" + text + "\" is no octal mode";
        });
    app.add_option("--lease", arguments.lease_seconds, "seconds until a silent mount counts as dead (30)")
        ->check([](const std::string& text) {
            bool fits = text.size() <= 4 && !text.empty() && text.find_first_not_of("0123456789") == text.npos &&
                        std::stoi(text) >= 1 && std::stoi(text) <= 3600;
            return fits ? std::string() : "\"" + text + "\" is no number of seconds from 1 to 3600";
        });
    app.add_flag("--force", arguments.force, "delete the volume that is there, with all its files");
    app.add_flag("-q,--quiet", arguments.quiet, "say nothing if all is well");
    app.footer("example: meshfs format /srv/mesh\n         meshfs format rados:ai/train -o id=train\n"
               "exit: 0 done, 1 failed, 2 usage");
    if (auto status = read_arguments(app, "format", argc, argv, kUsage)) return *status;

    Status done = format(arguments);
    if (!done.ok()) {
        complain("format", done.error());
        return done.code() == EINVAL ? kUsage : kFailed;
    }
    if (!arguments.quiet)
        std::printf("formatted %s; mount it: meshfs mount %s DIR\n", arguments.source.c_str(),
                    arguments.source.c_str());
    return 0;
}

}  // namespace meshfs
