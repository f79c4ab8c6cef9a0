// publish: names a nameless inode, replacing what had the name, in one mutation of one group.
//
// The condition is decided on the name as read, which is the guard.  A crash leaves the old file or the new one
// under the name, never neither.  If u<ino> lies in another group than the name, or a name in h.<ino> is replaced, X is
// taken on them and one intent does it.
#include "fs/meta/ops/linked_inode.h"
#include "fs/meta/ops/names.h"
#include "fs/meta/ops/ops.h"

namespace meshfs::ops {
namespace {

// EXDEV: the generation of what is there is in h.<ino>.
Status check_condition(const PublishCondition& when, const std::optional<Dentry>& there) {
    using Kind = PublishCondition::Kind;
    if (there && there->kind == Dentry::Kind::directory) return fail(EISDIR);
    if (there && when.kind == Kind::absent) return fail(EEXIST);
    if (when.kind != Kind::generation) return {};
    if (there && there->kind == Dentry::Kind::linked) return fail(EXDEV);
    if (!there || there->inode.content_version != when.generation) return fail(ECANCELED);
    return {};
}

// The nameless inode, as the dentry it becomes in the group of its name.
Dentry named(Inode inode, Slot slot, Time now) {
    Dentry dentry{.ino = inode.ino, .type = inode.mode & S_IFMT, .slot = slot, .anchor = slot, .inode = std::move(inode)};
    dentry.inode.links = 1;
    dentry.inode.ctime = now;
    return dentry;
}

void tell(MetaCore& core, const Renamed& renamed, GroupId group, std::string_view name) {
    core.hints.put(renamed.moved.ino, group, name);
    if (renamed.replaced) core.hints.forget(renamed.replaced->inode.ino);
}

class PublishAcross {
public:
    PublishAcross(MetaCore& core, Ino ino, Ino directory, std::string_view name, const PublishCondition& when)
        : core_(core), ino_(ino), directory_(directory), name_(name), when_(when) {}

    Result<Renamed> once() {
        const std::string key = name_key(name_), u_key = unlinked_key(ino_);
        GroupView target = TRY(read_range(core_, directory_, name_, {.keys = {key}}));
        auto there = TRY(target.record(decode_dentry, key));
        const bool is_linked = there && there->kind == Dentry::Kind::linked;
        // What waits for its first name keeps its range from being merged, but not its directory from being removed.
        auto home = read_group_now(core_, group_object(place_of(ino_).group), {});
        if (home.code() == ENOENT || (home.ok() && home->is_dead())) return fail(ESTALE);
        if (!home.ok()) return home.error();
        std::vector<Exclusive::Wish> wishes{{target.object, target.lease}, {home->object, home->lease}};
        if (is_linked) wishes.push_back({linked_object(there->ino), {}});
        JointChange change = TRY(JointChange::begin(core_, std::move(wishes)));

        Wanted wanted{.keys = {key}};
        if (there) wanted.keys.push_back(slot_key(there->anchor));
        target = TRY(change.read(target.object, wanted));
        if (!target.about.covers(name_) || TRY(target.record(decode_dentry, key)) != there) return fail(ERESTART);
        GroupView born = TRY(change.read(home->object, {.keys = {u_key}}));
        auto unlinked = TRY(born.record(decode_unlinked, u_key));
        if (!unlinked || unlinked->kind != UnlinkedRecord::Kind::file) return fail(ESTALE);

        Renamed renamed;
        UnlinkedQueue::Item purge{target.object, there ? unlinked_key(there->ino) : std::string()};
        Time now = core_.now();
        if (is_linked) {
            auto anchor = TRY(read_anchor(target, *there, wanted));
            renamed.replaced = Unlinked{TRY(drop_linked_name(change, target, name_, *there, anchor, now))};
            if (when_.kind == PublishCondition::Kind::absent) return fail(EEXIST);
            if (when_.kind == PublishCondition::Kind::generation &&
                renamed.replaced->inode.content_version != when_.generation)
                return fail(ECANCELED);
        } else {
            TRY(check_condition(when_, there));
            if (there)
                renamed.replaced =
                    Unlinked{drop_file(change.at(target), name_, *there, TRY(read_anchor(target, *there, wanted)), now)};
        }
        Dentry dentry = named(std::move(unlinked->inode), TRY(change.new_slot(target)), now);
        renamed.moved = dentry.inode;
        Place place{target.group(), dentry.slot};
        NameEffects& leaving = change.at(born);
        leaving.removed.push_back(u_key);
        SlotRecord away{.kind = SlotRecord::Kind::away, .to = place.slot, .to_group = place.group, .gone_at = now.seconds};
        leaving.set.emplace_back(slot_key(place_of(ino_).slot), encode(away));
        change.move_away(ino_, place);
        add_name(change.at(target), name_, dentry, now);
        TRY(change.commit());
        if (renamed.replaced && renamed.replaced->inode.links == 0) core_.unlinked.push(purge);
        tell(core_, renamed, place.group, name_);
        return renamed;
    }

private:
    MetaCore& core_;
    const Ino ino_, directory_;
    const std::string_view name_;
    const PublishCondition& when_;
};

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
        Dentry dentry = named(std::move(unlinked->inode), born.slot, now);
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
    if (status.code() == EXDEV)
        return joint_change(core, [&] { return PublishAcross(core, ino, directory, name, when).once(); });
    TRY(status);
    if (renamed.replaced) core.unlinked.push({group_object(group), unlinked_key(renamed.replaced->inode.ino)});
    tell(core, renamed, group, name);
    return renamed;
}

}  // namespace meshfs::ops
