#include "fs/base/wire.h"

#include <algorithm>

#include "fs/base/crc32c.h"

namespace meshfs {
namespace {

template <class T>
void put_little(std::string& out, T v) {
    for (size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<char>(v >> (8 * i)));
}
template <class T>
T get_little(std::string_view in) {
    T v = 0;
    for (size_t i = 0; i < sizeof(T); ++i)
        v = static_cast<T>(v | static_cast<T>(static_cast<uint8_t>(in[i])) << (8 * i));
    return v;
}
template <class T>
std::string big(T v) {
    std::string out;
    for (size_t i = sizeof(T); i-- > 0;) out.push_back(static_cast<char>(v >> (8 * i)));
    return out;
}

}  // namespace

Encoder& Encoder::u8(uint8_t v) { return out_.push_back(static_cast<char>(v)), *this; }
Encoder& Encoder::u16(uint16_t v) { return put_little(out_, v), *this; }
Encoder& Encoder::u32(uint32_t v) { return put_little(out_, v), *this; }
Encoder& Encoder::u64(uint64_t v) { return put_little(out_, v), *this; }
Encoder& Encoder::bytes(std::string_view bytes) { return out_.append(bytes), *this; }
Encoder& Encoder::varint(uint64_t v) {
    for (; v >= 0x80; v >>= 7) out_.push_back(static_cast<char>(v | 0x80));
    out_.push_back(static_cast<char>(v));
    return *this;
}

std::string_view Decoder::bytes(uint64_t count) {
    if (count > in_.size()) {
        damage();
        return {};
    }
    auto out = in_.substr(0, count);
    in_.remove_prefix(count);
    return out;
}
uint8_t Decoder::u8() {
    auto b = bytes(1);
    return b.empty() ? 0 : static_cast<uint8_t>(b[0]);
}
uint16_t Decoder::u16() {
    auto b = bytes(2);
    return b.empty() ? 0 : get_little<uint16_t>(b);
}
uint32_t Decoder::u32() {
    auto b = bytes(4);
    return b.empty() ? 0 : get_little<uint32_t>(b);
}
uint64_t Decoder::u64() {
    auto b = bytes(8);
    return b.empty() ? 0 : get_little<uint64_t>(b);
}
uint64_t Decoder::varint() {
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        uint8_t byte = u8();
        if (!ok_) return 0;
        if (shift == 63 && byte > 1) break;
        v |= static_cast<uint64_t>(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) return v;
    }
    damage();
    return 0;
}
std::string_view Decoder::string(uint64_t max) {
    uint64_t length = varint();
    if (length > max) {
        damage();
        return {};
    }
    return bytes(length);
}

std::string key_u16(uint16_t v) { return big(v); }
std::string key_u32(uint32_t v) { return big(v); }
std::string key_u64(uint64_t v) { return big(v); }

std::string hex(uint64_t v) {
    std::string out;
    do out.push_back("0123456789abcdef"[v & 15]);
    while ((v >>= 4) != 0);
    std::reverse(out.begin(), out.end());
    return out;
}

Result<uint64_t> parse_hex(std::string_view text) {
    if (text.empty() || text.size() > 16 || (text.size() > 1 && text[0] == '0')) return fail(EINVAL);
    uint64_t v = 0;
    for (char c : text) {
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0) return fail(EINVAL);
        v = v << 4 | static_cast<uint64_t>(digit);
    }
    return v;
}

std::string seal_record(uint8_t version, std::string_view payload) {
    Encoder e;
    e.u8(version).u32(static_cast<uint32_t>(payload.size())).bytes(payload);
    uint32_t crc = crc32c(e.data());
    return e.u32(crc).take();
}

Result<OpenedRecord> open_record(std::string_view bytes) {
    if (bytes.size() < 9) return fail(EIO, "record is too short");
    Decoder d(bytes);
    OpenedRecord record;
    record.version = d.u8();
    uint32_t length = d.u32();
    if (length != bytes.size() - 9) return fail(EIO, "record has a wrong length");
    record.payload = d.bytes(length);
    if (d.u32() != crc32c(bytes.substr(0, bytes.size() - 4)))
        return fail(EIO, "record has a wrong checksum");
    return record;
}

}  // namespace meshfs
