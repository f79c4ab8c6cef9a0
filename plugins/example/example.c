/* The smallest plugin that serves a prefix: one file, `hello`, whose text is a setting.
 *
 *   [[plugin]]
 *   module = "example"
 *   prefix = "/hello"
 *   text = "good morning"
 *
 * Build: cc -shared -fPIC -o meshfs-example.so example.c      Manual: meshfs-plugin(3) */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <meshfs-plugin.h>

enum { PREFIX = 1, HELLO = 2 };  /* numbers of files; 1 is the prefix itself */

struct example {
    const struct meshfs_host *host;
    char *text;
};

static void fill(struct example *e, uint64_t ino, struct meshfs_attr *attr) {
    memset(attr, 0, sizeof *attr);
    attr->ino = ino;
    attr->mode = ino == PREFIX ? S_IFDIR | 0555 : S_IFREG | 0444;
    attr->links = ino == PREFIX ? 2 : 1;
    attr->bytes = ino == PREFIX ? 0 : strlen(e->text);
}

static void example_getattr(void *plugin, struct meshfs_request *request, uint64_t ino) {
    struct example *e = plugin;
    struct meshfs_attr attr;
    fill(e, ino, &attr);
    e->host->reply_attr(request, &attr);
}

static void example_lookup(void *plugin, struct meshfs_request *request, const struct meshfs_caller *caller,
                           uint64_t dir, const char *name) {
    struct example *e = plugin;
    (void)caller;
    if (dir == PREFIX && strcmp(name, "hello") == 0) example_getattr(plugin, request, HELLO);
    else e->host->reply_error(request, -ENOENT);
}

static void example_readdir(void *plugin, struct meshfs_request *request, uint64_t dir, uint64_t cookie) {
    struct example *e = plugin;
    struct meshfs_attr attr;
    fill(e, HELLO, &attr);
    if (dir == PREFIX && cookie == 0) e->host->reply_entry(request, "hello", &attr, 1);
    e->host->reply_error(request, 0);
}

static void example_open(void *plugin, struct meshfs_request *request, const struct meshfs_caller *caller,
                         uint64_t ino, int flags) {
    struct example *e = plugin;
    struct meshfs_attr attr;
    (void)caller, (void)flags;
    fill(e, ino, &attr);
    e->host->reply_open(request, &attr, 0);
}

static void example_read(void *plugin, struct meshfs_request *request, uint64_t ino, uint64_t handle, uint64_t offset,
                         size_t length) {
    struct example *e = plugin;
    size_t size = strlen(e->text);
    (void)ino, (void)handle;
    if (offset > size) offset = size;
    e->host->reply_data(request, e->text + offset, length < size - offset ? length : size - offset);
}

static const struct meshfs_serve serve = {
    .size = sizeof serve,
    .lookup = example_lookup,
    .getattr = example_getattr,
    .readdir = example_readdir,
    .open = example_open,
    .read = example_read,
};

static void *example_create(void) { return calloc(1, sizeof(struct example)); }

static int example_config(void *plugin, const char *name, const char *value, const char **why) {
    struct example *e = plugin;
    (void)name, (void)why;  /* "text": the host lets no other setting through */
    free(e->text);
    e->text = strdup(value);
    return e->text != NULL ? 0 : -ENOMEM;
}

static int example_start(void *plugin, const struct meshfs_host *host, const char **why) {
    (void)why;
    ((struct example *)plugin)->host = host;
    return 0;
}

static void example_stop(void *plugin) {
    free(((struct example *)plugin)->text);
    free(plugin);
}

static const struct meshfs_setting settings[] = {
    {"text", "hello, world\n", "what the file `hello` holds"},
    {NULL, NULL, NULL},
};

const struct meshfs_plugin *meshfs_plugin_entry(void) {
    static const struct meshfs_plugin plugin = {
        .size = sizeof plugin,
        .abi = MESHFS_PLUGIN_ABI,
        .name = "example",
        .version = "1.0",
        .description = "serves one file with a text of your choice",
        .settings = settings,
        .create = example_create,
        .config = example_config,
        .start = example_start,
        .stop = example_stop,
        .serve = &serve,
    };
    return &plugin;
}
