// What every operation begins with; only for ops*.cc.
#pragma once

#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>

#include <string>
#include <utility>

#include "fs/fuse/ops.h"
#include "fs/fuse/reply.h"
#include "fs/fuse/session.h"

namespace meshfs {

inline FuseSession& session_of(fuse_req_t req) { return *static_cast<FuseSession*>(fuse_req_userdata(req)); }

inline Caller caller_of(fuse_req_t req) {
    const fuse_ctx* context = fuse_req_ctx(req);
    Caller caller;
    caller.uid = context->uid;
    caller.gid = context->gid;
    caller.pid = static_cast<uint32_t>(context->pid);
    caller.umask = context->umask;
    caller.request_id = incoming().unique & ~(uint64_t{1} << 63);  // the top bit marks a request sent again
    return caller;
}

// Runs `work(vfs, request, caller)` where it may wait; it must answer the request.  Of a name that a plugin may serve it
// is the name that tells where.
template <class Work>
void carry_out(const Request& request, const Caller& caller, Work work, std::string_view name = {}) {
    auto task = [request, caller, work = std::move(work)]() mutable {
        Vfs& vfs = request.session->vfs();
        vfs.wait_while_away();
        work(vfs, request, caller);
    };
    request.session->run(request.ino, std::move(task), name);
}
template <class Work>
void carry_out(fuse_req_t req, Op op, uint64_t nodeid, Work work, std::string_view name = {}) {
    carry_out(session_of(req).begin(req, op, nodeid), caller_of(req), std::move(work), name);
}

inline void reply_entry(const Request& request, const Result<Attributes>& found) {
    found.ok() ? reply_entry(request, *found) : reply_error(request, found.error());
}
inline void reply_attributes(const Request& request, const Result<Attributes>& found) {
    found.ok() ? reply_attributes(request, *found) : reply_error(request, found.error());
}

}  // namespace meshfs
