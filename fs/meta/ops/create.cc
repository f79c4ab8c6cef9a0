// create: a file, symlink, fifo, socket or device with its name, in one mutation of one group.
//
// The guard "no such name" decides EEXIST.  A crash leaves nothing, or all of it.
#include "fs/meta/ops/names.h"
#include "fs/meta/ops/new_inode.h"
#include "fs/meta/ops/ops.h"

namespace meshfs::ops {

Result<Inode> create(MetaCore& core, const CreateRequest& request) {
    if (request.name == "." || request.name == "..") return fail(EEXIST);
    TRY(check_name(request.name));
    Inode inode = TRY(new_inode(request, core.now()));
    if (inode.is_directory()) return fail(EINVAL);
    std::string key = name_key(request.name);
    GroupId group;
    std::optional<GroupId> whole;
    TRY(change_group(core, {.directory = request.directory, .name = request.name, .request_id = request.request_id},
                     {.keys = {key}}, [&](GroupChange& change) -> Status {
        if (change.key(key) != nullptr) return fail(EEXIST);
        group = change.view().group();
        whole = change.view().about.if_whole();
        Slot slot = TRY(change.new_slot());
        inode.ino = ino_of({group, slot});
        Dentry dentry{.ino = inode.ino, .type = inode.mode & S_IFMT, .slot = slot, .anchor = slot, .inode = inode};
        NameEffects effects;
        add_name(effects, request.name, dentry, inode.ctime);
        effects.add_to(change);
        return {};
    }));
    core.hints.put(inode.ino, group, request.name);
    inode.from = {group, whole};
    return inode;
}

}  // namespace meshfs::ops
