/* A plugin that exposes its prefix: each setting `run` makes it use one group of the host's calls at start, and
 * start fails with a sentence if an answer is wrong.  A C program outside of MeshFS could be written the same way. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <meshfs-plugin.h>

struct exposer {
    const struct meshfs_host *host;
    int64_t watch;
};

static char complaint[256];

#define EXPECT(condition)                                                                      \
    do {                                                                                       \
        if (!(condition)) {                                                                    \
            snprintf(complaint, sizeof complaint, "line %d: %s", __LINE__, #condition);        \
            return -EPROTO;                                                                    \
        }                                                                                      \
    } while (0)

static atomic_int ios_done, events, created_seen;
static atomic_size_t ios_told; /* not on a stack: the answer may come after we have given up */

static void count_ios(void *argument, struct meshfs_io *ios, size_t count) {
    (void)ios;
    *(atomic_size_t *)argument = count;
    ++ios_done;
}

static void count_event(void *argument, int event, const char *path) {
    (void)argument;
    if (event == MESHFS_CREATED && strcmp(path, "/dir/watched") == 0) ++created_seen;
    ++events;
}

/* Waits for what another thread does; gives up after a minute so that a broken host fails the test. */
static int wait_for(atomic_int *counter, int value) {
    for (int i = 0; i < 6000 && *counter < value; ++i) usleep(10000);
    return *counter >= value;
}

static int use_namespace(const struct meshfs_host *h) {
    struct meshfs_attr attr;
    struct meshfs_entry entry;
    char value[16];
    EXPECT(h->mkdir(h, "/dir", 0755) == 0);
    EXPECT(h->mkdir(h, "/dir", 0755) == -EEXIST);
    EXPECT(h->open(h, "/dir/../x", O_RDWR | O_CREAT, 0644) == -EINVAL);
    EXPECT(h->open(h, "relative", O_RDONLY, 0) == -EINVAL);
    int64_t a = h->open(h, "/dir/a", O_RDWR | O_CREAT | O_EXCL, 0640);
    EXPECT(a > 0);
    EXPECT(h->close(h, (uint64_t)a) == 0);
    EXPECT(h->close(h, (uint64_t)a) == -EBADF);
    EXPECT(h->stat(h, "/dir/a", &attr) == 0 && (attr.mode & 07777) == 0640 && attr.bytes == 0);
    EXPECT(h->setxattr(h, "/dir/a", "user.k", "value", 5) == 0);
    EXPECT(h->getxattr(h, "/dir/a", "user.k", value, sizeof value) == 5 && memcmp(value, "value", 5) == 0);
    EXPECT(h->getxattr(h, "/dir/a", "user.k", value, 2) == -ERANGE);
    EXPECT(h->rename(h, "/dir/a", "/dir/b", 1) == 0);
    int64_t c = h->open(h, "/dir/c", O_RDWR | O_CREAT, 0644);
    EXPECT(c > 0 && h->close(h, (uint64_t)c) == 0);
    EXPECT(h->rename(h, "/dir/b", "/dir/c", 1) == -EEXIST);
    int64_t listing = h->list(h, "/dir", NULL);
    EXPECT(listing > 0);
    EXPECT(h->list_next(h, (uint64_t)listing, &entry) == 1 && strcmp(entry.name, "b") == 0);
    EXPECT(h->list_next(h, (uint64_t)listing, &entry) == 1 && strcmp(entry.name, "c") == 0);
    EXPECT(h->list_next(h, (uint64_t)listing, &entry) == 0);
    h->list_close(h, (uint64_t)listing);
    listing = h->list(h, "/dir", "b");
    EXPECT(h->list_next(h, (uint64_t)listing, &entry) == 1 && strcmp(entry.name, "c") == 0);
    h->list_close(h, (uint64_t)listing);
    EXPECT(h->unlink(h, "/dir") == -ENOTEMPTY);
    EXPECT(h->unlink(h, "/dir/b") == 0 && h->unlink(h, "/dir/c") == 0);
    EXPECT(h->stat(h, "/dir/b", &attr) == -ENOENT);
    return 0;
}

static int move(const struct meshfs_host *h, int64_t file, uint64_t offset, char *bytes, size_t length, int is_write) {
    int before = ios_done;
    struct meshfs_io io = {(uint64_t)file, offset, bytes, length, is_write, 0, {0, 0}};
    ios_told = 0;
    int code = h->submit(h, &io, 1, count_ios, &ios_told);
    if (code != 0) return code;
    if (!wait_for(&ios_done, before + 1) || ios_told != 1) return -ETIME;
    return (int)io.result;
}

static int use_publish(const struct meshfs_host *h) {
    struct meshfs_attr first, second;
    struct meshfs_xattr etag = {"user.etag", "abc", 3};
    char text[32] = "first version", back[32] = "";
    h->mkdir(h, "/dir", 0755);
    int64_t file = h->create_nameless(h, "/dir", 0644);
    EXPECT(file > 0);
    EXPECT(move(h, file, 0, text, 13, 1) == 13);
    EXPECT(h->stat(h, "/dir/p", &first) == -ENOENT);
    EXPECT(h->publish(h, (uint64_t)file, "/dir/p", &etag, 1, MESHFS_IF_ABSENT, 0, &first) == 0);
    EXPECT(h->close(h, (uint64_t)file) == 0);
    EXPECT(h->stat(h, "/dir/p", &second) == 0 && second.bytes == 13 && second.generation == first.generation);
    EXPECT(h->getxattr(h, "/dir/p", "user.etag", back, sizeof back) == 3);

    file = h->create_nameless(h, "/dir", 0644);
    EXPECT(h->publish(h, (uint64_t)file, "/dir/p", NULL, 0, MESHFS_IF_ABSENT, 0, NULL) == -EEXIST);
    EXPECT(h->publish(h, (uint64_t)file, "/dir/p", NULL, 0, MESHFS_IF_GENERATION, first.generation + 7, NULL) ==
           -ECANCELED);
    EXPECT(move(h, file, 0, text, 5, 1) == 5);
    EXPECT(h->publish(h, (uint64_t)file, "/dir/p", NULL, 0, MESHFS_IF_GENERATION, first.generation, NULL) == 0);
    EXPECT(h->close(h, (uint64_t)file) == 0);
    EXPECT(h->stat(h, "/dir/p", &second) == 0 && second.bytes == 5);
    file = h->open(h, "/dir/p", O_RDONLY, 0);
    EXPECT(move(h, file, 0, back, sizeof back, 0) == 5 && memcmp(back, "first", 5) == 0);
    EXPECT(h->close(h, (uint64_t)file) == 0);
    return 0;
}

static int use_splice(const struct meshfs_host *h) {
    char text[16] = "0123456789", back[16] = "";
    h->mkdir(h, "/dir", 0755);
    int64_t source = h->open(h, "/dir/s", O_RDWR | O_CREAT, 0644);
    int64_t target = h->open(h, "/dir/t", O_RDWR | O_CREAT, 0644);
    EXPECT(source > 0 && target > 0 && move(h, source, 0, text, 10, 1) == 10);
    struct meshfs_range ranges[2] = {{(uint64_t)source, 5, 5}, {(uint64_t)source, 0, 3}};
    EXPECT(h->splice(h, (uint64_t)target, ranges, 2) == 8);
    EXPECT(move(h, target, 0, back, sizeof back, 0) == 8 && memcmp(back, "56789012", 8) == 0);
    EXPECT(h->close(h, (uint64_t)source) == 0 && h->close(h, (uint64_t)target) == 0);
    return 0;
}

static int use_records(const struct meshfs_host *h) {
    char key[32], value[32];
    size_t key_length = sizeof key, value_length = sizeof value;
    struct meshfs_record put[] = {{MESHFS_RECORD_ABSENT, "t/a", 3, NULL, 0},
                                  {MESHFS_RECORD_SET, "t/a", 3, "1", 1},
                                  {MESHFS_RECORD_SET, "t/b", 3, "22", 2}};
    EXPECT(h->records_apply(h, put, 3) == 0);
    EXPECT(h->records_apply(h, put, 3) == -ECANCELED);
    EXPECT(h->records_get(h, "t/b", 3, value, sizeof value) == 2 && memcmp(value, "22", 2) == 0);
    EXPECT(h->records_next(h, "t/a", 3, "t/", 2, key, &key_length, value, &value_length) == 1);
    EXPECT(key_length == 3 && memcmp(key, "t/b", 3) == 0 && value_length == 2);
    struct meshfs_record swap[] = {{MESHFS_RECORD_IS, "t/b", 3, "22", 2}, {MESHFS_RECORD_REMOVE, "t/a", 3, NULL, 0}};
    EXPECT(h->records_apply(h, swap, 2) == 0);
    EXPECT(h->records_get(h, "t/a", 3, value, sizeof value) == -ENOENT);
    return 0;
}

static int use_watch(const struct meshfs_host *h) {
    h->mkdir(h, "/dir", 0755);
    int64_t watch = h->watch(h, "/dir", count_event, NULL);
    EXPECT(watch > 0);
    int64_t file = h->open(h, "/dir/watched", O_RDWR | O_CREAT, 0644);
    EXPECT(file > 0 && h->close(h, (uint64_t)file) == 0);
    EXPECT(wait_for(&created_seen, 1));
    h->unwatch(h, (uint64_t)watch);
    EXPECT(h->send(h, "hi", 2) >= 0);
    return 0;
}

static void *exposer_create(void) { return calloc(1, sizeof(struct exposer)); }

static char run[32];
static int exposer_config(void *plugin, const char *name, const char *value, const char **why) {
    (void)plugin;
    if (strcmp(name, "run") == 0) snprintf(run, sizeof run, "%s", value);
    if (strcmp(value, "refuse") != 0) return 0;
    *why = "this value is refused";
    return -EINVAL;
}

static int exposer_start(void *plugin, const struct meshfs_host *host, const char **why) {
    int code = -EINVAL;
    (void)plugin;
    host->log(host, MESHFS_INFO, "exposer starts");
    host->counter(host, "starts", 1);
    snprintf(complaint, sizeof complaint, "no such test: %s", run);
    if (strcmp(run, "namespace") == 0) code = use_namespace(host);
    if (strcmp(run, "publish") == 0) code = use_publish(host);
    if (strcmp(run, "splice") == 0) code = use_splice(host);
    if (strcmp(run, "records") == 0) code = use_records(host);
    if (strcmp(run, "watch") == 0) code = use_watch(host);
    if (code != 0) *why = complaint;
    return code;
}

static void exposer_stop(void *plugin) { free(plugin); }

static const struct meshfs_setting settings[] = {
    {"run", NULL, "which group of calls to use: namespace, publish, splice, records, watch"},
    {NULL, NULL, NULL},
};

const struct meshfs_plugin *meshfs_plugin_entry(void) {
    static const struct meshfs_plugin plugin = {
        .size = sizeof plugin,
        .abi = MESHFS_PLUGIN_ABI,
        .name = "exposer",
        .version = "1",
        .description = "uses every group of the host's calls",
        .settings = settings,
        .create = exposer_create,
        .config = exposer_config,
        .start = exposer_start,
        .stop = exposer_stop,
    };
    return &plugin;
}
