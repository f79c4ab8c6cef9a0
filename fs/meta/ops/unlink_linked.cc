// unlink of a name whose inode is in h.<ino>: the name goes and the count falls, in one intent over both objects.  With
// the last name h.<ino> dies, and the inode lies under u<ino> in the group of that name, as after any unlink.
#include "fs/meta/ops/linked_inode.h"
#include "fs/meta/ops/names.h"
#include "fs/meta/ops/ops.h"

namespace meshfs::ops {
namespace {

Result<Unlinked> unlink_once(MetaCore& core, Ino directory, std::string_view name) {
    const std::string key = name_key(name);
    auto group = TRY(read_range(core, directory, name, {.keys = {key}}));
    auto dentry = TRY(group.record(decode_dentry, key));
    if (!dentry) return fail(ENOENT);
    if (dentry->kind != Dentry::Kind::linked) return unlink(core, directory, name);  // another has the name by now

    ObjectName home = linked_object(dentry->ino);
    JointChange change = TRY(JointChange::begin(core, {{group.object, group.lease}, {home, {}}}));
    Wanted wanted{.keys = {key, slot_key(dentry->anchor)}};
    group = TRY(change.read(group.object, wanted));
    if (TRY(group.record(decode_dentry, key)) != dentry) return fail(ERESTART);
    Time now = core.now();
    auto anchor = TRY(read_anchor(group, *dentry, wanted));
    Unlinked unlinked{TRY(drop_linked_name(change, group, name, *dentry, anchor, now))};
    TRY(change.commit());
    if (unlinked.inode.links == 0) core.unlinked.push({group.object, unlinked_key(dentry->ino)});
    return unlinked;
}

}  // namespace

Result<Unlinked> unlink_linked(MetaCore& core, Ino directory, std::string_view name) {
    return joint_change(core, [&] { return unlink_once(core, directory, name); });
}

}  // namespace meshfs::ops
