#include "fs/store/local_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <set>

#include "fs/base/crc32c.h"
#include "fs/base/wire.h"

namespace meshfs::local {
namespace {

constexpr const char* kFirstLine = "meshfs-local 1\n";
constexpr const char* kAnyVersion = "meshfs-local ";

Error failed(const std::string& attempt, const std::string& path) { return fail(errno, attempt + " " + path); }

Result<std::string> read_small(const std::string& path) {
    int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(errno);
    char text[256];
    ssize_t got = pread(fd, text, sizeof text, 0);
    int code = errno;
    close(fd);
    if (got < 0) return fail(code, "cannot read " + path);
    return std::string(text, static_cast<size_t>(got));
}

Status write_synced(const std::string& path, const std::string& text) {
    int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return failed("cannot make", path);
    bool good = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
    Status status = good ? Status() : Status(failed("cannot write", path));
    close(fd);
    return status;
}

std::string new_uuid() {
    auto text = read_small("/proc/sys/kernel/random/uuid");
    return text.ok() ? text.value().substr(0, 36) : std::string(36, '0');
}

// ENOTEMPTY if DIR holds what a store, finished or not, does not.
Status refuse_strangers(const std::string& path) {
    static const std::set<std::string> ours{".", "..", "FORMAT", "FORMAT.new", "LOCK", "MARK", "map", "files", "lost+found"};
    DIR* dir = opendir(path.c_str());
    if (dir == nullptr) return failed("cannot read", path);
    std::string stranger;
    while (dirent* entry = readdir(dir))
        if (!ours.contains(entry->d_name)) stranger = entry->d_name;
    closedir(dir);
    if (stranger.empty()) return {};
    return fail(ENOTEMPTY, path + " holds other files (" + stranger + "): give an empty or a new directory");
}

// What is put into a store by hand would be in its way.
Status refuse_inside(const std::string& path) {
    std::error_code error;
    auto parent = std::filesystem::weakly_canonical(path, error);
    while (!error && parent.has_relative_path()) {
        parent = parent.parent_path();
        auto format = read_small(parent / "FORMAT");
        if (format.ok() && format->starts_with(kAnyVersion))
            return fail(EINVAL, path + " lies in the MeshFS store " + parent.string() + "; choose a directory outside of it");
    }
    return {};
}

}  // namespace

Status fsync_directory(const std::string& path) {
    int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return failed("cannot open", path);
    Status status = fsync(fd) == 0 ? Status() : Status(failed("cannot sync", path));
    close(fd);
    return status;
}

Result<std::unique_ptr<Directory>> Directory::open(const std::string& path, bool make) {
    std::unique_ptr<Directory> d(new Directory(path));
    if (make) TRY(refuse_inside(path));
    bool is_made = make && mkdir(path.c_str(), 0700) == 0;
    if (make && !is_made && errno != EEXIST) return failed("cannot make", path);
    auto format = read_small(path + "/FORMAT");
    if (!format.ok() && format.code() != ENOENT) return format.error().in("cannot read " + path + "/FORMAT");
    if (!format.ok() && !make)
        return fail(ENOENT, path + " is not a MeshFS store; `meshfs format " + path + "` makes one");
    if (!format.ok()) TRY(refuse_strangers(path));
    TRY(d->lock());
    if (is_made) {
        auto slash = path.find_last_of('/', path.find_last_not_of('/'));
        TRY(fsync_directory(slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash)));
    }
    // Looked at again under the lock: another process may have made it meanwhile.
    if (access((path + "/FORMAT").c_str(), F_OK) != 0) TRY(d->make());
    TRY(d->read_format());
    d->mark_ = ::open((path + "/MARK").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->mark_ < 0) return failed("cannot open", path + "/MARK");
    return d;
}

Directory::~Directory() {
    for (int fd : {mark_, lock_})
        if (fd >= 0) close(fd);
}

Status Directory::lock() {
    const std::string file = path_ + "/LOCK";
    lock_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock_ < 0) return failed("cannot open", file);
    struct flock whole {};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    if (fcntl(lock_, F_OFD_SETLK, &whole) != 0) {
        if (errno != EAGAIN && errno != EACCES) return failed("cannot lock", file);
        auto pid = read_small(file);
        std::string holder = pid.ok() ? pid.value() : "";
        while (!holder.empty() && (holder.back() < '0' || holder.back() > '9')) holder.pop_back();
        return fail(EBUSY, path_ + " is in use by process " + (holder.empty() ? "?" : holder) +
                               ": an embedded store has one mount at a time");
    }
    std::string pid = std::to_string(getpid()) + "\n";
    if (ftruncate(lock_, 0) != 0 || pwrite(lock_, pid.data(), pid.size(), 0) < 0) return failed("cannot write", file);
    return {};
}

Status Directory::make() {
    TRY(refuse_strangers(path_));
    for (const std::string& folder : {map_path(), files_path()})
        if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return failed("cannot make", folder);
    TRY(write_synced(path_ + "/FORMAT.new", kFirstLine + ("id " + new_uuid()) + "\n"));
    if (rename((path_ + "/FORMAT.new").c_str(), (path_ + "/FORMAT").c_str()) != 0)
        return failed("cannot make", path_ + "/FORMAT");
    return fsync_directory(path_);
}

Status Directory::read_format() {
    std::string text = TRY(read_small(path_ + "/FORMAT"));
    const std::string head = std::string(kFirstLine) + "id ";
    bool is_ours = text.size() == head.size() + 37 && text.starts_with(head) && text.back() == '\n';
    if (!is_ours && text.starts_with(kAnyVersion) && !text.starts_with(kFirstLine))
        return fail(EPROTONOSUPPORT, path_ + " was made by a newer MeshFS (" + text.substr(0, text.find('\n')) +
                                         "): use that version, or a newer one");
    if (!is_ours) return fail(EIO, path_ + "/FORMAT is damaged; it should be \"meshfs-local 1\" and \"id UUID\"");
    uuid_ = text.substr(head.size(), 36);
    return {};
}

Result<uint64_t> Directory::mark() const {
    char bytes[12];
    ssize_t got = pread(mark_, bytes, sizeof bytes, 0);
    if (got == 0) return uint64_t{0};
    Decoder d({bytes, got < 0 ? 0 : static_cast<size_t>(got)});
    uint64_t sequence = d.u64();
    if (d.u32() != crc32c({bytes, 8}) || !d.ok()) return fail(EIO, path_ + "/MARK is damaged");
    return sequence;
}

Status Directory::set_mark(uint64_t sequence) {
    Encoder e;
    e.u64(sequence);
    uint32_t crc = crc32c(e.data());
    e.u32(crc);
    if (pwrite(mark_, e.data().data(), 12, 0) != 12 || fdatasync(mark_) != 0)
        return failed("cannot write", path_ + "/MARK");
    return {};
}

}  // namespace meshfs::local
