// What an object is, by its name.
#pragma once

#include <cstdint>
#include <string_view>

namespace meshfs::check {

struct ObjectId {
    enum class Kind : uint8_t { group, linked, blob, other, unknown };
    Kind kind = Kind::unknown;
    uint64_t number = 0;  // group, inode or blob
    uint64_t index = 0;   // of a blob's object; 0 of a pack, which is one
};

// "g.1f", "h.1000011", "b.100000001.0", "p.100000002"; `other`: objects of MeshFS of which nothing is asked.  Bears anything.
ObjectId parse_object_name(std::string_view name);

}  // namespace meshfs::check
