// unlink: a file's name goes, its inode stays under u<ino> until nobody has it open and its bytes are removed.
//
// One mutation, guarded on the name as read.  A crash leaves nothing half done; u<ino> is purge's.
#include "fs/meta/ops/names.h"
#include "fs/meta/ops/ops.h"

namespace meshfs::ops {

Result<Unlinked> unlink(MetaCore& core, Ino directory, std::string_view name) {
    if (name == "." || name == "..") return fail(EISDIR);
    TRY(check_name(name));
    std::string key = name_key(name);
    Unlinked unlinked;
    ObjectName group;
    bool is_linked = false;
    Wanted wanted{.keys = {key}};
    auto build = [&](GroupChange& change) -> Status {
        auto dentry = TRY(change.view().record(decode_dentry, key));
        if (!dentry) return fail(ENOENT);
        if (dentry->kind == Dentry::Kind::directory) return fail(EISDIR);
        is_linked = dentry->kind == Dentry::Kind::linked;
        if (is_linked) return {};
        group = change.view().object;
        NameEffects effects;
        unlinked.inode = drop_file(effects, name, *dentry, TRY(read_anchor(change.view(), *dentry, wanted)), core.now());
        effects.add_to(change);
        return {};
    };
    Status status;
    do status = change_group(core, {.directory = directory, .name = std::string(name)}, wanted, build);
    while (status.code() == ERESTART);  // an anchor is wanted, too
    TRY(status);
    if (is_linked) return unlink_linked(core, directory, name);
    core.hints.forget(unlinked.inode.ino);
    core.unlinked.push({group, unlinked_key(unlinked.inode.ino)});
    return unlinked;
}

}  // namespace meshfs::ops
