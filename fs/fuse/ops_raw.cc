// Requests that libfuse 3.14 drops or knows only in part, from their bytes: STATX (birth time), TMPFILE, SYNCFS, and
// SETXATTR with its extended header.  The kernel is trusted to send what its protocol says, but lengths are checked.
#include <cstring>

#include "fs/fuse/ops_shared.h"
#include "fs/fuse/protocol.h"

namespace meshfs {
namespace {

Caller caller_of(const fuse_in_header& header) {
    Caller caller;
    caller.uid = header.uid;
    caller.gid = header.gid;
    caller.pid = header.pid;
    caller.request_id = header.unique & ~(uint64_t{1} << 63);
    return caller;
}

// The fixed part after the header, or nothing if the request is too short.
template <class T>
bool take(std::string_view& rest, T& part) {
    if (rest.size() < sizeof part) return false;
    std::memcpy(&part, rest.data(), sizeof part);
    rest.remove_prefix(sizeof part);
    return true;
}

// A name that ends with a zero byte.
bool take_name(std::string_view& rest, std::string& name) {
    size_t end = rest.find('\0');
    if (end == std::string_view::npos) return false;
    name = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    return true;
}

void on_statx(FuseSession& session, const fuse_in_header& header, std::string_view rest) {
    Request request = session.begin_raw(Op::statx, header.unique, header.nodeid);
    protocol::StatxIn in{};
    if (!take(rest, in)) return reply_error(request, fail(EINVAL));
    uint64_t handle = in.getattr_flags & FUSE_GETATTR_FH ? in.handle : 0;
    carry_out(request, caller_of(header), [handle, mask = in.sx_mask](Vfs& vfs, const Request& request, const Caller& caller) {
        auto found = vfs.getattr(caller, request.ino, handle);
        found.ok() ? reply_statx(request, *found, mask) : reply_error(request, found.error());
    });
}

void on_tmpfile(FuseSession& session, const fuse_in_header& header, std::string_view rest) {
    Request request = session.begin_raw(Op::tmpfile, header.unique, header.nodeid);
    fuse_create_in in{};
    if (!take(rest, in)) return reply_error(request, fail(EINVAL));
    Caller caller = caller_of(header);
    caller.umask = in.umask;
    carry_out(request, caller, [in](Vfs& vfs, const Request& request, const Caller& caller) {
        auto opened = vfs.tmpfile(caller, request.ino, in.mode, static_cast<int>(in.flags));
        opened.ok() ? reply_create(request, *opened, static_cast<int>(in.flags))
                    : reply_error(request, opened.error());
    });
}

void on_syncfs(FuseSession& session, const fuse_in_header& header) {
    Request request = session.begin_raw(Op::syncfs, header.unique, header.nodeid);
    carry_out(request, caller_of(header),
              [](Vfs& vfs, const Request& request, const Caller&) { reply_status(request, vfs.syncfs()); });
}

void on_setxattr(FuseSession& session, const fuse_in_header& header, std::string_view rest) {
    Request request = session.begin_raw(Op::setxattr, header.unique, header.nodeid);
    protocol::SetxattrIn in{};
    std::string name;
    if (!take(rest, in) || !take_name(rest, name) || rest.size() < in.size)
        return reply_error(request, fail(EINVAL));
    auto work = [name = std::move(name), value = std::string(rest.substr(0, in.size)), in](
                    Vfs& vfs, const Request& request, const Caller& caller) {
        bool kill_sgid = (in.setxattr_flags & protocol::kSetxattrAclKillSgid) != 0;
        reply_status(request, vfs.setxattr(caller, request.ino, name, value, static_cast<int>(in.flags), kill_sgid));
    };
    carry_out(request, caller_of(header), std::move(work));
}

}  // namespace

bool handle_raw(FuseSession& session, const char* bytes, size_t size) {
    std::string_view rest(bytes, size);
    fuse_in_header header{};
    if (!take(rest, header)) return false;
    switch (header.opcode) {
        case protocol::kOpStatx: on_statx(session, header, rest); return true;
        case protocol::kOpTmpfile: on_tmpfile(session, header, rest); return true;
        case protocol::kOpSyncfs: on_syncfs(session, header); return true;
        case FUSE_SETXATTR:
            if (!session.features().setxattr_ext) return false;
            on_setxattr(session, header, rest);
            return true;
        default: return false;
    }
}

}  // namespace meshfs
