// opened: this mount's table first, then a look whether the file still has a name.  Who wants to purge it asks after the
// name went, so either it finds the file in the table, or the look finds no name.
#include "fs/meta/ops/ops.h"

namespace meshfs::ops {

Result<Inode> opened(MetaCore& core, Ino ino) {
    bool was_open = !core.open_files.enter(ino);
    auto inode = get(core, ino);
    if (inode.ok() && (inode->links > 0 || was_open)) return inode;
    if (!was_open) released(core, ino);
    return inode.ok() ? Result<Inode>(fail(ESTALE)) : inode;
}

void released(MetaCore& core, Ino ino) {
    if (core.open_files.leave(ino)) core.unlinked.push({.object = {}, .key = unlinked_key(ino)});
}

}  // namespace meshfs::ops
