// A FUSE file system that does nothing: what the kernel and the way to a process and back cost by themselves.
//
// Names can be made, written to and removed, once each; nothing is remembered, so a look at a name finds none.  The options
// towards the kernel are those of fs/fuse.
#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <cstring>

namespace {

std::atomic<fuse_ino_t> g_last{FUSE_ROOT_ID};

struct stat attributes_of(fuse_ino_t ino, mode_t mode) {
    struct stat of {};
    of.st_ino = ino;
    of.st_mode = mode;
    of.st_nlink = 1;
    return of;
}

fuse_entry_param new_entry(mode_t mode) {
    fuse_entry_param entry{};
    entry.ino = ++g_last;
    entry.attr = attributes_of(entry.ino, mode);
    return entry;
}

}  // namespace

int main(int argc, char** argv) {
    fuse_lowlevel_ops ops{};
    ops.init = [](void*, fuse_conn_info* kernel) {
        kernel->want = kernel->capable & (FUSE_CAP_ASYNC_READ | FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_PARALLEL_DIROPS);
    };
    ops.lookup = [](fuse_req_t request, fuse_ino_t, const char*) { fuse_reply_err(request, ENOENT); };
    ops.getattr = [](fuse_req_t request, fuse_ino_t ino, fuse_file_info*) {
        struct stat of = attributes_of(ino, ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0644);
        fuse_reply_attr(request, &of, ino == FUSE_ROOT_ID ? 3600 : 1);
    };
    ops.mkdir = [](fuse_req_t request, fuse_ino_t, const char*, mode_t mode) {
        fuse_entry_param entry = new_entry(S_IFDIR | mode);
        entry.entry_timeout = entry.attr_timeout = 3600;
        fuse_reply_entry(request, &entry);
    };
    ops.create = [](fuse_req_t request, fuse_ino_t, const char*, mode_t mode, fuse_file_info* file) {
        fuse_entry_param entry = new_entry(S_IFREG | mode);
        fuse_reply_create(request, &entry, file);
    };
    ops.write = [](fuse_req_t request, fuse_ino_t, const char*, size_t size, off_t, fuse_file_info*) {
        fuse_reply_write(request, size);
    };
    ops.flush = [](fuse_req_t request, fuse_ino_t, fuse_file_info*) { fuse_reply_err(request, 0); };
    ops.release = [](fuse_req_t request, fuse_ino_t, fuse_file_info*) { fuse_reply_err(request, 0); };
    ops.unlink = [](fuse_req_t request, fuse_ino_t, const char*) { fuse_reply_err(request, 0); };

    fuse_args arguments = FUSE_ARGS_INIT(argc, argv);
    fuse_cmdline_opts options{};
    if (fuse_parse_cmdline(&arguments, &options) != 0 || options.mountpoint == nullptr) return 2;
    fuse_session* session = fuse_session_new(&arguments, &ops, sizeof ops, nullptr);
    if (session == nullptr || fuse_session_mount(session, options.mountpoint) != 0) return 1;
    fuse_daemonize(options.foreground);
    fuse_loop_config loop{};
    loop.max_idle_threads = 10;
    int ended = fuse_session_loop_mt(session, &loop);
    fuse_session_unmount(session);
    fuse_session_destroy(session);
    return ended == 0 ? 0 : 1;
}
