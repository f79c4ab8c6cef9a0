#include "tools/plugin_meters.h"

#include <algorithm>
#include <cmath>

#include "fs/base/log.h"

namespace meshfs {

const std::vector<double>& PluginMeters::bounds() {
    static const std::vector<double> all = [] {
        std::vector<double> bounds;
        for (double bound = 1e-6; bound < 2e6; bound *= 4) bounds.push_back(bound);
        return bounds;
    }();
    return all;
}

void PluginMeters::note(PluginMetric kind, const std::string& plugin, const std::string& name, double value) {
    if (!std::isfinite(value) || (kind == PluginMetric::counter && value < 0)) return;
    MutexLock lock(mutex_);
    auto family = families_.find(name);
    if (family == families_.end() && series_ < kSeriesMax && is_metric_name(name))
        family = families_.emplace(name, Family{kind, {}}).first;
    bool fits = family != families_.end() && family->second.kind == kind &&
                (family->second.by_plugin.contains(plugin) || series_ < kSeriesMax);
    if (!fits) {
        if (!has_complained_)
            log_warning("a measurement is dropped: its name is unfit or used otherwise, or there are too many",
                        {{"plugin", plugin}, {"name", name}});
        has_complained_ = true;
        return;
    }
    auto [at, is_new] = family->second.by_plugin.try_emplace(plugin);
    series_ += is_new ? 1 : 0;
    Series& series = at->second;
    if (kind == PluginMetric::gauge) series.sum = value;
    else series.sum += value;
    if (kind != PluginMetric::histogram) return;
    series.counts.resize(bounds().size() + 1);
    auto bound = std::lower_bound(bounds().begin(), bounds().end(), value);
    ++series.counts[static_cast<size_t>(bound - bounds().begin())];
}

void PluginMeters::write(MetricsText& out) const {
    MutexLock lock(mutex_);
    for (const auto& [name, family] : families_) {
        const char* type = family.kind == PluginMetric::counter ? "counter"
                           : family.kind == PluginMetric::gauge ? "gauge"
                                                                : "histogram";
        out.family("meshfs_plugin_" + name, type, "as its plugin counts it");
        for (const auto& [plugin, series] : family.by_plugin) {
            MetricsText::Labels labels{{"plugin", plugin}};
            if (family.kind == PluginMetric::histogram) out.histogram(labels, bounds(), series.counts, series.sum);
            else out.sample(labels, series.sum);
        }
    }
}

}  // namespace meshfs
