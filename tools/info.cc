// meshfs info SOURCE|DIR: what a volume is; of a mount, each feature: on, or off and why.
#include <cstdio>

#include "fs/base/config.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/control_client.h"
#include "tools/describe.h"
#include "tools/mount_options.h"

namespace meshfs {
namespace {

using nlohmann::json;
// Of a mount here, with what it settled on with the kernel; else of the store.
Result<json> describe(const std::string& text, const std::vector<std::string>& option_lists) {
    if (auto daemon = find_daemon(text)) return ask(*daemon, {"info"});
    Source source = TRY(source_of_target(text));
    StoreOptions options = TRY(parse_store_options(source, split_options(option_lists)));
    options.read_only = true;
    auto store = TRY(open_store(source, options));
    VolumeInfo volume = TRY(read_volume(*store));
    if (!volume.data_pool.empty()) TRY(store->add_data_pool(Pool{1}, volume.data_pool));
    return describe_volume(source, *store, volume, TRY(store->capacity(Pool{1})));
}

std::string utc(time_t seconds) {
    char text[64];
    tm parts{};
    size_t size = strftime(text, sizeof text, "%F %T UTC", gmtime_r(&seconds, &parts));
    return std::string(text, size);
}

void print_line(const std::string& key, const json& value) {
    std::string text = key.starts_with("bytes_") ? human_bytes(value.get<uint64_t>())
                       : key == "created"        ? utc(value.get<int64_t>())
                       : value.is_string()       ? value.get<std::string>()
                                                 : value.dump();
    std::printf("%-16s %s\n", key.c_str(), text.c_str());
}

void print_kernel(const json& kernel) {
    std::printf("\nFUSE %s, requests of at most %s, %ld in flight\n", kernel["protocol"].get<std::string>().c_str(),
                human_bytes(kernel["max_write"].get<uint64_t>()).c_str(), kernel["max_background"].get<long>());
    for (const json& line : kernel["features"]) {
        std::string why = line["why"].get<std::string>();
        std::printf("  %-24s %-4s%s\n", line["name"].get<std::string>().c_str(), line["on"].get<bool>() ? "on" : "off",
                    why.c_str());
    }
}

void print_info(const json& told) {
    for (const auto& [key, value] : told.items()) {
        if (key == "options") {
            std::string all;
            for (const json& option : value) all += (all.empty() ? "" : ",") + option.get<std::string>();
            print_line(key, all);
        } else if (value.is_primitive()) {
            print_line(key, value);
        }
    }
    for (const json& plugin : told.value("plugins", json::array()))
        print_line("plugin", plugin["name"].get<std::string>() + " at " + plugin["prefix"].get<std::string>());
    if (told.contains("kernel")) print_kernel(told["kernel"]);
}

}  // namespace

int run_info(int argc, char** argv) {
    CLI::App app{"Tells what a volume is, and what its mount here settled on with the kernel."};
    std::string source;
    std::vector<std::string> option_lists;
    bool as_json = false;
    app.add_option("TARGET", source, "DIR of a mount, or SOURCE: a directory, rados:POOL[/VOLUME]")->required();
    app.add_option("-o", option_lists, "NAME=VALUE,...: as for mount")->allow_extra_args(false);
    app.add_flag("--json", as_json, "for programs");
    app.footer("example: meshfs info rados:ai/train -o id=train\nexit: 0 done, 1 failed, 2 usage");
    if (auto status = read_arguments(app, "info", argc, argv, kUsage)) return *status;

    auto found = describe(source, option_lists);
    if (!found.ok()) {
        complain("info", found.error());
        return kFailed;
    }
    if (as_json) std::printf("%s\n", text_of(*found).c_str());
    else print_info(*found);
    return 0;
}

}  // namespace meshfs
