// What two layers share: numbers of files, where bytes lie, times.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace meshfs {

// The number of a file: 39 bits of group, 24 of slot.  It is the place of the file's first name and never
// changes.  Bit 63 marks files a plugin serves.  The root (group 0, slot 0) shows as 1.
enum class Ino : uint64_t {};
enum class GroupId : uint64_t {};    // 39 bits
enum class Slot : uint32_t {};       // 24 bits; a directory is slot 0 of its header group
enum class SessionId : uint32_t {};  // 0: nobody
enum class BlobId : uint64_t {};     // session << 32 | counter; 0: none

template <class Id>
constexpr auto raw(Id id) {
    return static_cast<std::underlying_type_t<Id>>(id);
}

constexpr SessionId session_of(BlobId blob) { return SessionId{static_cast<uint32_t>(raw(blob) >> 32)}; }

inline constexpr Ino kRootIno{1};
inline constexpr int kSlotBits = 24;
inline constexpr uint64_t kPluginInoBit = uint64_t{1} << 63;
inline constexpr size_t kNameMax = 255;                        // bytes
inline constexpr uint64_t kFileSizeMax = INT64_MAX;            // bytes
inline constexpr size_t kSymlinkMax = 4095;                    // bytes
inline constexpr size_t kXattrsBytesMax = 64 * 1024;           // all of one inode
inline constexpr size_t kInlineMax = 4096;                     // bytes of a file kept in its inode
inline constexpr SessionId kNobody{0};
inline constexpr SessionId kSeveral{UINT32_MAX};               // a file written by several sessions

// Where a number was born.  Of the root both are 0.
struct Place {
    GroupId group{};
    Slot slot{};
    auto operator<=>(const Place&) const = default;
};
constexpr Ino ino_of(Place place) {
    uint64_t number = raw(place.group) << kSlotBits | raw(place.slot);
    return number == 0 ? kRootIno : Ino{number};
}
constexpr Place place_of(Ino ino) {
    if (ino == kRootIno) return {};
    return {GroupId{(raw(ino) & ~kPluginInoBit) >> kSlotBits},
            Slot{static_cast<uint32_t>(raw(ino) & ((1u << kSlotBits) - 1))}};
}

// Seconds since 1970, may be negative, and nanoseconds 0 .. 999,999,999.
struct Time {
    int64_t seconds = 0;
    uint32_t ns = 0;
    auto operator<=>(const Time&) const = default;
};

struct ByteRange {  // [offset, offset + length)
    uint64_t offset = 0;
    uint64_t length = 0;
    uint64_t end() const { return offset + length; }
    bool operator==(const ByteRange&) const = default;
};

// How a file's own blob is cut into objects.
struct Layout {
    uint32_t object_bytes = 4u << 20;  // 64 KiB .. 64 MiB, a power of two
    uint16_t pool = 1;                 // of ObjectName: 1 is the volume's first data pool
    bool operator==(const Layout&) const = default;
};

// A run of a file's bytes.  The lists are sorted by offset and do not overlap; a gap is a hole.
struct Extent {
    enum class Kind : uint8_t { own = 1, shared = 2, packed = 3, bytes = 4, far = 5 };
    enum Flags : uint8_t {
        whole = 1, frozen = 2, codec = 4,
        closed = 8,  // cut here once: nothing more is written beyond its end in this blob
        tail = 16    // in lists of freed extents: its first object also holds bytes that are kept
    };
    uint64_t offset = 0;       // in the file
    uint64_t length = 0;       // bytes, > 0
    uint64_t blob_offset = 0;  // of an own blob: equal to `offset`
    BlobId blob{};
    Kind kind = Kind::own;
    uint8_t flags = 0;
    uint32_t crc = 0;          // packed and far only
    uint64_t end() const { return offset + length; }
    bool operator==(const Extent&) const = default;
};

// Where a file's bytes are, as published in its inode: inline, or extents.
struct FileMap {
    uint64_t size = 0;           // bytes
    uint64_t bytes = 0;          // allocated, for st_blocks
    Layout layout;
    std::string inline_bytes;    // if not empty the file's first bytes; then `extents` is empty
    std::vector<Extent> extents;
    bool operator==(const FileMap&) const = default;
};

}  // namespace meshfs
