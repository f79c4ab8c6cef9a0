// link: another name for a file.
//
// With its second name an inode moves from its dentry to h.<ino>, made with two links, and both dentries refer to it;
// the away record of its number says so.  One intent over the groups of both names (then, over h.<ino> and the new
// name's group).  A crash before it changes nothing; after it any visitor finishes.
#include "fs/meta/ops/inode_home.h"
#include "fs/meta/ops/linked_inode.h"
#include "fs/meta/ops/names.h"
#include "fs/meta/ops/ops.h"

namespace meshfs::ops {
namespace {

// A file of O_TMPFILE may get its first name; one that has lost its last may not come back.
Result<Inode> link_unnamed(MetaCore& core, Ino ino, Ino directory, std::string_view name) {
    Place born = place_of(ino);
    auto view = read_group(core, group_object(born.group), {.keys = {slot_key(born.slot)}});
    if (view.code() == ENOENT) return fail(ENOENT);
    if (!view.ok()) return view.error();
    auto slot = TRY(view->record(decode_slot, slot_key(born.slot)));
    if (!slot || !slot->name.empty() || slot->kind != SlotRecord::Kind::unlinked) return fail(ENOENT);
    return TRY(publish(core, ino, directory, name, {.kind = PublishCondition::Kind::absent})).moved;
}

Result<Inode> link_once(MetaCore& core, Ino ino, Ino directory, std::string_view name) {
    const std::string key = name_key(name);
    auto target = TRY(read_range(core, directory, name, {.keys = {key}}));
    if (target.key(key) != nullptr) return fail(EEXIST);
    Home home = TRY(find_home(core, ino));
    if (home.kind == Home::Kind::unlinked) return link_unnamed(core, ino, directory, name);

    JointChange change = TRY(JointChange::begin(core, {{home.object, {}}, {target.object, target.lease}}));
    target = TRY(change.read(target.object, {.keys = {key}}));
    if (target.about.directory != directory || !target.about.covers(name)) return fail(ERESTART);
    if (target.key(key) != nullptr) return fail(EEXIST);
    Time now = core.now();
    Inode inode;
    if (home.kind == Home::Kind::linked) {
        inode = TRY(add_one_link(change, ino, now));
    } else {
        auto group = TRY(change.read(home.object, {.keys = {home.key}}));
        auto dentry = TRY(group.record(decode_dentry, home.key));
        if (!dentry || dentry->ino != ino || dentry->kind != Dentry::Kind::file) return fail(ERESTART);
        inode = TRY(make_linked(change, group, home.name, std::move(*dentry), now));
    }
    Dentry dentry{.kind = Dentry::Kind::linked, .ino = ino, .type = inode.mode & S_IFMT,
                  .slot = TRY(change.new_slot(target))};
    dentry.anchor = dentry.slot;
    add_name(change.at(target), name, dentry, now);
    TRY(change.commit());
    core.hints.forget(ino);
    return inode;
}

}  // namespace

Result<Inode> link(MetaCore& core, Ino ino, Ino directory, std::string_view name) {
    if (name == "." || name == "..") return fail(EEXIST);
    TRY(check_name(name));
    TRY(core.check_may_change());
    if (raw(place_of(ino).slot) == 0) return fail(EPERM);
    return joint_change(core, [&] { return link_once(core, ino, directory, name); });
}

}  // namespace meshfs::ops
