// One table-driven loop and, where the processor has it, its own instruction: SSE4.2 or ARMv8 CRC.
#include "fs/base/crc32c.h"

#include <array>
#include <cstring>
#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace meshfs {
namespace {

constexpr std::array<uint32_t, 256> kTable = [] {
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < 256; ++i) {
        uint32_t c = i;
        for (int k = 0; k < 8; ++k) c = (c & 1) != 0 ? 0x82f63b78u ^ (c >> 1) : c >> 1;
        table[i] = c;
    }
    return table;
}();

uint32_t by_table(uint32_t crc, const char* p, size_t size) {
    for (; size > 0; --size, ++p) crc = kTable[(crc ^ static_cast<uint8_t>(*p)) & 0xff] ^ (crc >> 8);
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t by_instruction(uint32_t crc, const char* p, size_t size) {
    uint64_t wide = crc;
    for (; size >= 8; size -= 8, p += 8) {
        uint64_t word;
        std::memcpy(&word, p, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = static_cast<uint32_t>(wide);
    for (; size > 0; --size, ++p) crc = _mm_crc32_u8(crc, static_cast<uint8_t>(*p));
    return crc;
}
bool has_instruction() { return __builtin_cpu_supports("sse4.2") != 0; }
#elif defined(__aarch64__)
__attribute__((target("+crc"))) uint32_t by_instruction(uint32_t crc, const char* p, size_t size) {
    for (; size >= 8; size -= 8, p += 8) {
        uint64_t word;
        std::memcpy(&word, p, 8);
        crc = __crc32cd(crc, word);
    }
    for (; size > 0; --size, ++p) crc = __crc32cb(crc, static_cast<uint8_t>(*p));
    return crc;
}
bool has_instruction() { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
#else
uint32_t by_instruction(uint32_t crc, const char* p, size_t size) { return by_table(crc, p, size); }
bool has_instruction() { return false; }
#endif

}  // namespace

uint32_t crc32c(std::string_view bytes, uint32_t crc) {
    static const bool fast = has_instruction();
    return ~(fast ? by_instruction(~crc, bytes.data(), bytes.size())
                  : by_table(~crc, bytes.data(), bytes.size()));
}

}  // namespace meshfs
