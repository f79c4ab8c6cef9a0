// Prometheus' text format, and what plugins may put into it.
#include <gtest/gtest.h>

#include <algorithm>

#include "tools/plugin_meters.h"

namespace meshfs {
namespace {

TEST(MetricsText, HistogramCountsUpToEachBound) {
    MetricsText out;
    out.family("f", "histogram", "help");
    out.histogram({{"kind", "a\"\\\nb"}}, {0.5, 1}, {1, 0, 2}, 7.5);
    EXPECT_EQ(out.text(),
              "# HELP f help\n# TYPE f histogram\n"
              "f_bucket{kind=\"a\\\"\\\\\\nb\",le=\"0.5\"} 1\n"
              "f_bucket{kind=\"a\\\"\\\\\\nb\",le=\"1\"} 1\n"
              "f_bucket{kind=\"a\\\"\\\\\\nb\",le=\"+Inf\"} 3\n"
              "f_sum{kind=\"a\\\"\\\\\\nb\"} 7.5\n"
              "f_count{kind=\"a\\\"\\\\\\nb\"} 3\n");
}

std::string told(const PluginMeters& meters) {
    MetricsText out;
    meters.write(out);
    return out.text();
}

TEST(PluginMeters, ACounterAddsAndAGaugeIsTheLast) {
    PluginMeters meters;
    meters.note(PluginMetric::counter, "kv", "hits", 2);
    meters.note(PluginMetric::counter, "kv", "hits", 3);
    meters.note(PluginMetric::gauge, "kv", "pages", 7);
    meters.note(PluginMetric::gauge, "kv", "pages", 4);
    std::string text = told(meters);
    EXPECT_NE(text.find("meshfs_plugin_hits{plugin=\"kv\"} 5\n"), text.npos) << text;
    EXPECT_NE(text.find("meshfs_plugin_pages{plugin=\"kv\"} 4\n"), text.npos) << text;
}

TEST(PluginMeters, WhatWouldSpoilTheFormatIsDropped) {
    PluginMeters meters;
    meters.note(PluginMetric::counter, "kv", "hits", 1);
    meters.note(PluginMetric::gauge, "kv", "hits", 9);  // one family, one type
    meters.note(PluginMetric::counter, "kv", "no name", 1);
    meters.note(PluginMetric::counter, "kv", "", 1);
    meters.note(PluginMetric::counter, "kv", "7", 1);
    meters.note(PluginMetric::counter, "kv", "hits", -1);
    meters.note(PluginMetric::gauge, "kv", "nan", 0.0 / 0.0);
    EXPECT_EQ(told(meters), "# HELP meshfs_plugin_hits as its plugin counts it\n# TYPE meshfs_plugin_hits counter\n"
                            "meshfs_plugin_hits{plugin=\"kv\"} 1\n");
}

TEST(PluginMeters, SeriesAreBounded) {
    PluginMeters meters;
    for (size_t i = 0; i < 2 * PluginMeters::kSeriesMax; ++i)
        meters.note(PluginMetric::counter, "p" + std::to_string(i), "n", 1);
    std::string text = told(meters);
    EXPECT_EQ(static_cast<size_t>(std::count(text.begin(), text.end(), '\n')), PluginMeters::kSeriesMax + 2);
}

}  // namespace
}  // namespace meshfs
