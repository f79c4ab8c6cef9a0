#include "fs/data/layout.h"

#include <algorithm>
#include <bit>

#include "fs/base/wire.h"

namespace meshfs {

std::vector<Piece> pieces_of(const Layout& layout, ByteRange range) {
    std::vector<Piece> pieces;
    for (uint64_t at = range.offset; at < range.end();) {
        Piece piece;
        piece.object = at / layout.object_bytes;
        piece.in_object = at % layout.object_bytes;
        piece.range = {at, std::min<uint64_t>(layout.object_bytes - piece.in_object, range.end() - at)};
        at = piece.range.end();
        pieces.push_back(piece);
    }
    return pieces;
}

ObjectName blob_object(const Layout& layout, BlobId blob, uint64_t index) {
    return {layout.pool, "b." + hex(raw(blob)) + "." + hex(index)};
}

Status check_layout(const Layout& layout) {
    if (!std::has_single_bit(layout.object_bytes) || layout.object_bytes < (64u << 10) ||
        layout.object_bytes > kObjectMax)
        return fail(EIO, "layout has objects of " + std::to_string(layout.object_bytes) + " bytes");
    return {};
}

}  // namespace meshfs
