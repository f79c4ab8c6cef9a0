#include <stddef.h>

#include <meshfs-plugin.h>

const struct meshfs_plugin *meshfs_plugin_entry(void) { return NULL; }
