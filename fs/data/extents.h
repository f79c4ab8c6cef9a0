// Lists of extents: sorted, not overlapping, a gap is a hole.  Pure functions.
#pragma once

#include <optional>
#include <vector>

#include "fs/base/types.h"

namespace meshfs {

using Extents = std::vector<Extent>;

// A part of a range, and the extent it lies in; none: a hole.
struct Mapped {
    ByteRange range;
    std::optional<Extent> extent;
};
// The range cut at the borders of extents and holes, in order.
std::vector<Mapped> map_range(const Extents& extents, ByteRange range);

// Takes away what lies at `size` and beyond; returns it.  A blob of which something goes is closed where it is still
// mapped: nothing more may be mapped in it, since the objects there will be deleted some time.  What begins in an
// object that is still mapped is marked as a tail.
Extents cut_extents(Extents& extents, uint64_t size, uint32_t object_bytes);

// Maps `range` to `blob`, where no extent is and every byte is stored: it is `whole`.  Neighbours of the same blob that
// touch it become one with it, which is whole if all of them are.
void add_own(Extents& extents, ByteRange range, BlobId blob);

// Extents of `blob` become one with what lies between them, which then are holes of the blob: where no one has ever
// written.  Not over gaps that hold a byte of `busy`, sorted.  Where an object lies in a hole they are not `whole` any more.
void join_over_holes(Extents& extents, BlobId blob, const std::vector<ByteRange>& busy, uint32_t object_bytes);

// Lies a part of the range in extents of which no object may be missing?
bool has_whole(const Extents& extents, ByteRange range);

// The part of the list below `size`.
Extents extents_below(const Extents& extents, uint64_t size);

// The blob that may be mapped beyond the last extent: its own, unless it is closed; 0: none.
BlobId open_end(const Extents& extents);

// Bytes of a pack, if there are some, are the first of a file, and a member as it was packed: null, or that extent.
const Extent* packed_extent(const Extents& extents);

// EIO: overlaps, zero lengths, ends beyond 2^63-1, or kinds this version does not know.
bool are_valid(const Extents& extents);

}  // namespace meshfs
