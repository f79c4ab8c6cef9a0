// get: the inode of a number.  One read if this mount has seen its name, else two.
#include "fs/base/wire.h"
#include "fs/meta/ops/inode_home.h"
#include "fs/meta/ops/ops.h"

namespace meshfs::ops {
namespace {

Result<Inode> read_at(MetaCore& core, const Home& home, Ino ino) {
    if (auto inode = look_at(core, home, ino)) return std::move(*inode);
    auto view = TRY(read_group(core, home.object, {.keys = {home.key}}));
    return inode_at(home, ino, view);
}

}  // namespace

Result<Inode> get(MetaCore& core, Ino ino) {
    if (raw(place_of(ino).slot) == 0) return read_directory(core, ino);
    if (auto hint = guess_home(core, ino)) {
        auto inode = read_at(core, *hint, ino);
        if (inode.code() != ENOENT) return inode;
        core.hints.forget(ino);
    }
    for (int round = 0; round < 64; ++round) {
        Home home = TRY(find_home(core, ino));
        auto inode = read_at(core, home, ino);
        if (inode.code() == ENOENT) continue;  // it moved between the two reads
        if (inode.ok() && home.kind == Home::Kind::dentry)
            core.hints.put(ino, home.group, home.name);
        return inode;
    }
    // Not ESTALE, which is believed: what is nowhere has no bytes.
    return fail(EIO, "number " + hex(raw(ino)) + " never stands still, or leads to a record that is missing");
}

}  // namespace meshfs::ops
