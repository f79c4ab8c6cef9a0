// owe: may a file that was written and closed stay unpublished for a while?  From memory alone, at the moment its group agrees.
#include "fs/meta/ops/inode_home.h"
#include "fs/meta/ops/ops.h"

namespace meshfs::ops {

bool owe(MetaCore& core, Ino ino, uint64_t content_version) {
    const Place born = place_of(ino);
    return core.held.owe(born.group, [&](const Mirror& group) {
        constexpr int kMovesMax = 16;
        Slot slot = born.slot;
        for (int moves = 0; moves < kMovesMax; ++moves) {
            auto at = known(group, decode_slot, slot_key(slot));
            if (at && at->kind == SlotRecord::Kind::moved) {
                slot = at->to;
                continue;
            }
            if (!at || at->kind != SlotRecord::Kind::name) return false;
            auto dentry = known(group, decode_dentry, name_key(at->name));
            return dentry && dentry->kind == Dentry::Kind::file && dentry->ino == ino && dentry->inode.writer == kNobody &&
                   dentry->inode.content_version == content_version;
        }
        return false;
    });
}

}  // namespace meshfs::ops
