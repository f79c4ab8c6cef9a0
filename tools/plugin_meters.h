// What plugins count: counters, gauges and histograms by plugin and name.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "fs/base/mutex.h"
#include "plugins/host.h"
#include "tools/metrics_text.h"

namespace meshfs {

// Any thread; never blocks for long.
class PluginMeters {
public:
    static constexpr size_t kSeriesMax = 1000;  // beyond them new names are dropped, once with a line in the log
    void note(PluginMetric kind, const std::string& plugin, const std::string& name, double value);
    // "meshfs_plugin_NAME{plugin="..."}"
    void write(MetricsText& out) const;

private:
    struct Series {
        double sum = 0;                // counter, histogram: of all values; gauge: the last
        std::vector<uint64_t> counts;  // of a histogram, by bounds()
    };
    static const std::vector<double>& bounds();  // 1 us to 1 Ms, in steps of four
    // One kind a name, whichever plugin uses it: a family has one type.
    struct Family {
        PluginMetric kind;
        std::map<std::string, Series> by_plugin;
    };
    mutable Mutex mutex_;
    std::map<std::string, Family> families_ GUARDED_BY(mutex_);
    size_t series_ GUARDED_BY(mutex_) = 0;
    bool has_complained_ GUARDED_BY(mutex_) = false;
};

}  // namespace meshfs
