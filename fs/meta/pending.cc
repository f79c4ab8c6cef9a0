// Reach of blobs is not recorded yet: what a mount wrote and did not publish before it died, no gc finds.
#include <cassert>

#include "fs/meta/core.h"

namespace meshfs {

BlobId Meta::next_blob() {
    uint32_t number = ++core_->blobs;
    assert(number != 0);  // a blob id that comes twice would mix two files; a session has 2^32 - 1
    return BlobId{static_cast<uint64_t>(raw(session())) << 32 | number};
}
Status Meta::record_reach(BlobId, Ino, uint64_t) { return {}; }
Status Meta::forget_reach(BlobId) { return {}; }

}  // namespace meshfs
