// lookup: the inode behind a name.  One read; a directory's inode is in its own header, one more.
#include "fs/base/wire.h"
#include "fs/meta/ops/inode_home.h"
#include "fs/meta/ops/ops.h"

namespace meshfs::ops {
namespace {

struct Found {
    GroupId group{};
    std::optional<GroupId> whole;  // the same, if all names are in it
    std::optional<Dentry> dentry;  // none: no such name
};

// Most are of a group that is held: looked at in its copy.
std::optional<Found> look(MetaCore& core, Ino directory, std::string_view name, const std::string& key) {
    Found found;
    const Place header = place_of(directory);
    const GroupId group = core.maps.find(directory, name).value_or(header.group);
    bool is_known = raw(header.slot) == 0 && core.held.peek(group_object(group), [&](const Mirror& copy) {
        const About* about = copy.about();
        if (about == nullptr || about->directory != directory || !about->covers(name)) return false;
        auto value = copy.value(key);
        if (!value) return false;
        found.group = about->group;
        found.whole = about->if_whole();
        if (*value == nullptr) return true;
        auto dentry = decode_dentry(**value);
        if (!dentry.ok()) return false;
        found.dentry = std::move(*dentry);
        return true;
    });
    return is_known ? std::optional(std::move(found)) : std::nullopt;
}

Result<Found> find(MetaCore& core, Ino directory, std::string_view name) {
    std::string key = name_key(name);
    if (auto found = look(core, directory, name, key)) return std::move(*found);
    auto view = TRY(read_range(core, directory, name, {.keys = {key}}));
    return Found{.group = view.group(), .whole = view.about.if_whole(), .dentry = TRY(view.record(decode_dentry, key))};
}

Result<Inode> inode_of(MetaCore& core, std::string_view name, Found& found) {
    auto& dentry = found.dentry;
    if (!dentry) return fail(ENOENT);
    switch (dentry->kind) {
        case Dentry::Kind::file:
            core.hints.put(dentry->ino, found.group, name);
            dentry->inode.from.group = found.group;
            return std::move(dentry->inode);
        case Dentry::Kind::directory: {
            auto inode = TRY(read_directory(core, dentry->ino));
            return inode.links > 0 ? Result(std::move(inode)) : fail(ESTALE);
        }
        case Dentry::Kind::linked: {
            auto linked = read_group(core, linked_object(dentry->ino), {.keys = {kInodeKey}});
            if (linked.code() == ENOENT) return fail(ESTALE);
            if (!linked.ok()) return linked.error();
            Home home{.kind = Home::Kind::linked, .object = linked->object, .key = kInodeKey};
            auto inode = inode_at(home, dentry->ino, *linked);
            return inode.code() == ENOENT ? Result<Inode>(fail(ESTALE)) : inode;
        }
    }
    return fail(EIO);
}

Result<Inode> lookup_once(MetaCore& core, Ino directory, std::string_view name) {
    Found found = TRY(find(core, directory, name));
    Inode inode = TRY(inode_of(core, name, found));
    inode.from.names = found.whole;
    return inode;
}

}  // namespace

Result<Inode> lookup(MetaCore& core, Ino directory, std::string_view name) {
    if (name == ".") return read_directory(core, directory);
    if (name == "..") {
        auto header = TRY(read_header(core, directory, {.keys = {kPlaceKey}}));
        auto place = TRY(header.record(decode_place, kPlaceKey));
        if (!place) return damaged(header.object, kPlaceKey, fail(EIO, "there is none"));
        return read_directory(core, place->parent);
    }
    TRY(check_name(name));
    // ESTALE behind a name that was there is a race with its removal: looked up again, it is gone or another.
    for (int round = 0; round < 8; ++round) {
        auto inode = lookup_once(core, directory, name);
        if (inode.code() != ESTALE) return inode;
        if (auto header = read_header(core, directory, {}); header.code() == ESTALE) return header.error();
    }
    return fail(EIO, "name \"" + std::string(name) + "\" in directory " + hex(raw(directory)) + " leads to nothing");
}

}  // namespace meshfs::ops
