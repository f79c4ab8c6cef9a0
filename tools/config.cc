// meshfs config check: each setting, its value and where it comes from.
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "fs/base/config.h"
#include "plugins/loader.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/mount_options.h"

namespace meshfs {
namespace {

Status check_plugins(const Config& config) {
    std::map<std::string, std::string> served;
    for (const PluginTable& table : config.plugins()) {
        PluginConfig wanted{table.module, table.prefix, table.settings, table.where};
        auto loaded = load_plugin(table.module);
        if (!loaded.ok()) return loaded.error().in(table.where);
        auto prefix = normal_prefix(table.prefix);
        if (!prefix.ok()) return prefix.error().in(table.where);
        if (loaded->serves && !served.emplace(*prefix, table.where).second)
            return fail(EEXIST, table.where + ": prefix " + *prefix + " is served by the plugin of " + served[*prefix] +
                                    " already");
        TRY(settle_settings(*loaded, wanted));
    }
    return {};
}

void print(const Config& config, bool as_json) {
    nlohmann::json all;
    for (const SettingRule& rule : setting_rules()) {
        const Setting& setting = config.setting(rule.table, rule.key);
        if (as_json) {
            all["settings"][rule.table][rule.key] = {{"value", setting.value}, {"origin", setting.origin}};
            continue;
        }
        std::string name = rule.table + "." + rule.key;
        std::printf("%-22s %-24s %s\n", name.c_str(), setting.value.c_str(), setting.origin.c_str());
    }
    for (const PluginTable& table : config.plugins()) {
        if (as_json) all["plugins"].push_back({{"module", table.module}, {"prefix", table.prefix}, {"origin", table.where}});
        else std::printf("plugin %-15s %-24s %s\n", table.module.c_str(), table.prefix.c_str(), table.where.c_str());
    }
    if (as_json) std::printf("%s\n", all.dump().c_str());
}

}  // namespace

int run_config(int argc, char** argv) {
    CLI::App app{"Tells what may be set, and whether a configuration is good."};
    std::string path = kConfigPath;
    bool as_json = false;
    auto* check = app.add_subcommand("check", "reads FILE as a mount would, with the plugins it names, and prints each setting with its origin");
    check->add_option("FILE", path, "/etc/meshfs/meshfs.toml unless given");
    check->add_flag("--json", as_json, "for programs");
    auto* options = app.add_subcommand("options", "lists the options of mount, one a line; \"=\": it takes a value");
    app.require_subcommand(1);
    app.footer("example: meshfs config check ./meshfs.toml\nexit: 0 good, 1 a mistake, 2 usage");
    if (auto status = read_arguments(app, "config", argc, argv, kUsage)) return *status;

    if (options->parsed()) {
        for (const auto& name : mount_option_names()) std::printf("%s\n", name.c_str());
        return 0;
    }
    auto config = Config::read(path);
    if (config.ok()) {
        Status good = check_settings(*config);
        if (good.ok()) good = check_plugins(*config);
        if (!good.ok()) {
            complain("config", good.error());
            return kFailed;
        }
        print(*config, as_json);
        return 0;
    }
    complain("config", config.error());
    return kFailed;
}

}  // namespace meshfs
