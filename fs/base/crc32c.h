// CRC-32C (Castagnoli); test values: RFC 3720, B.4.
#pragma once

#include <cstdint>
#include <string_view>

namespace meshfs {

// The checksum of `bytes`, or of what `crc` was the checksum of followed by `bytes`.  Any thread.
uint32_t crc32c(std::string_view bytes, uint32_t crc = 0);

}  // namespace meshfs
