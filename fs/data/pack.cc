#include "fs/data/pack.h"

#include <cstring>

#include "fs/base/crc32c.h"
#include "fs/base/wire.h"

namespace meshfs {
namespace {

constexpr std::string_view kMagic = "MSEG";
constexpr uint16_t kFormat = 1;
constexpr uint64_t kHeaderBytes = 40, kRecordBytes = 40, kCheckedBytes = 36;
constexpr uint64_t kMemberAlign = 8, kSegmentAlign = 4096;

uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

void put_record(Encoder& e, const PackMember& m) {
    e.u64(raw(m.ino)).u64(m.version).u32(m.offset).u32(m.stored).u32(m.length).u32(m.crc);
    e.u8(0).bytes(std::string_view("\0\0\0\0\0\0\0", 7));  // no codec
}

Error damaged_segment(BlobId pack, uint64_t offset, const std::string& why) {
    return fail(EIO, "object p." + hex(raw(pack)) + ", segment at " + std::to_string(offset) + ": " + why);
}

}  // namespace

ObjectName pack_object(Pool pool, BlobId pack) { return {pool, "p." + hex(raw(pack))}; }

uint64_t room_in_segment(uint64_t length) { return kRecordBytes + round_up(length, kMemberAlign); }

MadeSegment make_segment(BlobId pack, uint32_t number, uint64_t offset, const std::vector<ToPack>& files) {
    const uint64_t front = kHeaderBytes + kRecordBytes * files.size();
    uint64_t end = front;
    for (const ToPack& file : files) end += round_up(size_of(file.bytes), kMemberAlign);
    MadeSegment made;
    made.bytes = Buffer::allocate(round_up(end, kSegmentAlign));
    char* const out = made.bytes.data();
    Encoder records;
    uint64_t at = front;
    for (const ToPack& file : files) {
        const uint64_t length = size_of(file.bytes), next = at + round_up(length, kMemberAlign);
        PackMember member{.ino = file.ino, .version = file.version, .offset = static_cast<uint32_t>(offset + at)};
        member.stored = member.length = static_cast<uint32_t>(length);
        for (const Buffer& piece : file.bytes) {
            std::memcpy(out + at, piece.data(), piece.size());
            member.crc = crc32c(piece.view(), member.crc);
            at += piece.size();
        }
        std::memset(out + at, 0, next - at);
        at = next;
        put_record(records, member);
        made.members.push_back(member);
    }
    std::memset(out + at, 0, made.bytes.size() - at);
    Encoder header;
    header.bytes(kMagic).u16(kFormat).u16(0).u64(raw(pack)).u32(number).u32(static_cast<uint32_t>(files.size()));
    header.u64(made.bytes.size()).u32(crc32c(records.data()));
    header.u32(crc32c(header.data()));
    std::memcpy(out, header.data().data(), kHeaderBytes);
    std::memcpy(out + kHeaderBytes, records.data().data(), records.data().size());
    return made;
}

Result<PackSegment> parse_segment(std::string_view front, BlobId pack, uint32_t number, uint64_t offset) {
    auto damaged = [&](const char* why) { return damaged_segment(pack, offset, why); };
    if (front.size() < kHeaderBytes) return damaged("is cut off");
    Decoder d(front.substr(0, kHeaderBytes));
    if (d.bytes(kMagic.size()) != kMagic) return damaged("does not begin as one");
    const uint16_t format = d.u16(), flags = d.u16();
    const BlobId of{d.u64()};
    const uint32_t numbered = d.u32(), count = d.u32();
    const uint64_t length = d.u64();
    const uint32_t records_crc = d.u32();
    if (d.u32() != crc32c(front.substr(0, kCheckedBytes))) return damaged("its header has a wrong checksum");
    if (format != kFormat || flags != 0) return damaged("is of a later MeshFS");
    if (of != pack || numbered != number) return damaged("is another pack's, or of another place");
    const uint64_t records = kRecordBytes * count, begin = kHeaderBytes + records;
    bool fits = count > 0 && begin <= length && length % kSegmentAlign == 0 && length <= kSegmentMax && offset <= kPackMax - length;
    if (!fits) return damaged("its length cannot be");
    if (front.size() < begin) return damaged("its records are cut off");
    const std::string_view text = front.substr(kHeaderBytes, records);
    if (crc32c(text) != records_crc) return damaged("its records have a wrong checksum");
    PackSegment segment{.length = length, .members = {}};
    uint64_t at = offset + begin;
    for (Decoder r(text); !r.at_end();) {
        PackMember m{.ino = Ino{r.u64()}, .version = r.u64()};
        m.offset = r.u32();
        m.stored = r.u32();
        m.length = r.u32();
        m.crc = r.u32();
        bool is_plain = r.u8() == 0 && m.stored == m.length;
        (void)r.bytes(7);
        bool is_inside = m.offset % kMemberAlign == 0 && m.offset >= at && m.stored > 0 && m.stored <= kPackedMax &&
                         uint64_t{m.offset} + m.stored <= offset + length;
        if (!is_plain || !is_inside) return damaged("a record of a member is none");
        at = uint64_t{m.offset} + m.stored;
        segment.members.push_back(m);
    }
    return segment;
}

// Closed, since nothing is mapped beyond it there.
Extent extent_of(BlobId pack, const PackMember& member) {
    return {.offset = 0, .length = member.length, .blob_offset = member.offset, .blob = pack,
            .kind = Extent::Kind::packed, .flags = Extent::whole | Extent::closed, .crc = member.crc};
}

Status check_packed(const Extent& extent, const Buffers& bytes) {
    uint32_t crc = 0;
    for (const Buffer& piece : bytes) crc = crc32c(piece.view(), crc);
    if (crc == extent.crc) return {};
    return fail(EIO, "object p." + hex(raw(extent.blob)) + ": the " + std::to_string(extent.length) + " bytes at " +
                         std::to_string(extent.blob_offset) + " are damaged");
}

bool is_of(const PackMember& member, BlobId pack, const Extent& extent) {
    return extent.kind == Extent::Kind::packed && extent.blob == pack && extent.blob_offset == member.offset &&
           extent.length == member.length && extent.crc == member.crc;
}

}  // namespace meshfs
