// The directory under which a volume shall be shown: that it is there, free, and not a dead mount.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <filesystem>

#include "fs/fuse/mount_point.h"
#include "tools/mount.h"

namespace meshfs {
namespace {

bool detach(const std::string& directory) {
    if (geteuid() == 0) return umount2(directory.c_str(), MNT_DETACH) == 0;
    pid_t child = fork();
    if (child == 0) {
        execlp("fusermount3", "fusermount3", "-u", "-z", "-q", directory.c_str(), nullptr);
        _exit(127);
    }
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

// Without asking the file system at its end: it may be dead, or be waiting for us.
std::string absolute_path(const std::string& directory) {
    std::error_code ignored;
    auto path = std::filesystem::absolute(directory, ignored).lexically_normal();
    auto parent = std::filesystem::weakly_canonical(path.parent_path(), ignored);
    std::string name = path.filename().string();
    if (name.empty()) return std::filesystem::weakly_canonical(path, ignored).string();
    return (parent / name).string();
}

bool is_empty_directory(const std::string& directory) {
    std::error_code error;
    return std::filesystem::is_empty(directory, error) || error;
}

// EBUSY: a living mount is there.  Dead ones go: one mount may hide another, but more than a few are somebody's mistake,
// not ours to clear.
Status clear_of_mounts(const std::string& path) {
    constexpr int kDeadMax = 8;
    for (int i = 0; i < kDeadMax; ++i) {
        auto there = mount_point_at(path);
        if (!there) break;
        struct statfs answer {};  // always asks the daemon; stat() may be answered from the kernel's memory
        if (statfs(path.c_str(), &answer) != 0 && (errno == ENOTCONN || errno == ECONNABORTED)) {
            if (!detach(path)) return fail(errno, "cannot detach the dead mount at " + path + "; try umount -l " + path);
            continue;
        }
        return fail(EBUSY, there->source + " is already mounted at " + path + "; umount it first");
    }
    return {};
}

}  // namespace

Result<std::string> prepare_mount_directory(const std::string& directory, bool nonempty) {
    std::string without_slash = directory;
    while (without_slash.size() > 1 && without_slash.back() == '/') without_slash.pop_back();
    std::string path = absolute_path(without_slash);
    // A link is where it leads to.
    std::error_code ignored;
    for (int links = 0; links < 8 && !mount_point_at(path) && std::filesystem::is_symlink(path, ignored); ++links) {
        auto target = std::filesystem::read_symlink(path, ignored);
        path = absolute_path((std::filesystem::path(path).parent_path() / target).string());
    }
    TRY(clear_of_mounts(path));
    char resolved[PATH_MAX];
    if (realpath(without_slash.c_str(), resolved) == nullptr) {
        std::string remedy = errno == ENOENT ? "; make it: mkdir -p " + path : "";
        return fail(errno, "cannot use " + directory + " as mount point" + remedy);
    }
    struct stat found {};
    if (stat(resolved, &found) != 0) return fail(errno, "cannot use " + directory + " as mount point");
    if (!S_ISDIR(found.st_mode)) return fail(ENOTDIR, "cannot mount at " + directory + ": it is no directory");
    if (!nonempty && !is_empty_directory(resolved))
        return fail(ENOTEMPTY, "will not hide the files in " + directory + "; choose an empty directory, or -o nonempty");
    return std::string(resolved);
}

}  // namespace meshfs
