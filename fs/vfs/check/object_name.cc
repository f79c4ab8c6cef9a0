#include "fs/vfs/check/object_name.h"

#include "fs/base/wire.h"

namespace meshfs::check {

ObjectId parse_object_name(std::string_view name) {
    if (name == "volume" || name == "volume.move" || name.starts_with("sessions."))
        return {.kind = ObjectId::Kind::other};
    size_t dot = name.find('.');
    if (dot != 1) return {};
    std::string_view rest = name.substr(2);
    std::string_view first = rest.substr(0, rest.find('.'));
    auto number = parse_hex(first);
    if (!number.ok()) return {};
    bool has_index = first.size() < rest.size();
    uint64_t index = 0;
    if (has_index) {
        auto second = parse_hex(rest.substr(first.size() + 1));
        if (!second.ok()) return {};
        index = *second;
    }
    switch (name[0]) {
        case 'g': return has_index ? ObjectId{} : ObjectId{.kind = ObjectId::Kind::group, .number = *number};
        case 'h': return has_index ? ObjectId{} : ObjectId{.kind = ObjectId::Kind::linked, .number = *number};
        case 'b':
            return has_index ? ObjectId{.kind = ObjectId::Kind::blob, .number = *number, .index = index} : ObjectId{};
        case 'p': return has_index ? ObjectId{} : ObjectId{.kind = ObjectId::Kind::blob, .number = *number};
        case 'i': return has_index ? ObjectId{.kind = ObjectId::Kind::other} : ObjectId{};
        case 's':
        case 'l':
        case 'e':
        case 'r':
        case 'k': return {.kind = ObjectId::Kind::other};
        default: return {};
    }
}

}  // namespace meshfs::check
