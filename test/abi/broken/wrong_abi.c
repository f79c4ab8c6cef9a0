#include <meshfs-plugin.h>

const struct meshfs_plugin *meshfs_plugin_entry(void) {
    static const struct meshfs_plugin plugin = {.size = sizeof plugin, .abi = 999, .name = "wrong-abi"};
    return &plugin;
}
