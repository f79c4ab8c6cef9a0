/* meshfs-plugin.h: what a MeshFS plugin offers, and what its host offers back.     Manual: meshfs-plugin(3)
 *
 * A plugin is one shared object with one exported function, meshfs_plugin_entry().  It links to nothing: all that
 * it may call is in the host's table, which start() receives.
 *
 * Both tables begin with their size and only ever grow at the end: an old plugin runs in a new host and a new
 * one in an old host, each without what the other lacks.  Before calling a member added after ABI 1's first
 * release ask MESHFS_HAS(table, member).  MESHFS_PLUGIN_ABI rises only when older plugins could no longer work.
 *
 * Every call answers 0, a count, or a negative errno.  Nothing is thrown across this border.  Strings are UTF-8 or
 * plain bytes ended by NUL; names of files are any bytes but '/' and NUL.  Times are nanoseconds since 1970.
 * Structs that cross the border are zeroed before they are filled; their `reserved` members stay 0.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MESHFS_PLUGIN_H
#define MESHFS_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MESHFS_PLUGIN_ABI 1

/* Is the member there, and set, in a table of the other side? */
#define MESHFS_HAS(table, member)                                                                     \
    ((table)->size >= offsetof(__typeof__(*(table)), member) + sizeof((table)->member) &&             \
     (table)->member != NULL)

enum meshfs_level { MESHFS_DEBUG = 0, MESHFS_INFO = 1, MESHFS_WARNING = 2, MESHFS_ERROR = 3 };

struct meshfs_attr {
    uint64_t ino;    /* served files: the plugin's own, 1 .. 2^56-1; 1 is the prefix itself */
    uint32_t mode;   /* type and permissions, as st_mode */
    uint32_t links;
    uint32_t uid, gid;
    uint64_t bytes;  /* size of the file */
    uint64_t allocated;
    int64_t atime_ns, mtime_ns, ctime_ns, btime_ns;
    uint64_t rdev;
    uint64_t generation;  /* namespace calls: content version, for publish(); served files: 0 */
    uint64_t valid_ns;    /* served files: how long the kernel may keep this */
    uint64_t reserved[4];
};

/* ---------------------------------------------------------------- serving a prefix ------------- */

/* A request of the kernel.  Answer it exactly once, from any thread, with one of the host's reply calls.  At most 64
 * are with a plugin; one unanswered for 30 s is EIO to its caller, and a later answer is ignored. */
struct meshfs_request;

struct meshfs_caller { uint32_t uid, gid, pid, umask; };

#define MESHFS_SET_MODE 1u
#define MESHFS_SET_UID 2u
#define MESHFS_SET_GID 4u
#define MESHFS_SET_SIZE 8u
#define MESHFS_SET_ATIME 16u
#define MESHFS_SET_MTIME 32u

/* Called on threads of the host's pool for this plugin, many at a time; a call may block (then it holds one of those
 * threads, nobody else's) or keep the request and answer later.  lookup, getattr and readdir are required; what is
 * NULL is ENOSYS.  Pointers given are valid until the request is answered. */
struct meshfs_serve {
    size_t size; /* sizeof(struct meshfs_serve) */
    void (*lookup)(void *plugin, struct meshfs_request *, const struct meshfs_caller *, uint64_t dir,
                   const char *name);                                          /* reply_attr */
    void (*getattr)(void *plugin, struct meshfs_request *, uint64_t ino);      /* reply_attr */
    void (*setattr)(void *plugin, struct meshfs_request *, const struct meshfs_caller *, uint64_t ino,
                    const struct meshfs_attr *, uint32_t set);                 /* reply_attr */
    /* Entries after `cookie` (0: from the start): reply_entry() each until it answers non-zero, then reply_error(0). */
    void (*readdir)(void *plugin, struct meshfs_request *, uint64_t dir, uint64_t cookie);
    void (*create)(void *plugin, struct meshfs_request *, const struct meshfs_caller *, uint64_t dir,
                   const char *name, uint32_t mode, int flags);                /* reply_open */
    void (*open)(void *plugin, struct meshfs_request *, const struct meshfs_caller *, uint64_t ino, int flags);
    void (*read)(void *plugin, struct meshfs_request *, uint64_t ino, uint64_t handle, uint64_t offset,
                 size_t length);                                               /* reply_data; short: the end */
    void (*write)(void *plugin, struct meshfs_request *, uint64_t ino, uint64_t handle, uint64_t offset,
                  const void *bytes, size_t length);                           /* reply_count */
    void (*release)(void *plugin, uint64_t ino, uint64_t handle);              /* no answer */
    void (*mkdir)(void *plugin, struct meshfs_request *, const struct meshfs_caller *, uint64_t dir,
                  const char *name, uint32_t mode);                            /* reply_attr */
    void (*unlink)(void *plugin, struct meshfs_request *, uint64_t dir, const char *name);
    void (*rmdir)(void *plugin, struct meshfs_request *, uint64_t dir, const char *name);
    void (*rename)(void *plugin, struct meshfs_request *, uint64_t dir, const char *name, uint64_t to_dir,
                   const char *to_name, uint32_t flags);
    void (*getxattr)(void *plugin, struct meshfs_request *, uint64_t ino, const char *name); /* reply_data */
    void (*listxattr)(void *plugin, struct meshfs_request *, uint64_t ino);    /* reply_data: names, NUL after each */
    void (*setxattr)(void *plugin, struct meshfs_request *, uint64_t ino, const char *name, const void *value,
                     size_t length, int flags);
    void (*removexattr)(void *plugin, struct meshfs_request *, uint64_t ino, const char *name);
    void (*fsync)(void *plugin, struct meshfs_request *, uint64_t ino, uint64_t handle, int data_only);
    void (*statfs)(void *plugin, struct meshfs_request *);                     /* reply_statfs */
    void (*forget)(void *plugin, uint64_t ino);                                /* no answer */
};

/* ---------------------------------------------------------------- what the host offers ---------- */

struct meshfs_io {
    uint64_t file;      /* of open() or create_nameless() */
    uint64_t offset;
    void *bytes;        /* filled by a read; untouched by the caller until done */
    size_t length;
    int is_write;
    int64_t result;     /* set before done: bytes moved (short read: end of file) or a negative errno */
    uint64_t reserved[2];
};
typedef void (*meshfs_done)(void *argument, struct meshfs_io *ios, size_t count);

struct meshfs_xattr { const char *name; const void *value; size_t length; };

enum meshfs_condition {
    MESHFS_ALWAYS = 0,       /* replaces what is there */
    MESHFS_IF_ABSENT = 1,    /* -EEXIST if the name is taken */
    MESHFS_IF_GENERATION = 2 /* -ECANCELED unless the file there has this generation */
};

struct meshfs_range { uint64_t file, offset, length; };

struct meshfs_entry {
    const char *name;   /* valid until the next call on the listing */
    struct meshfs_attr attr;
};

/* One guard or effect on the plugin's records; no value is empty. */
enum meshfs_record_step { MESHFS_RECORD_IS = 0, MESHFS_RECORD_ABSENT = 1, MESHFS_RECORD_SET = 2, MESHFS_RECORD_REMOVE = 3 };
struct meshfs_record {
    int step;            /* enum meshfs_record_step */
    const void *key; size_t key_length;      /* 1 .. 1,024 bytes */
    const void *value; size_t value_length;  /* IS, SET: 1 .. 131,072 bytes */
};

enum meshfs_event { MESHFS_CREATED = 1, MESHFS_CHANGED = 2, MESHFS_REMOVED = 3, MESHFS_RENAMED = 4 };
/* path: below the prefix, "/a/b".  On a thread of the plugin's pool; must not wait for other events. */
typedef void (*meshfs_watcher)(void *argument, int event, const char *path);
typedef void (*meshfs_mail)(void *argument, const void *message, size_t length);

/* Calls may be made from any thread between start() and the return of stop(), and block unless said otherwise; not
 * from inside meshfs_done.  `host` is the pointer start() received.  Paths are absolute below the prefix ("/" is the prefix);
 * ".." is -EINVAL, and a symlink in the middle is -ELOOP: no path leads out. */
struct meshfs_host {
    size_t size;
    uint32_t abi;
    void *context; /* the host's own */

    /* --- log, metrics, clock: never block */
    void (*log)(const struct meshfs_host *host, int level, const char *message);
    void (*counter)(const struct meshfs_host *host, const char *name, double add);
    void (*gauge)(const struct meshfs_host *host, const char *name, double value);
    void (*histogram)(const struct meshfs_host *host, const char *name, double value);
    int64_t (*now_ns)(const struct meshfs_host *host);  /* CLOCK_REALTIME */
    int64_t (*boot_ns)(const struct meshfs_host *host); /* CLOCK_BOOTTIME */

    /* --- replies of served requests: never block */
    void (*reply_error)(struct meshfs_request *, int error); /* 0: done, else a negative errno */
    void (*reply_attr)(struct meshfs_request *, const struct meshfs_attr *);
    void (*reply_open)(struct meshfs_request *, const struct meshfs_attr *, uint64_t handle);
    void (*reply_data)(struct meshfs_request *, const void *bytes, size_t length); /* copied */
    void (*reply_count)(struct meshfs_request *, size_t count);
    void (*reply_statfs)(struct meshfs_request *, uint64_t bytes_total, uint64_t bytes_free, uint64_t files);
    /* cookie: of the place after this entry, > 0, lasting.  Non-zero: no room for more. */
    int (*reply_entry)(struct meshfs_request *, const char *name, const struct meshfs_attr *, uint64_t cookie);

    /* --- namespace */
    int64_t (*open)(const struct meshfs_host *host, const char *path, int flags, uint32_t mode); /* a file, > 0 */
    int (*close)(const struct meshfs_host *host, uint64_t file); /* the first unreported write error */
    int (*stat)(const struct meshfs_host *host, const char *path, struct meshfs_attr *attr);
    int (*fsync)(const struct meshfs_host *host, uint64_t file);
    int (*truncate)(const struct meshfs_host *host, uint64_t file, uint64_t bytes);
    int (*mkdir)(const struct meshfs_host *host, const char *path, uint32_t mode);
    int (*unlink)(const struct meshfs_host *host, const char *path); /* directories too, if empty */
    int (*rename)(const struct meshfs_host *host, const char *from, const char *to, int no_replace);
    /* Names > start_after in byte order; NULL: from the first.  A listing, > 0. */
    int64_t (*list)(const struct meshfs_host *host, const char *path, const char *start_after);
    int (*list_next)(const struct meshfs_host *host, uint64_t listing, struct meshfs_entry *entry); /* 1, 0: end */
    void (*list_close)(const struct meshfs_host *host, uint64_t listing);
    int64_t (*getxattr)(const struct meshfs_host *host, const char *path, const char *name, void *value, size_t size);
    int (*setxattr)(const struct meshfs_host *host, const char *path, const char *name, const void *value,
                    size_t length);

    /* --- batched bytes: never blocks; `done` is called once, on another thread, and must only hand over.  At most
     * 1,024 ios a call; -EAGAIN: too many under way. */
    int (*submit)(const struct meshfs_host *host, struct meshfs_io *ios, size_t count, meshfs_done done, void *argument);

    /* --- publish: write to a file without a name, then name it, with xattrs, in one step that all mounts see whole.
     * The bytes are stored first.  The file stays open; close() it.  attr: of the new file, may be NULL. */
    int64_t (*create_nameless)(const struct meshfs_host *host, const char *directory, uint32_t mode);
    int (*publish)(const struct meshfs_host *host, uint64_t file, const char *path, const struct meshfs_xattr *xattrs,
                   size_t count, int condition, uint64_t generation, struct meshfs_attr *attr);

    /* --- splice: `file` (open for writing) becomes the ranges, one after the other.  Answers its size. */
    int64_t (*splice)(const struct meshfs_host *host, uint64_t file, const struct meshfs_range *ranges, size_t count);

    /* --- records: a small key-value area of the volume for each [[plugin]] name, seen by all its hosts.  All steps or
     * none, -ECANCELED if a guard fails; durable when it returns. */
    int (*records_apply)(const struct meshfs_host *host, const struct meshfs_record *steps, size_t count);
    /* Answers the value's length (if > size only that many bytes are copied) or -ENOENT. */
    int64_t (*records_get)(const struct meshfs_host *host, const void *key, size_t key_length, void *value, size_t size);
    /* The first key > after (NULL: any) that begins with prefix: 1, or 0 if there is none.  Lengths: in the room, out
     * the length; -ERANGE if one is too short. */
    int (*records_next)(const struct meshfs_host *host, const void *after, size_t after_length, const void *prefix,
                        size_t prefix_length, void *key, size_t *key_length, void *value, size_t *value_length);

    /* --- watch: changes below a path made through this host or another host of this plugin.  Best effort: events may be
     * merged or come twice.  A watch, > 0. */
    int64_t (*watch)(const struct meshfs_host *host, const char *path, meshfs_watcher watcher, void *argument);
    void (*unwatch)(const struct meshfs_host *host, uint64_t watch); /* no call after it returns */
    /* --- mailbox between the hosts of this plugin on one volume: at most 64 KiB a message.  send() answers how many
     * other hosts have it. */
    int (*on_mail)(const struct meshfs_host *host, meshfs_mail mail, void *argument);
    int (*send)(const struct meshfs_host *host, const void *message, size_t length);
};

/* ---------------------------------------------------------------- what a plugin is -------------- */

struct meshfs_setting {
    const char *name;          /* of a key in its [[plugin]] table; the list ends with a NULL name */
    const char *default_value; /* NULL: must be given */
    const char *help;
};

struct meshfs_plugin {
    size_t size;               /* sizeof(struct meshfs_plugin) */
    uint32_t abi;              /* MESHFS_PLUGIN_ABI */
    const char *name;          /* [a-z0-9-], at most 32 bytes */
    const char *version;
    const char *description;   /* one line */
    const struct meshfs_setting *settings; /* NULL: none */
    /* One instance for each [[plugin]] table.  The calls come in this order, on one thread: */
    void *(*create)(void);                                    /* NULL: no memory */
    int (*config)(void *plugin, const char *name, const char *value, const char **why); /* once a setting */
    int (*start)(void *plugin, const struct meshfs_host *host, const char **why);
    void (*stop)(void *plugin);  /* its threads have ended when it returns; also after a failed start */
    const struct meshfs_serve *serve; /* NULL: it exposes, but does not serve */
};

/* The one symbol a module exports. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const struct meshfs_plugin *meshfs_plugin_entry(void);

#ifdef __cplusplus
}
#endif
#endif
