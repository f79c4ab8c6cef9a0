#include "fs/data/extents.h"

#include <algorithm>

#include "fs/data/pack.h"

namespace meshfs {
namespace {

Extent part_of(const Extent& extent, ByteRange range) {
    Extent part = extent;
    part.blob_offset += range.offset - extent.offset;
    part.offset = range.offset;
    part.length = range.length;
    return part;
}

// `after`, of the same blob, goes on in `before`.
void join(Extent& before, const Extent& after) {
    before.flags = after.flags & static_cast<uint8_t>(before.flags | ~Extent::whole);
    before.length = after.end() - before.offset;
}

}  // namespace

std::vector<Mapped> map_range(const Extents& extents, ByteRange range) {
    std::vector<Mapped> parts;
    uint64_t at = range.offset;
    auto first = std::partition_point(extents.begin(), extents.end(),
                                      [&](const Extent& e) { return e.end() <= range.offset; });
    for (auto e = first; e != extents.end() && e->offset < range.end(); ++e) {
        if (e->offset > at) parts.push_back({{at, e->offset - at}, std::nullopt});
        at = std::max(at, e->offset);
        uint64_t end = std::min(e->end(), range.end());
        parts.push_back({{at, end - at}, *e});
        at = end;
    }
    if (at < range.end()) parts.push_back({{at, range.end() - at}, std::nullopt});
    return parts;
}

Extents cut_extents(Extents& extents, uint64_t size, uint32_t object_bytes) {
    Extents gone;
    while (!extents.empty() && extents.back().end() > size) {
        Extent last = extents.back();
        extents.pop_back();
        if (last.offset >= size) {
            gone.push_back(last);
            continue;
        }
        gone.push_back(part_of(last, {size, last.end() - size}));
        extents.push_back(part_of(last, {last.offset, size - last.offset}));
        break;
    }
    std::reverse(gone.begin(), gone.end());
    for (Extent& g : gone) {
        for (Extent& kept : extents) {
            if (kept.blob != g.blob) continue;
            kept.flags |= Extent::closed;
            if ((kept.end() - 1) / object_bytes == g.offset / object_bytes) g.flags |= Extent::tail;
        }
    }
    return gone;
}

void add_own(Extents& extents, ByteRange range, BlobId blob) {
    auto after = std::partition_point(extents.begin(), extents.end(),
                                      [&](const Extent& e) { return e.offset < range.offset; });
    Extent added{.offset = range.offset, .length = range.length, .blob_offset = range.offset, .blob = blob, .flags = Extent::whole};
    auto joins = [&](const Extent& e) { return e.kind == Extent::Kind::own && e.blob == blob; };
    bool joins_before = after != extents.begin() && joins(*(after - 1)) && (after - 1)->end() == range.offset;
    bool joins_after = after != extents.end() && joins(*after) && after->offset == range.end();
    if (joins_before && joins_after) {
        join(*(after - 1), *after);
        extents.erase(after);
    } else if (joins_before) {
        Extent& before = *(after - 1);
        before.length = range.end() - before.offset;
    } else if (joins_after) {
        after->length = after->end() - range.offset;
        after->offset = after->blob_offset = range.offset;
    } else {
        extents.insert(after, added);
    }
}

void join_over_holes(Extents& extents, BlobId blob, const std::vector<ByteRange>& busy, uint32_t object_bytes) {
    Extents joined;
    auto is_busy = [&](uint64_t from, uint64_t to) {
        auto first = std::partition_point(busy.begin(), busy.end(),
                                          [&](const ByteRange& b) { return b.end() <= from; });
        return first != busy.end() && first->offset < to;
    };
    for (const Extent& e : extents) {
        Extent* before = joined.empty() ? nullptr : &joined.back();
        bool joins = before != nullptr && before->kind == Extent::Kind::own && e.kind == Extent::Kind::own &&
                     before->blob == blob && e.blob == blob && !is_busy(before->end(), e.offset);
        if (!joins) {
            joined.push_back(e);
            continue;
        }
        const bool is_object_between = e.offset / object_bytes - (before->end() - 1) / object_bytes > 1;
        join(*before, e);
        if (is_object_between) before->flags &= static_cast<uint8_t>(~Extent::whole);
    }
    extents = std::move(joined);
}

bool has_whole(const Extents& extents, ByteRange range) {
    auto parts = map_range(extents, range);
    return std::any_of(parts.begin(), parts.end(),
                       [](const Mapped& part) { return part.extent && (part.extent->flags & Extent::whole) != 0; });
}

Extents extents_below(const Extents& extents, uint64_t size) {
    Extents below;
    for (const Extent& e : extents) {
        if (e.offset >= size) break;
        below.push_back(part_of(e, {e.offset, std::min(e.length, size - e.offset)}));
    }
    return below;
}

BlobId open_end(const Extents& extents) {
    if (extents.empty() || (extents.back().flags & Extent::closed) != 0) return {};
    return extents.back().blob;
}

const Extent* packed_extent(const Extents& extents) {
    bool is_packed = !extents.empty() && extents.front().kind == Extent::Kind::packed;
    return is_packed ? &extents.front() : nullptr;
}

bool are_valid(const Extents& extents) {
    uint64_t at = 0;
    for (const Extent& e : extents) {
        if (e.offset < at || e.length == 0 || e.offset > kFileSizeMax || e.length > kFileSizeMax - e.offset)
            return false;
        bool is_own = e.kind == Extent::Kind::own && e.blob_offset == e.offset;
        bool is_packed = e.kind == Extent::Kind::packed && e.offset == 0 && (e.flags & Extent::closed) != 0 &&
                         e.length <= kPackedMax && e.blob_offset <= kPackMax - e.length;
        if (!is_own && !is_packed) return false;
        at = e.end();
    }
    return true;
}

}  // namespace meshfs
