#include "fs/store/local_layout.h"

#include "fs/base/wire.h"

namespace meshfs::local {
namespace {

constexpr uint8_t kHeadVersion = 1;

uint64_t big_endian(std::string_view eight) {
    uint64_t v = 0;
    for (char c : eight) v = v << 8 | static_cast<uint8_t>(c);
    return v;
}

// What no writer of ours leaves: refused here, so that nobody above has to think of it.
bool makes_sense(const Head& head) {
    if (head.has(Head::in_row) && head.has(Head::in_file)) return false;
    if (head.has(Head::in_file) != (head.file != 0)) return false;
    if ((head.has(Head::summed) || head.has(Head::borrowed)) && !head.has(Head::in_file)) return false;
    if (head.has(Head::in_row) && head.size > kInlineBytesMax) return false;
    return head.flags < 16 && head.body != 0 && head.size <= kObjectMax;
}

}  // namespace

std::string encode_head(const Head& head) {
    Encoder e;
    e.u8(kHeadVersion).u8(head.flags).u16(static_cast<uint16_t>(head.xattrs.size()));
    e.u64(head.body).u64(head.size).i64(head.mtime_ns).u64(head.file).u64(head.snap);
    for (const auto& [name, value] : head.xattrs)
        e.u16(static_cast<uint16_t>(name.size())).u32(static_cast<uint32_t>(value.size())).bytes(name).bytes(value);
    return e.take();
}

Result<Head> decode_head(std::string_view bytes) {
    Decoder d(bytes);
    Head head;
    uint8_t version = d.u8();
    head.flags = d.u8();
    uint16_t xattrs = d.u16();
    head.body = d.u64();
    head.size = d.u64();
    head.mtime_ns = d.i64();
    head.file = d.u64();
    head.snap = d.u64();
    if (!d.ok() || version != kHeadVersion || xattrs > kObjectXattrsMax || !makes_sense(head))
        return fail(EIO, "damaged header");
    for (uint16_t i = 0; i < xattrs; ++i) {
        uint16_t name_size = d.u16();
        uint32_t value_size = d.u32();
        auto name = d.bytes(name_size);
        auto value = d.bytes(value_size);
        if (!d.ok() || value.size() > kObjectXattrMax) return fail(EIO, "damaged header");
        head.xattrs.emplace(name, value);
    }
    if (!d.at_end()) return fail(EIO, "damaged header");
    return head;
}

std::string encode_counters(const Counters& c) { return Encoder().u64(c.body).u64(c.file).u64(c.snap).take(); }

Result<Counters> decode_counters(std::string_view bytes) {
    Decoder d(bytes);
    Counters c{.body = d.u64(), .file = d.u64(), .snap = d.u64()};
    if (!d.ok() || !d.at_end() || c.body == 0 || c.file == 0 || c.snap == 0) return fail(EIO, "damaged counters");
    return c;
}

std::string number_key(char kind, uint64_t number) { return kind + key_u64(number); }

Result<uint64_t> number_of(std::string_view key) {
    if (key.size() != 9) return fail(EIO, "damaged key");
    return big_endian(key.substr(1));
}

std::string object_prefix(const ObjectName& object) { return key_u16(object.pool) + object.name + '\0'; }

std::string object_key(const ObjectName& object, SnapId snap) {
    return object_prefix(object) + key_u64(static_cast<uint64_t>(snap));
}

Result<ObjectKey> parse_object_key(std::string_view key) {
    if (key.size() < 2 + 1 + 1 + 8 || key.size() > 2 + kObjectNameMax + 1 + 8 || key[key.size() - 9] != '\0')
        return fail(EIO, "damaged key");
    ObjectKey out{{static_cast<Pool>(big_endian(key.substr(0, 2))), std::string(key.substr(2, key.size() - 11))},
                  SnapId{big_endian(key.substr(key.size() - 8))}};
    for (char c : out.object.name)
        if (c < '!' || c > '~') return fail(EIO, "damaged key");
    return out;
}

std::string body_key(uint64_t body, std::string_view key) { return key_u64(body).append(key); }
std::string bytes_key(uint64_t body) { return key_u64(body) + '\0'; }
std::string sums_key(uint64_t body, uint32_t row) { return key_u64(body) + '\1' + key_u32(row); }

std::string after_prefix(std::string prefix) {
    while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
    if (!prefix.empty()) prefix.back() = static_cast<char>(prefix.back() + 1);
    return prefix;
}

}  // namespace meshfs::local
