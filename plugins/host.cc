#include "plugins/host.h"

#include "plugins/instance.h"

namespace meshfs {

PluginHost::PluginHost(Vfs& vfs, Store& store, PluginMetrics metrics)
    : vfs_(vfs), store_(store), metrics_(std::move(metrics)), instances_(std::make_shared<Instances>()) {
    vfs_.observe([instances = instances_](const Change& change) {
        for (auto& instance : *instances) instance->on_change(change);
    });
}

PluginHost::~PluginHost() { stop(); }

Status PluginHost::start(const std::vector<PluginConfig>& configs) {
    // Everything that can be judged without starting anything, first.
    std::vector<std::map<std::string, std::string>> settings;
    auto in = [](const PluginConfig& config, const Error& error) {
        return config.where.empty() ? error : Error(error.code(), config.where + ": " + error.detail());
    };
    std::map<std::string, std::string> served;
    for (const PluginConfig& config : configs) {
        auto here = [&](const Error& error) { return in(config, error); };
        auto loaded = load_plugin(config.module);
        if (!loaded) return here(loaded.error());
        auto prefix = normal_prefix(config.prefix);
        if (!prefix) return here(prefix.error());
        if (loaded->serves) {
            auto [other, is_new] = served.emplace(*prefix, loaded->plugin.name);
            if (!is_new)
                return here(fail(EEXIST, "prefix " + *prefix + " is already served by plugin \"" + other->second +
                                             "\"; only one plugin can serve a prefix"));
        }
        settings.push_back(TRY(settle_settings(*loaded, config)));
        instances_->push_back(
            std::make_shared<PluginInstance>(vfs_, store_, metrics_, std::move(*loaded), std::move(*prefix)));
    }
    Status started;
    for (size_t i = 0; i < settings.size() && started; ++i)
        if (started = (*instances_)[i]->prepare(settings[i]); !started) started = in(configs[i], started.error());
    for (size_t i = 0; i < settings.size() && started; ++i)
        if (started = (*instances_)[i]->start(); !started) started = in(configs[i], started.error());
    if (!started) stop();
    return started;
}

void PluginHost::stop() {
    // A thread of one that hangs may still come back, so that it is never freed.
    static auto* left_behind = new Instances;
    for (auto instance = instances_->rbegin(); instance != instances_->rend(); ++instance)
        if (!(*instance)->stop()) left_behind->push_back(*instance);
}

std::vector<PluginStatus> PluginHost::status() const {
    std::vector<PluginStatus> all;
    for (const auto& instance : *instances_) {
        const LoadedPlugin& p = instance->loaded();
        all.push_back({instance->name(), p.plugin.version != nullptr ? p.plugin.version : "", instance->prefix(),
                       p.path, p.serves});
    }
    return all;
}

}  // namespace meshfs
