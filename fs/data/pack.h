// Packs: small files together in objects.  The bytes of a segment, made and read; pure functions.
//
// A pack p.<id> is a run of segments, each written by one operation at a known offset: a header, a record a member, then
// the members' bytes.  So whoever reads it from its beginning finds what was stored, before anything that was not.
// To the byte: meshfs-format(5).
#pragma once

#include <string_view>
#include <vector>

#include "fs/base/buffer.h"
#include "fs/base/result.h"
#include "fs/base/types.h"
#include "fs/store/store.h"

namespace meshfs {

inline constexpr uint64_t kPackedMax = 1u << 20;            // bytes of a file in a pack
inline constexpr uint64_t kSegmentMax = kTransferMax;       // all of it
inline constexpr uint64_t kPackMax = 16u << 20;
inline constexpr uint64_t kSegmentFrontMax = 128u << 10;    // header and records: 3,275 members

// A file to be packed.
struct ToPack {
    Ino ino{};
    uint64_t version = 0;  // the content version with which it will be published
    Buffers bytes;         // 1 .. kPackedMax
};

struct PackMember {
    Ino ino{};
    uint64_t version = 0;
    uint32_t offset = 0;  // in the pack
    uint32_t stored = 0;  // bytes there
    uint32_t length = 0;  // of the file: the same, without a codec
    uint32_t crc = 0;     // CRC-32C of what is stored
    bool operator==(const PackMember&) const = default;
};

struct PackSegment {
    uint64_t length = 0;  // where the next one begins, from where this one does
    std::vector<PackMember> members;
};

ObjectName pack_object(Pool pool, BlobId pack);

// What a member of so many bytes takes of a segment; those of one come to at most kSegmentRoom.
uint64_t room_in_segment(uint64_t length);
inline constexpr uint64_t kSegmentRoom = kSegmentMax - 4096;

struct MadeSegment {
    Buffer bytes;
    std::vector<PackMember> members;  // as given
};
// The segment of that number, at `offset` of its pack.
MadeSegment make_segment(BlobId pack, uint32_t number, uint64_t offset, const std::vector<ToPack>& files);

// front: what is there from `offset` of the pack on, up to kSegmentFrontMax bytes.  EIO, with a sentence.
Result<PackSegment> parse_segment(std::string_view front, BlobId pack, uint32_t number, uint64_t offset);

// The member as an extent of its file, and back: is this the extent's?
Extent extent_of(BlobId pack, const PackMember& member);
bool is_of(const PackMember& member, BlobId pack, const Extent& extent);
// Of a whole member.  EIO, which names the object.
Status check_packed(const Extent& extent, const Buffers& bytes);

}  // namespace meshfs
