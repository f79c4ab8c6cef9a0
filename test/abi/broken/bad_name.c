#include <meshfs-plugin.h>

const struct meshfs_plugin *meshfs_plugin_entry(void) {
    static const struct meshfs_plugin plugin = {.size = sizeof plugin, .abi = MESHFS_PLUGIN_ABI, .name = "../Evil"};
    return &plugin;
}
