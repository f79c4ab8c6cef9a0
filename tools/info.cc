// meshfs info SOURCE: what a volume is.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "fs/base/config.h"
#include "fs/meta/meta.h"
#include "fs/store/source.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/mount_options.h"

namespace meshfs {
namespace {

constexpr int kFailed = 1, kUsage = 2;

Result<nlohmann::json> describe(const std::string& text, const std::vector<std::string>& option_lists) {
    Source source = TRY(parse_source(text));
    StoreOptions options = TRY(parse_store_options(source, split_options(option_lists)));
    options.read_only = true;
    auto store = TRY(open_store(source, options));
    VolumeInfo volume = TRY(read_volume(*store));
    if (!volume.data_pool.empty()) TRY(store->add_data_pool(Pool{1}, volume.data_pool));
    Capacity capacity = TRY(store->capacity(Pool{1}));
    return nlohmann::json{{"source", text},
                          {"store", store->id().uuid},
                          {"uuid", volume.uuid},
                          {"format_version", volume.format_version},
                          {"created", volume.created.seconds},
                          {"lease_seconds", volume.lease_seconds},
                          {"data_pool", volume.data_pool},
                          {"bytes_total", capacity.total},
                          {"bytes_available", capacity.available}};
}

}  // namespace

int run_info(int argc, char** argv) {
    CLI::App app{"Tells what a volume is."};
    std::string source;
    std::vector<std::string> option_lists;
    bool as_json = false;
    app.add_option("SOURCE", source, "a directory, or rados:POOL[/VOLUME]")->required();
    app.add_option("-o", option_lists, "NAME=VALUE,...: conf, id, keyring")->allow_extra_args(false);
    app.add_flag("--json", as_json, "for programs");
    app.footer("example: meshfs info rados:ai/train -o id=train\nexit: 0 done, 1 failed, 2 usage");
    if (auto status = read_arguments(app, "info", argc, argv, kUsage)) return *status;

    auto found = describe(source, option_lists);
    if (!found.ok()) {
        complain("info", found.error().text());
        return kFailed;
    }
    if (as_json) return std::printf("%s\n", found->dump().c_str()), 0;
    for (const auto& [key, value] : found->items()) {
        bool is_bytes = key.starts_with("bytes_");
        std::string text = is_bytes            ? human_bytes(value.get<uint64_t>())
                           : value.is_string() ? value.get<std::string>()
                                               : value.dump();
        std::printf("%-16s %s\n", key.c_str(), text.c_str());
    }
    return 0;
}

}  // namespace meshfs
