// What the embedded store writes, to the byte: keys and values of its four RocksDB families.
//
// Keys are big-endian so that they sort as numbers do, values little-endian.
//
//   default   's'              u64 next body, u64 next file, u64 next snap
//             'f' u64 file     ""            made and free
//             'd' u64 body     ""            dead: its keys and bytes are being removed
//             'c' u64 snap     ""            removed snapshot
//   objects   u16 pool, name, 00, u64 snap   Head; snap FF..FF: now; else the last snapshot that sees it so
//   omap      u64 body, key                  value
//   bytes     u64 body, 00                   the object's bytes, up to 64 KiB
//             u64 body, 01, u32 i            CRC-32C (u32 each) of the 4 KiB pages from 1024 i of its file
//
// A body is what keys and small bytes hang on: removing an object lets go of its body, the rows follow later.
// Everything read back is hostile: decoding fails with EIO and never reads past the end.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "fs/base/result.h"
#include "fs/store/store.h"

namespace meshfs::local {

inline constexpr uint64_t kInlineBytesMax = 64 * 1024;  // longer bytes are a file
inline constexpr uint64_t kPage = 4096;                 // bytes under one checksum
inline constexpr uint64_t kPagesPerRow = 1024;          // one row of checksums covers 4 MiB
inline constexpr uint64_t kRowBytes = kPage * kPagesPerRow;

struct Head {
    enum Flags : uint8_t {
        in_row = 1,    // bytes are a row of `bytes`
        in_file = 2,   // bytes are file `file`
        summed = 4,    // and every page of it has a checksum
        borrowed = 8,  // the file belongs to an older snapshot of the object: copied before it is written
    };
    uint8_t flags = 0;
    uint64_t body = 0;
    uint64_t size = 0;      // bytes, at most kObjectMax
    int64_t mtime_ns = 0;   // since 1970
    uint64_t file = 0;      // 0: none
    uint64_t snap = 0;      // the snapshots above this number see it
    std::map<std::string, std::string> xattrs;

    bool has(Flags flag) const { return (flags & flag) != 0; }
    bool operator==(const Head&) const = default;
};

std::string encode_head(const Head& head);
Result<Head> decode_head(std::string_view bytes);  // EIO

struct Counters {  // the next number of each kind; all start at 1
    uint64_t body = 1, file = 1, snap = 1;
};
std::string encode_counters(const Counters& counters);
Result<Counters> decode_counters(std::string_view bytes);  // EIO

inline constexpr char kCountersKey = 's', kFreeFileKey = 'f', kDeadBodyKey = 'd', kRemovedSnapKey = 'c';
std::string number_key(char kind, uint64_t number);           // of `default`
Result<uint64_t> number_of(std::string_view key);             // the number in it; EIO

std::string object_prefix(const ObjectName& object);          // all entries of one object begin so
std::string object_key(const ObjectName& object, SnapId snap = SnapId::head);
struct ObjectKey {
    ObjectName object;
    SnapId snap;
};
Result<ObjectKey> parse_object_key(std::string_view key);     // EIO

std::string body_key(uint64_t body, std::string_view key = {});  // of `omap`
std::string bytes_key(uint64_t body);                            // of `bytes`
std::string sums_key(uint64_t body, uint32_t row);
// The smallest key above all that begin with prefix; empty: there is none.
std::string after_prefix(std::string prefix);

}  // namespace meshfs::local
