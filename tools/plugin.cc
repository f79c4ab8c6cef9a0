// meshfs plugin list|help: what is installed, and the settings of one.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "plugins/loader.h"
#include "tools/arguments.h"
#include "tools/commands.h"

namespace meshfs {
namespace {

int list_plugins(bool as_json) {
    nlohmann::json all = nlohmann::json::array();
    if (!as_json) std::printf("plugins in %s\n", plugin_directory().c_str());
    for (const std::string& name : installed_plugins()) {
        auto loaded = load_plugin(name);
        const char* what = loaded.ok() && loaded->plugin.description != nullptr ? loaded->plugin.description : "";
        const char* version = loaded.ok() && loaded->plugin.version != nullptr ? loaded->plugin.version : "";
        std::string error = loaded.ok() ? "" : loaded.error().detail();
        if (as_json) {
            all.push_back({{"name", name}, {"version", version}, {"description", what}, {"error", error},
                           {"serves", loaded.ok() && loaded->serves}});
            continue;
        }
        std::printf("  %-16s %-8s %s\n", name.c_str(), version, loaded.ok() ? what : error.c_str());
    }
    if (as_json) std::printf("%s\n", all.dump().c_str());
    return 0;
}

int help_plugin(const std::string& name) {
    auto loaded = load_plugin(name);
    if (!loaded.ok()) {
        complain("plugin", loaded.error());
        return kFailed;
    }
    const meshfs_plugin& p = loaded->plugin;
    std::printf("%s %s: %s\n%s\n\n", p.name, p.version != nullptr ? p.version : "",
                p.description != nullptr ? p.description : "", loaded->path.c_str());
    std::printf("[[plugin]]\nmodule = \"%s\"\nprefix = \"/...\"\n", p.name);
    for (const auto& setting : loaded->settings) {
        std::string value = nlohmann::json(setting.default_value).dump();
        std::printf("%s = %s   # %s\n", setting.name.c_str(), setting.required ? "..." : value.c_str(),
                    setting.help.c_str());
    }
    return 0;
}

}  // namespace

int run_plugin(int argc, char** argv) {
    CLI::App app{"Shows which plugins are installed, and what each can be told."};
    bool as_json = false;
    std::string name;
    auto* list = app.add_subcommand("list", "one line a plugin");
    list->add_flag("--json", as_json, "for programs");
    auto* help = app.add_subcommand("help", "the settings of one plugin, as a [[plugin]] table");
    help->add_option("NAME", name, "a plugin's name, or the path of a .so")->required();
    app.require_subcommand(1);
    app.footer("example: meshfs plugin help example\nexit: 0 done, 1 failed, 2 usage");
    if (auto status = read_arguments(app, "plugin", argc, argv, kUsage)) return *status;
    return list->parsed() ? list_plugins(as_json) : help_plugin(name);
}

}  // namespace meshfs
