// Bytes of records and keys: little-endian values, big-endian keys, and an envelope that detects damage.
//
// A Decoder bears anything: past the end, or after a bad value, every read gives zero and ok() is false.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "fs/base/result.h"

namespace meshfs {

class Encoder {
public:
    Encoder& u8(uint8_t v);
    Encoder& u16(uint16_t v);
    Encoder& u32(uint32_t v);
    Encoder& u64(uint64_t v);
    Encoder& i64(int64_t v) { return u64(static_cast<uint64_t>(v)); }
    Encoder& varint(uint64_t v);             // LEB128, 1 .. 10 bytes
    Encoder& bytes(std::string_view bytes);  // as they are
    Encoder& string(std::string_view bytes) { return varint(bytes.size()).bytes(bytes); }
    std::string take() { return std::move(out_); }
    const std::string& data() const { return out_; }

private:
    std::string out_;
};

class Decoder {
public:
    explicit Decoder(std::string_view in) : in_(in) {}
    uint8_t u8();
    uint16_t u16();
    uint32_t u32();
    uint64_t u64();
    int64_t i64() { return static_cast<int64_t>(u64()); }
    uint64_t varint();
    std::string_view bytes(uint64_t count);
    std::string_view string(uint64_t max);  // longer than max is damage
    std::string_view rest() { return bytes(in_.size()); }
    bool ok() const { return ok_; }
    bool at_end() const { return in_.empty(); }
    void damage() { ok_ = false; in_ = {}; }

private:
    std::string_view in_;
    bool ok_ = true;
};

// Big-endian, so that keys sort as numbers do.
std::string key_u16(uint16_t v);
std::string key_u32(uint32_t v);
std::string key_u64(uint64_t v);
// Lower-case hex without leading zeros ("0" for 0), as in names of objects.
std::string hex(uint64_t v);
Result<uint64_t> parse_hex(std::string_view text);  // EINVAL

// A record on disk: u8 version, u32 length of the payload, payload, u32 CRC32C of all before.
std::string seal_record(uint8_t version, std::string_view payload);
struct OpenedRecord {
    uint8_t version = 0;
    std::string_view payload;  // into the bytes given
};
// EIO: short, long, or a wrong checksum; the caller adds object and key.
Result<OpenedRecord> open_record(std::string_view bytes);

}  // namespace meshfs
