// Answers to the kernel: what an operation found, as the protocol has it, or why not.
//
// Each ends its request and may be called on any thread.  An error with a detail is logged here, once.
#pragma once

#include <string_view>
#include <vector>

#include "fs/base/buffer.h"
#include "fs/fuse/request.h"
#include "fs/vfs/vfs.h"

namespace meshfs {

void reply_error(const Request& request, const Error& error);
void reply_ok(const Request& request);
inline void reply_status(const Request& request, const Status& status) {
    status.ok() ? reply_ok(request) : reply_error(request, status.error());
}
void reply_bytes(const Request& request, std::string_view bytes);
void reply_pieces(const Request& request, const Buffers& pieces);
// A name was found or made; the kernel counts it, and if it no longer waits the count is taken back.
void reply_entry(const Request& request, const Attributes& attributes);
void reply_no_entry(const Request& request, int64_t valid_ns);  // ENOENT that may be remembered
void reply_attributes(const Request& request, const Attributes& attributes);
void reply_statx(const Request& request, const Attributes& attributes, uint32_t mask);
// asked: the flags of open(2).  If the kernel no longer waits the handle is released.
void reply_open(const Request& request, const OpenedFile& file, int asked);
void reply_create(const Request& request, const OpenedFile& file, int asked);
void reply_opendir(const Request& request, uint64_t handle);
void reply_written(const Request& request, uint64_t bytes);
void reply_statfs(const Request& request, const struct statvfs& numbers);
void reply_lock(const Request& request, const Vfs::LockRequest& lock);
void reply_offset(const Request& request, uint64_t offset);
void reply_ioctl(const Request& request, std::string_view bytes);
// getxattr and listxattr: size 0 asks how long it is; ERANGE if it does not fit.
void reply_xattr(const Request& request, std::string_view bytes, size_t size);

// As many as fit in `bytes_max`; ".", ".." and what is not sent are not counted by the kernel.
void reply_listing(const Request& request, std::vector<Vfs::Listed> entries, size_t bytes_max, bool plus);

}  // namespace meshfs
