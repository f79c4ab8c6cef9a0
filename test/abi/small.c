/* As if built when the tables ended earlier: no serve table in the plugin's, nothing after `stop`. */
#include <stddef.h>

#include <meshfs-plugin.h>

static int state;
static void *small_create(void) { return &state; }
static int small_start(void *plugin, const struct meshfs_host *host, const char **why) {
    (void)plugin, (void)why;
    host->log(host, MESHFS_INFO, "small starts");
    return 0;
}
static void small_stop(void *plugin) { (void)plugin; }

const struct meshfs_plugin *meshfs_plugin_entry(void) {
    /* What follows `serve` in memory must not be read. */
    static const struct { struct meshfs_plugin plugin; } table = {{
        .size = offsetof(struct meshfs_plugin, serve),
        .abi = MESHFS_PLUGIN_ABI,
        .name = "small",
        .version = "0",
        .description = "ends early",
        .create = small_create,
        .start = small_start,
        .stop = small_stop,
        .serve = (const struct meshfs_serve *)8,
    }};
    return &table.plugin;
}
