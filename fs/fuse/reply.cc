#include "fs/fuse/reply.h"

#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/fuse/protocol.h"
#include "fs/fuse/session.h"

namespace meshfs {
namespace {

// 0, or the errno with which the kernel refused: ENOENT if the caller was interrupted and is gone.
int send(const Request& request, int code, const iovec* pieces, int count) {
    if (code == ESHUTDOWN)
        code = EIO;  // what stores say to a client that is dead; of a file no program expects it
    if (code == ENOSYS) code = EOPNOTSUPP;  // of one prefix; the kernel would never ask again, for the whole mount
    FuseSession& session = *request.session;  // the request's memory may go with the answer
    session.end(request, code);
    int refused = 0;
    if (request.handle == nullptr) refused = session.send_raw(request.unique, code, pieces, count);
    else if (code != 0) refused = -fuse_reply_err(request.handle, code);
    else refused = -fuse_reply_iov(request.handle, pieces, count);
    session.answered();
    return refused;
}

template <class T>
int send_struct(const Request& request, const T& answer) {
    iovec piece{const_cast<T*>(&answer), sizeof answer};
    return send(request, 0, &piece, 1);
}

struct Valid {
    uint64_t seconds;
    uint32_t ns;
};
// From when the kernel has it; it was promised from when it was asked for, or later.
constexpr int64_t kPromptNs = 500 * kNsPerMs;

Valid valid_of(const Request& request, int64_t valid_ns) {
    if (valid_ns <= 0) return {0, 0};
    const bool is_promised = (raw(request.ino) & kPluginInoBit) == 0 && request.session->vfs().meta().keep_name_ns() == 0;
    if (is_promised && Clock::system().boot_ns() - request.begun_ns > kPromptNs) return {0, 0};
    int64_t ns = std::clamp<int64_t>(valid_ns, 0, request.session->settings().valid_ns_max);
    return {static_cast<uint64_t>(ns / 1'000'000'000), static_cast<uint32_t>(ns % 1'000'000'000)};
}

bool is_kept(const fuse_entry_out& name) { return name.entry_valid != 0 || name.entry_valid_nsec != 0; }

// Of names that the kernel may keep: whoever stood still while he wrote them takes them back.
template <class Write>
int send_names(const Request& request, bool are_kept, Write write) {
    FuseSession& session = *request.session;
    const int64_t begun_ns = request.begun_ns;  // it may go with the answer
    int refused = write();
    if (are_kept && Clock::system().boot_ns() - begun_ns > 2 * kPromptNs) session.kept_too_late();
    return refused;
}

void fill(const Request& request, const Attributes& from, fuse_attr& to) {
    const Inode& inode = from.inode;
    if (inode.is_file() && (inode.mode & (S_ISUID | S_ISGID)) != 0) request.session->note_privileged(inode.ino);
    to.ino = request.session->nodeid_of(inode.ino);
    to.size = inode.is_symlink() ? inode.map.inline_bytes.size() : inode.map.size;
    to.blocks = from.blocks;
    to.atime = static_cast<uint64_t>(inode.atime.seconds);
    to.atimensec = inode.atime.ns;
    to.mtime = static_cast<uint64_t>(inode.mtime.seconds);
    to.mtimensec = inode.mtime.ns;
    to.ctime = static_cast<uint64_t>(inode.ctime.seconds);
    to.ctimensec = inode.ctime.ns;
    to.mode = inode.mode;
    to.nlink = inode.links;
    to.uid = inode.uid;
    to.gid = inode.gid;
    to.rdev = static_cast<uint32_t>(inode.rdev);
    to.blksize = request.session->settings().block_bytes;
}

void fill(const Request& request, const Attributes& from, fuse_entry_out& to) {
    to.nodeid = request.session->nodeid_of(from.inode.ino);
    to.generation = 0;  // a number is never given out twice
    Valid name = valid_of(request, from.name_valid_ns), attributes = valid_of(request, from.valid_ns);
    to.entry_valid = name.seconds;
    to.entry_valid_nsec = name.ns;
    to.attr_valid = attributes.seconds;
    to.attr_valid_nsec = attributes.ns;
    fill(request, from, to.attr);
}

fuse_open_out open_out(const Request& request, const OpenedFile& file, int asked) {
    fuse_open_out out{};
    out.fh = file.handle;
    auto io = request.session->settings().io;
    bool mapped_later = request.session->features().direct_io_mmap;  // else MAP_SHARED of a direct file fails
    bool direct = file.direct_io || (asked & O_DIRECT) != 0 || io == FuseSettings::Io::direct;
    if (io == FuseSettings::Io::cached || !mapped_later) direct = io == FuseSettings::Io::direct;
    if (direct) out.open_flags |= protocol::kOpenDirectIo | protocol::kOpenParallelDirectWrites;
    if (file.keep_cache) out.open_flags |= protocol::kOpenKeepCache;
    if (file.no_flush) out.open_flags |= protocol::kOpenNoFlush;
    return out;
}

protocol::StatxTime statx_time(const Time& time) { return {time.seconds, time.ns, 0}; }

constexpr size_t padded(size_t bytes) { return (bytes + 7) & ~size_t{7}; }

void append(std::string& to, const void* bytes, size_t size) { to.append(static_cast<const char*>(bytes), size); }

}  // namespace

void reply_error(const Request& request, const Error& error) {
    if (!error.detail().empty())
        log_warning(error.text(), {{"operation", name_of(request.op)}, {"ino", raw(request.ino)}});
    send(request, error.code(), nullptr, 0);
}

void reply_ok(const Request& request) { send(request, 0, nullptr, 0); }

void reply_bytes(const Request& request, std::string_view bytes) {
    iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
    send(request, 0, &piece, 1);
}

void reply_pieces(const Request& request, const Buffers& pieces) {
    // libfuse puts the header in front: one message, so at most IOV_MAX pieces in all.
    constexpr size_t kPiecesMax = 1000;
    if (pieces.size() > kPiecesMax) return reply_bytes(request, join(pieces));
    std::vector<iovec> list;
    list.reserve(pieces.size());
    for (const Buffer& piece : pieces)
        if (!piece.empty()) list.push_back({const_cast<char*>(piece.data()), piece.size()});
    send(request, 0, list.data(), static_cast<int>(list.size()));
}

void reply_entry(const Request& request, const Attributes& attributes) {
    fuse_entry_out out{};
    fill(request, attributes, out);
    FuseSession& session = *request.session;
    if (send_names(request, is_kept(out), [&] { return send_struct(request, out); }) != 0) session.vfs().forget(attributes.inode.ino, 1);
}

void reply_no_entry(const Request& request, int64_t valid_ns) {
    if (valid_ns <= 0) return reply_error(request, fail(ENOENT));
    fuse_entry_out out{};
    Valid valid = valid_of(request, valid_ns);
    out.entry_valid = valid.seconds;
    out.entry_valid_nsec = valid.ns;
    send_struct(request, out);
}

void reply_attributes(const Request& request, const Attributes& attributes) {
    fuse_attr_out out{};
    Valid valid = valid_of(request, attributes.valid_ns);
    out.attr_valid = valid.seconds;
    out.attr_valid_nsec = valid.ns;
    fill(request, attributes, out.attr);
    send_struct(request, out);
}

void reply_statx(const Request& request, const Attributes& attributes, uint32_t mask) {
    (void)mask;  // all that is known is told
    fuse_attr attr{};
    fill(request, attributes, attr);
    const Inode& inode = attributes.inode;
    protocol::StatxOut out{};
    Valid valid = valid_of(request, attributes.valid_ns);
    out.attr_valid = valid.seconds;
    out.attr_valid_nsec = valid.ns;
    out.mask = STATX_BASIC_STATS | STATX_BTIME;
    out.blksize = attr.blksize;
    if (inode.flags & kImmutable) out.attributes |= STATX_ATTR_IMMUTABLE;
    if (inode.flags & kAppendOnly) out.attributes |= STATX_ATTR_APPEND;
    if (inode.flags & kNoDump) out.attributes |= STATX_ATTR_NODUMP;
    out.attributes_mask = STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND | STATX_ATTR_NODUMP;
    out.nlink = attr.nlink;
    out.uid = attr.uid;
    out.gid = attr.gid;
    out.mode = static_cast<uint16_t>(attr.mode);
    out.ino = attr.ino;
    out.size = attr.size;
    out.blocks = attr.blocks;
    out.atime = statx_time(inode.atime);
    out.btime = statx_time(inode.btime);
    out.ctime = statx_time(inode.ctime);
    out.mtime = statx_time(inode.mtime);
    out.rdev_major = major(inode.rdev);
    out.rdev_minor = minor(inode.rdev);
    send_struct(request, out);
}

void reply_open(const Request& request, const OpenedFile& file, int asked) {
    FuseSession& session = *request.session;
    if (send_struct(request, open_out(request, file, asked)) != 0) session.vfs().release(file.handle, false);
}

void reply_create(const Request& request, const OpenedFile& file, int asked) {
    struct {
        fuse_entry_out entry;
        fuse_open_out open;
    } out{};
    fill(request, file.attributes, out.entry);
    out.open = open_out(request, file, asked);
    FuseSession& session = *request.session;
    if (send_names(request, is_kept(out.entry), [&] { return send_struct(request, out); }) == 0) return;
    session.vfs().release(file.handle, false);
    session.vfs().forget(file.attributes.inode.ino, 1);
}

void reply_opendir(const Request& request, uint64_t handle) {
    fuse_open_out out{};
    out.fh = handle;
    FuseSession& session = *request.session;
    if (send_struct(request, out) != 0) session.vfs().releasedir(handle);
}

void reply_written(const Request& request, uint64_t bytes) {
    fuse_write_out out{};
    out.size = static_cast<uint32_t>(bytes);
    send_struct(request, out);
}

void reply_statfs(const Request& request, const struct statvfs& numbers) {
    fuse_statfs_out out{};
    out.st.bsize = static_cast<uint32_t>(numbers.f_bsize);
    out.st.frsize = static_cast<uint32_t>(numbers.f_frsize);
    out.st.blocks = numbers.f_blocks;
    out.st.bfree = numbers.f_bfree;
    out.st.bavail = numbers.f_bavail;
    out.st.files = numbers.f_files;
    out.st.ffree = numbers.f_ffree;
    out.st.namelen = static_cast<uint32_t>(numbers.f_namemax);
    send_struct(request, out);
}

void reply_lock(const Request& request, const Vfs::LockRequest& lock) {
    fuse_lk_out out{};
    out.lk.type = static_cast<uint32_t>(lock.type);
    out.lk.start = lock.first;
    out.lk.end = std::min<uint64_t>(lock.last, INT64_MAX);
    out.lk.pid = lock.pid;
    send_struct(request, out);
}

void reply_offset(const Request& request, uint64_t offset) {
    fuse_lseek_out out{};
    out.offset = offset;
    send_struct(request, out);
}

void reply_ioctl(const Request& request, std::string_view bytes) {
    fuse_ioctl_out out{};
    iovec pieces[2] = {{&out, sizeof out}, {const_cast<char*>(bytes.data()), bytes.size()}};
    send(request, 0, pieces, bytes.empty() ? 1 : 2);
}

void reply_xattr(const Request& request, std::string_view bytes, size_t size) {
    if (size > 0 && bytes.size() > size) return reply_error(request, fail(ERANGE));
    if (size > 0) return reply_bytes(request, bytes);
    fuse_getxattr_out out{};
    out.size = static_cast<uint32_t>(bytes.size());
    send_struct(request, out);
}

void reply_listing(const Request& request, std::vector<Vfs::Listed> entries, size_t bytes_max, bool plus) {
    FuseSession& session = *request.session;
    std::string out;
    std::vector<Ino> counted;
    bool are_kept = false;
    size_t sent = 0;
    for (; sent < entries.size(); ++sent) {
        const Vfs::Listed& entry = entries[sent];
        size_t size = padded((plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET) + entry.name.size());
        if (out.size() + size > bytes_max) break;
        bool is_dot = entry.name == "." || entry.name == "..";
        if (plus) {
            fuse_entry_out found{};
            if (entry.attributes && !is_dot) {
                fill(request, *entry.attributes, found);
                counted.push_back(entry.ino);
                are_kept |= is_kept(found);
            }
            append(out, &found, sizeof found);
        }
        fuse_dirent head{};
        head.ino = session.nodeid_of(entry.ino);
        head.off = entry.cookie;
        head.namelen = static_cast<uint32_t>(entry.name.size());
        head.type = (entry.type & S_IFMT) >> 12;
        append(out, &head, FUSE_NAME_OFFSET);
        out += entry.name;
        out.resize(padded(out.size()));
    }
    for (size_t i = sent; i < entries.size(); ++i) {
        const Vfs::Listed& entry = entries[i];
        if (plus && entry.attributes && entry.name != "." && entry.name != "..") session.vfs().forget(entry.ino, 1);
    }
    if (sent == 0 && !entries.empty()) return reply_error(request, fail(EINVAL));  // no room for one
    iovec piece{out.data(), out.size()};
    if (send_names(request, are_kept, [&] { return send(request, 0, &piece, 1); }) != 0)
        for (Ino ino : counted) session.vfs().forget(ino, 1);
}

}  // namespace meshfs
