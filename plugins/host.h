// Hosts the plugins of one volume: starts them, gives them their table, stops them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fs/base/result.h"
#include "fs/vfs/vfs.h"
#include "plugins/loader.h"

namespace meshfs {

// Where counter, gauge and histogram go; never blocks.
enum class PluginMetric : uint8_t { counter, gauge, histogram };
using PluginMetrics = std::function<void(PluginMetric, const std::string& plugin, const std::string& name, double)>;

struct PluginStatus {
    std::string name, version, prefix, module;
    bool serves = false;
};

class PluginInstance;

class PluginHost {
public:
    // vfs and store outlive it.
    PluginHost(Vfs& vfs, Store& store, PluginMetrics metrics = nullptr);
    ~PluginHost();

    // All, or none: one that fails stops those before it, and the error says which and why.  Before the mount starts,
    // since a plugin that serves changes what is at its prefix.
    Status start(const std::vector<PluginConfig>& configs);
    void stop();  // in reverse order; before the vfs stops
    std::vector<PluginStatus> status() const;

private:
    Vfs& vfs_;
    Store& store_;
    PluginMetrics metrics_;
    using Instances = std::vector<std::shared_ptr<PluginInstance>>;
    // Constant before the first plugin starts.  Also with the vfs, whose observer may be called after the host has gone.
    std::shared_ptr<Instances> instances_;
};

}  // namespace meshfs
