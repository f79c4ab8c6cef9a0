// File offsets and objects of an own blob: arithmetic only.
#pragma once

#include <vector>

#include "fs/base/types.h"
#include "fs/store/store.h"

namespace meshfs {

struct Piece {
    uint64_t object = 0;     // index within the blob
    uint64_t in_object = 0;  // offset within the object
    ByteRange range;         // of the file
};

// Where the bytes of a range lie: one piece an object, in file order.
// range: within 0 .. 2^63-1; an empty one has no pieces.  Any thread, no errors.
// With 4 MiB objects, 10 bytes at 4194300 are the last 4 of object 0 and the first 6 of object 1.
std::vector<Piece> pieces_of(const Layout& layout, ByteRange range);

// b.<blob>.<index>, hex, in the layout's pool.
ObjectName blob_object(const Layout& layout, BlobId blob, uint64_t index);

// EIO: a layout no MeshFS writes.
Status check_layout(const Layout& layout);

}  // namespace meshfs
