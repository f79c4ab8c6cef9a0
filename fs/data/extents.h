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

// Takes away what lies at `size` and beyond; returns it.  What is cut keeps its front and is closed: nothing
// may be written beyond its end in this blob again, since the objects there will be deleted some time.  What
// begins in an object that is still mapped is marked as a tail.
Extents cut_extents(Extents& extents, uint64_t size, uint32_t object_bytes);

// Maps `range` to `blob`, where no extent is; neighbours of the same blob become one, over the gap between.
void add_own(Extents& extents, ByteRange range, BlobId blob);

// EIO: overlaps, zero lengths, ends beyond 2^63-1, or kinds this version does not know.
bool are_valid(const Extents& extents);

}  // namespace meshfs
