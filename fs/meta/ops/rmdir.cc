// rmdir: under X on the parent's group and on all groups of the directory, it is seen empty; one intent turns the
// directory dead and takes its name away.
//
// If both are held already, that is so, and it is done in memory: HeldGroups::remove_directory().
//
// While X is held nobody can make a name in it or move it.  A crash before the intent leaves everything as it was; after
// it any visitor finishes both.  What is left, dead groups behind u<ino>, is purge's.
#include "fs/meta/merge.h"
#include "fs/meta/ops/names.h"
#include "fs/meta/ops/ops.h"
#include "fs/meta/ops/whole_directory.h"

namespace meshfs::ops {
namespace {

// None: it cannot be done in memory.
Result<std::optional<Unlinked>> rmdir_held(MetaCore& core, Ino directory, std::string_view name) {
    constexpr int kRoundsMax = 8;
    const std::string key = name_key(name);
    Wanted wanted{.keys = {key, kSumKey}};
    for (int tries = 0; tries < kRoundsMax; ++tries) {
        auto parent = TRY(read_range(core, directory, name, wanted));
        auto dentry = TRY(parent.record(decode_dentry, key));
        if (!dentry) return fail(ENOENT);
        if (dentry->kind != Dentry::Kind::directory) return fail(ENOTDIR);
        if (!parent.lease.is_kept_by(core.session_id())) break;
        auto anchor = read_anchor(parent, *dentry, wanted);
        if (anchor.code() == ERESTART) continue;
        if (!anchor.ok()) return anchor.error();
        auto child = read_header(core, dentry->ino, {.keys = {kInodeKey}, .ranges = {{"", "n", 1, 1}}});
        if (!child.ok() || !child->lease.is_kept_by(core.session_id()) || !child->about.is_whole()) break;
        if (!child->answer.ranges.at(0).entries.empty()) return fail(ENOTEMPTY);
        auto record = TRY(child->record(decode_inode, kInodeKey));
        if (!record) break;

        NameEffects effects;
        drop_directory(effects, name, *dentry, *anchor, core.now());
        Sum sum = TRY(parent.record(decode_sum, kSumKey)).value_or(Sum{});
        sum += effects.delta;
        Mutation m(parent.object);
        m.xattr_is(kLeaseXattr, parent.lease_value);
        for (const auto& read : wanted.keys) parent.guard(m, read);
        effects.set.emplace_back(kSumKey, encode(sum));
        m.remove_keys(std::move(effects.removed)).set_keys(std::move(effects.set));
        bool is_removed = false;
        auto status = core.held.remove_directory(m, child->object, child->lease, is_removed);
        if (!is_removed && status.code() == ECANCELED) continue;
        if (!is_removed && status.code() == EOPNOTSUPP) break;
        if (!is_removed) return status.error();
        core.sums.forget(directory);
        core.maps.forget(dentry->ino);
        core.unlinked.push({parent.object, unlinked_key(dentry->ino)});
        TRY(status);
        if (is_time_to_merge(core, parent.about, effects.delta, sum)) merge_if_small(core, parent.object);
        record->inode.links = 0;
        return std::optional(Unlinked{std::move(record->inode)});
    }
    return std::optional<Unlinked>();
}

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
    const GroupId group = core.maps.find(directory, name).value_or(place_of(directory).group);
    if (core.held.holds(group_object(group).name))
        if (auto removed = TRY(rmdir_held(core, directory, name))) return std::move(*removed);
    return joint_change(core, [&] { return rmdir_once(core, directory, name); });
}

}  // namespace meshfs::ops
