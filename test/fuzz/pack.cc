// The front of a pack's segment bears any bytes: as they come, and with the checksums that they should have.
#include <cstdlib>

#include "fs/base/crc32c.h"
#include "fs/base/wire.h"
#include "fs/data/pack.h"

namespace {

using namespace meshfs;

void parse(std::string_view front) {
    constexpr uint64_t kAt = 8192;
    auto segment = parse_segment(front, BlobId{uint64_t{1} << 32 | 2}, 3, kAt);
    if (!segment.ok()) return;
    for (const PackMember& member : segment->members)
        if (member.offset < kAt || uint64_t{member.offset} + member.stored > kAt + segment->length) std::abort();
}

std::string little_endian(uint32_t value) { return Encoder().u32(value).take(); }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string front(reinterpret_cast<const char*>(data), size);
    parse(front);
    if (size < 40) return 0;
    Decoder d(std::string_view(front).substr(20, 4));
    const uint64_t records = 40 * uint64_t{d.u32()};
    front.replace(32, 4, little_endian(crc32c(std::string_view(front).substr(40, std::min<uint64_t>(records, size)))));
    front.replace(36, 4, little_endian(crc32c(std::string_view(front).substr(0, 36))));
    parse(front);
    return 0;
}
