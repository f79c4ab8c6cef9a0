// Groups that a session which is over had made and not named: of mkdir, and of splits.
//
// Not being found proves nothing; these do.  Of a directory: its `p` says in which slot of which group its
// name would have come to be (mkdir.cc), slots are never used twice, and that one never was.  Of a range: the
// header's map does not have it.  Both are looked at under X on the group that would have named it, as well:
// so the epoch is another one than the last mutation of that session could be guarded on, however late it
// came.  Once nameless is nameless for ever, because nobody else knows the number.
//
// A slot that is in use may be another's: a mount may die with slots it had reserved in a group it held and not
// written, and whoever takes that group over gives them out.  Where the slot leads tells.
//
// A mount that holds groups may have written directories with all that is in them, whose topmost had no name
// yet.  All of it was made by that mount alone; it goes by the ordinary operations, so that purge sees to the
// bytes.
#include "fs/base/log.h"
#include "fs/base/wire.h"
#include "fs/meta/joint_change.h"
#include "fs/meta/ops/collect.h"
#include "fs/meta/ops/ops.h"
#include "fs/meta/ops/whole_directory.h"
#include "fs/meta/patience.h"

namespace meshfs::ops {
namespace {

// ENOENT, or dead: it names nothing, and never will.
Result<bool> may_name(MetaCore& core, const ObjectName& group) {
    auto view = read_group_now(core, group, {});
    if (view.code() == ENOENT) return false;
    if (!view.ok()) return view.error();
    return !view->is_dead();
}

class NamelessDirectory {
public:
    NamelessDirectory(MetaCore& core, GroupId group)
        : core_(core), ino_(ino_of({group, Slot{0}})), header_(group_object(group)) {}

    // False: it has, or had, a name.
    Result<bool> remove() {
        for (;;) {
            auto removed = joint_change(core_, [&] { return remove_empty(); });
            if (removed.code() != ENOTEMPTY) return removed;
            TRY(make_empty());
        }
    }

private:
    Result<PlaceRecord> place_in(const GroupView& header) const {
        auto place = TRY(header.record(decode_place, kPlaceKey));
        if (!place) return damaged(header_, kPlaceKey, fail(EIO, "there is none"));
        return *place;
    }

    // Without leases, so that groups with names are told from others at two reads each.
    Result<bool> looks_nameless() {
        auto header = read_group_now(core_, header_, {.keys = {kPlaceKey}});
        if (header.code() == ENOENT || (header.ok() && header->is_dead())) return false;
        if (!header.ok()) return header.error();
        place_ = TRY(place_in(*header));
        const std::string slot = slot_key(place_.dentry.slot);
        auto parent = read_group_now(core_, group_object(place_.dentry.group), {.keys = {slot}});
        if (parent.code() == ENOENT) return true;
        if (!parent.ok()) return parent.error();
        return parent->key(slot) == nullptr || TRY(is_slot_of_another());
    }

    // ENOTEMPTY: it is nameless, and not empty.
    Result<bool> remove_empty() {
        if (!TRY(looks_nameless())) return false;
        const ObjectName parent = group_object(place_.dentry.group);
        const bool has_parent = TRY(may_name(core_, parent));
        // The record by which purge finds it: where its name would be, or where there always is something.
        const ObjectName keeper = has_parent ? parent : group_object(kRootGroup);
        const auto own = TRY(objects_of_directory(core_, ino_));
        auto wishes = own;
        wishes.push_back({keeper, std::nullopt});
        JointChange change = TRY(JointChange::begin(core_, std::move(wishes)));
        GroupView header = TRY(change.read(header_, {.keys = {kPlaceKey}}));
        if (TRY(place_in(header)) != place_) return fail(ERESTART);
        const std::string slot = slot_key(place_.dentry.slot);
        GroupView keeping = TRY(change.read(keeper, {.keys = {slot}}));
        const bool had_name = has_parent && keeping.key(slot) != nullptr && !TRY(is_slot_of_another());
        if (had_name || (has_parent && TRY(is_named_in(parent)))) return false;
        (void)TRY(kill_directory(change, TRY(read_empty_directory(change, ino_, own))));
        UnlinkedRecord unlinked{.kind = UnlinkedRecord::Kind::directory, .since = core_.now()};
        unlinked.inode.ino = ino_;
        unlinked.inode.mode = S_IFDIR;
        change.at(keeping).set.emplace_back(unlinked_key(ino_), encode(unlinked));
        TRY(change.commit());
        core_.maps.forget(ino_);
        core_.unlinked.push({keeper, unlinked_key(ino_)});
        return true;
    }

    // A slot is one dentry's for ever, so what is found is so whoever changes what meanwhile.  If no name is left, it was
    // not this directory's, which would be dead.
    Result<bool> is_slot_of_another() {
        constexpr int kHopsMax = 64;
        Place at = place_.dentry;
        for (int hop = 0; hop < kHopsMax; ++hop) {
            auto view = read_group_now(core_, group_object(at.group), {.keys = {slot_key(at.slot)}});
            if (view.code() == ENOENT) return false;
            if (!view.ok()) return view.error();
            auto slot = TRY(view->record(decode_slot, slot_key(at.slot)));
            if (!slot) return false;
            switch (slot->kind) {
                case SlotRecord::Kind::unlinked:
                case SlotRecord::Kind::linked: return true;
                case SlotRecord::Kind::moved: at.slot = slot->to; break;
                case SlotRecord::Kind::away: at = {slot->to_group, slot->to}; break;
                case SlotRecord::Kind::name: {
                    auto named = TRY(read_group_now(core_, view->object, {.keys = {name_key(slot->name)}}));
                    auto dentry = TRY(named.record(decode_dentry, name_key(slot->name)));
                    return dentry && dentry->slot == at.slot && dentry->ino != ino_;
                }
            }
        }
        return false;
    }

    // The slot was enough; but a slot that was lost must not cost a directory that has its name.
    Result<bool> is_named_in(const ObjectName& parent) {
        for (std::string after;;) {
            auto view =
                TRY(read_group_now(core_, parent, {.ranges = {{after, "n", kRangeEntriesMax, 4u << 20}}}));
            const RangeAnswer& names = view.answer.ranges.at(0);
            for (const auto& [key, value] : names.entries) {
                if (TRY(decode_at(decode_dentry, parent, key, value)).ino == ino_) return true;
                after = key;
            }
            if (!names.more) return false;
        }
    }

    Status make_empty() {
        std::vector<std::pair<Ino, std::string>> path{{ino_, ""}};
        while (!path.empty()) {
            const Ino directory = path.back().first;
            ListPage page = TRY(list(core_, {.directory = directory}));
            bool is_below = false;
            for (const DirectoryEntry& entry : page.entries) {
                if (!S_ISDIR(entry.type)) {
                    (void)TRY(unlink(core_, directory, entry.name));
                } else if (TRY(may_name(core_, group_object(place_of(entry.ino).group)))) {
                    path.emplace_back(entry.ino, entry.name);
                    is_below = true;
                    break;
                } else {  // written at once, one of them arrived
                    TRY(drop_dead_directory(core_, directory, entry.name, entry.ino));
                }
            }
            if (is_below || !page.entries.empty() || page.more) continue;
            const std::string name = std::move(path.back().second);
            path.pop_back();
            if (!path.empty()) (void)TRY(rmdir(core_, path.back().first, name));
        }
        return {};
    }

    MetaCore& core_;
    const Ino ino_;
    const ObjectName header_;
    PlaceRecord place_;
};

// A range that a split had filled and whose intent was never written: it has copies, so nothing in it is
// anybody's.
Result<bool> remove_range_once(MetaCore& core, const GroupView& range) {
    const ObjectName header = group_object(place_of(range.about.directory).group);
    const std::string key = range_key(range.about.first);
    auto is_in_map = [&](const Result<GroupView>& view) -> Result<bool> {
        if (view.code() == ENOENT) return false;
        if (!view.ok()) return view.error();
        auto record = TRY(view->record(decode_range, key));
        return record && record->group == range.about.group;
    };
    if (TRY(is_in_map(read_group_now(core, header, {.keys = {key}})))) return false;
    std::vector<Exclusive::Wish> wishes{{range.object, std::nullopt}};
    const bool has_header = TRY(may_name(core, header));
    if (has_header) wishes.push_back({header, std::nullopt});
    auto held = Exclusive::take(core, std::move(wishes));
    if (held.code() == ESTALE) return fail(ERESTART);
    if (!held.ok()) return held.error();
    if (has_header) {
        auto view = read_group_now(core, header, {.keys = {key}});
        if (TRY(is_in_map(view))) return false;
        if (!view.ok() || view->lease != TRY(held->lease(header))) return fail(ERESTART);
    }
    const std::string lease = encode(TRY(held->lease(range.object)));
    auto removed = apply_patiently(core.store, core.clock,
                                   std::move(Mutation(range.object).xattr_is(kLeaseXattr, lease).remove()));
    if (!removed.ok() && removed.code() != ENOENT) return removed.error();
    held->passed_on(range.object);
    return true;
}

Result<bool> remove_if_nameless(MetaCore& core, GroupId group) {
    const ObjectName object = group_object(group);
    return joint_change(core, [&]() -> Result<bool> {
        auto view = read_group_now(core, object, {});
        if (view.code() == ENOENT || (view.ok() && view->is_dead()))
            return false;  // never made; purge has it
        if (!view.ok()) return view.error();
        if (!view->about.first.empty()) return remove_range_once(core, *view);
        return NamelessDirectory(core, group).remove();
    });
}

}  // namespace

Result<uint64_t> remove_nameless(MetaCore& core, SessionId session) {
    const ObjectName object = session_object(session);
    uint64_t removed = 0;
    for (std::string after;;) {
        auto answer = ask_patiently(core.store, core.clock, Query(object).range(after, "g"));
        if (answer.code() == ENOENT) return removed;
        if (!answer.ok()) return answer.error();
        for (const auto& [key, value] : answer->ranges.at(0).entries) {
            const uint64_t first = raw(TRY(decode_at(group_of_births_key, object, key, key)));
            const uint64_t count = TRY(decode_at(decode_births, object, key, value)).count;
            for (uint64_t i = 0; i < count; ++i) removed += TRY(remove_if_nameless(core, GroupId{first + i}));
            auto forgotten = apply_patiently(core.store, core.clock,
                                             std::move(Mutation(object).exists().remove_keys({key})));
            if (!forgotten.ok() && forgotten.code() != ENOENT) return forgotten.error();
            after = key;
        }
        if (!answer->ranges.at(0).more) return removed;
    }
}

}  // namespace meshfs::ops
