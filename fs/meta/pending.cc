// Operations over several objects, sessions and locks: not written yet, and said so.
#include <cassert>

#include "fs/meta/core.h"

namespace meshfs {

namespace {
Error not_yet(const char* what) { return fail(EOPNOTSUPP, std::string(what) + " is not implemented yet"); }
}  // namespace

Result<Meta::GcReport> Meta::collect(std::function<void(uint64_t)>) { return not_yet("gc"); }
BlobId Meta::next_blob() {
    uint32_t number = ++core_->blobs;
    assert(number != 0);  // a blob id that comes twice would mix two files; a session has 2^32 - 1
    return BlobId{static_cast<uint64_t>(raw(session())) << 32 | number};
}
Status Meta::record_reach(BlobId, Ino, uint64_t) { return {}; }
Status Meta::forget_reach(BlobId) { return {}; }

}  // namespace meshfs
