// name_of: directory and name of a number; of a file with several names the first it had, if that is still there.
#include "fs/meta/ops/inode_home.h"
#include "fs/meta/ops/ops.h"

namespace meshfs::ops {
namespace {

// Each split or merge that takes a directory's dentry along adds a slot to its way.
constexpr int kMovesMax = 1024;

// The dentry of a directory: from `p` through slots that only moved inside their group, or with it.
Result<std::pair<Ino, std::string>> name_of_directory(MetaCore& core, Ino directory) {
    if (directory == kRootIno) return std::pair(kRootIno, std::string("/"));
    for (int round = 0; round < 8; ++round) {
        auto header = TRY(read_header(core, directory, {.keys = {kPlaceKey}}));
        if (header.is_dead()) return fail(ENOENT);
        auto place = TRY(header.record(decode_place, kPlaceKey));
        if (!place) return damaged(header.object, kPlaceKey, fail(EIO, "there is none"));
        Place at = place->dentry;
        for (int hop = 0; hop < kMovesMax; ++hop) {
            auto view = read_group(core, group_object(at.group), {.keys = {slot_key(at.slot)}});
            if (view.code() == ENOENT) break;
            if (!view.ok()) return view.error();
            auto slot = TRY(view->record(decode_slot, slot_key(at.slot)));
            if (!slot) break;
            if (slot->kind == SlotRecord::Kind::name) return std::pair(view->about.directory, slot->name);
            if (slot->kind == SlotRecord::Kind::moved) at.slot = slot->to;
            else if (slot->kind == SlotRecord::Kind::away) at = {slot->to_group, slot->to};
            else break;
        }
    }
    return fail(ESTALE);
}

}  // namespace

Result<std::pair<Ino, std::string>> name_of(MetaCore& core, Ino ino) {
    if (raw(place_of(ino).slot) == 0) return name_of_directory(core, ino);
    Home home = TRY(find_home(core, ino));
    if (home.name.empty()) return fail(ENOENT);
    return std::pair(home.directory, std::move(home.name));
}

}  // namespace meshfs::ops
