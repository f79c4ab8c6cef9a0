// publish: names a nameless inode, replacing what had the name, in one mutation of one group.
//
// The condition is decided on the name as read, which is the guard.  A crash leaves the old file or the new one
// under the name, never neither.  If u<ino> lies in another group than the name, publish_across does it.
#include "fs/meta/ops/names.h"
#include "fs/meta/ops/ops.h"

namespace meshfs::ops {
namespace {

Status check_condition(const PublishCondition& when, const std::optional<Dentry>& there) {
    using Kind = PublishCondition::Kind;
    if (there && there->kind == Dentry::Kind::directory) return fail(EISDIR);
    if (there && when.kind == Kind::absent) return fail(EEXIST);
    if (when.kind != Kind::generation) return {};
    if (there && there->kind == Dentry::Kind::linked) return fail(EXDEV);
    if (!there || there->inode.content_version != when.generation) return fail(ECANCELED);
    return {};
}

}  // namespace

Result<Renamed> publish(MetaCore& core, Ino ino, Ino directory, std::string_view name, const PublishCondition& when) {
    if (name == "." || name == "..") return fail(EISDIR);
    TRY(check_name(name));
    const Place born = place_of(ino);
    const std::string key = name_key(name), u_key = unlinked_key(ino), born_key = slot_key(born.slot);
    Wanted wanted{.keys = {key, u_key, born_key}};
    Renamed renamed;
    GroupId group{};
    auto build = [&](GroupChange& change) -> Status {
        renamed = {};
        const GroupView& view = change.view();
        group = view.group();
        auto unlinked = TRY(view.record(decode_unlinked, u_key));
        if (!unlinked || unlinked->kind != UnlinkedRecord::Kind::file || born.group != group) return fail(EXDEV);
        auto there = TRY(view.record(decode_dentry, key));
        TRY(check_condition(when, there));
        if (there && there->kind == Dentry::Kind::linked) return fail(EXDEV);
        Time now = core.now();
        NameEffects effects;
        if (there) {
            auto anchor = TRY(read_anchor(view, *there, wanted));
            renamed.replaced = Unlinked{drop_file(effects, name, *there, anchor, now)};
            effects.removed.clear();  // the name stays, with another behind it
        }
        Dentry dentry{.ino = ino, .slot = born.slot, .anchor = born.slot, .inode = std::move(unlinked->inode)};
        dentry.inode.links = 1;
        dentry.inode.ctime = now;
        dentry.type = dentry.inode.mode & S_IFMT;
        // A slot that once had a name keeps it for cookies.
        auto slot = TRY(view.record(decode_slot, born_key));
        if (slot && !slot->name.empty()) {
            dentry.slot = TRY(change.new_slot());
            slot->kind = SlotRecord::Kind::moved;
            slot->to = dentry.slot;
            effects.set.emplace_back(born_key, encode(*slot));
        }
        add_name(effects, name, dentry, now);
        effects.removed.push_back(u_key);
        effects.add_to(change);
        renamed.moved = dentry.inode;
        return {};
    };
    Status status;
    do status = change_group(core, {.directory = directory, .name = std::string(name)}, wanted, build);
    while (status.code() == ERESTART);
    if (status.code() == EXDEV) return publish_across(core, ino, directory, name, when);
    TRY(status);
    core.hints.put(ino, group, name);
    if (renamed.replaced) {
        core.hints.forget(renamed.replaced->inode.ino);
        core.unlinked.push({group_object(group), unlinked_key(renamed.replaced->inode.ino)});
    }
    return renamed;
}

}  // namespace meshfs::ops
