// rmdir: under X on the parent's group and on all groups of the directory, it is seen empty; one intent turns the
// directory dead and takes its name away.
//
// While X is held nobody can make a name in it or move it.  A crash before the intent leaves everything as it was; after
// it any visitor finishes both.  What is left, dead groups behind u<ino>, is purge's.
#include "fs/meta/ops/names.h"
#include "fs/meta/ops/ops.h"
#include "fs/meta/ops/whole_directory.h"

namespace meshfs::ops {
namespace {

Result<Unlinked> rmdir_once(MetaCore& core, Ino directory, std::string_view name) {
    const std::string key = name_key(name);
    auto parent = TRY(read_range(core, directory, name, {.keys = {key}}));
    auto dentry = TRY(parent.record(decode_dentry, key));
    if (!dentry) return fail(ENOENT);
    if (dentry->kind != Dentry::Kind::directory) return fail(ENOTDIR);

    const auto own = TRY(objects_of_directory(core, dentry->ino));
    auto wishes = own;
    wishes.push_back({parent.object, parent.lease});
    JointChange change = TRY(JointChange::begin(core, std::move(wishes)));
    Wanted wanted{.keys = {key, slot_key(dentry->anchor)}};
    parent = TRY(change.read(parent.object, wanted));
    if (TRY(parent.record(decode_dentry, key)) != dentry) return fail(ERESTART);
    auto groups = TRY(read_empty_directory(change, dentry->ino, own));

    Unlinked unlinked{TRY(kill_directory(change, groups))};
    drop_directory(change.at(parent), name, *dentry, TRY(read_anchor(parent, *dentry, wanted)), core.now());
    TRY(change.commit());
    core.maps.forget(dentry->ino);
    core.unlinked.push({parent.object, unlinked_key(dentry->ino)});
    return unlinked;
}

}  // namespace

Result<Unlinked> rmdir(MetaCore& core, Ino directory, std::string_view name) {
    if (name == ".") return fail(EINVAL);
    if (name == "..") return fail(ENOTEMPTY);
    TRY(check_name(name));
    TRY(core.check_may_change());
    return joint_change(core, [&] { return rmdir_once(core, directory, name); });
}

}  // namespace meshfs::ops
