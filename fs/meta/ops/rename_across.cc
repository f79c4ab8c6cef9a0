// rename of all that one group cannot do: between two groups, a directory with it or replaced, a name in h.<ino>
// replaced.
//
// X is taken on the groups of both names, on the header of each directory that moves, on all groups of one that is
// replaced, and on h.<ino> of a link that is; then one intent.  A directory that gets another parent moves under the
// lease of the whole volume: where `p` leads changes only by such moves, so that a walk upwards sees no loop in the
// making.  A crash before the intent changes nothing; after it any visitor finishes.
#include "fs/meta/ops/inode_home.h"
#include "fs/meta/ops/linked_inode.h"
#include "fs/meta/ops/names.h"
#include "fs/meta/ops/ops.h"
#include "fs/meta/ops/whole_directory.h"

namespace meshfs::ops {
namespace {

constexpr int kDepthMax = 4096;

struct Side {
    Ino directory{};
    std::string name;
    GroupView group;
    std::optional<Dentry> dentry;
    std::optional<SlotRecord> anchor;
};

bool is_directory(const std::optional<Dentry>& dentry) { return dentry && dentry->kind == Dentry::Kind::directory; }

// Slots are never used twice: a name that went and came again has another.
bool is_same(const std::optional<Dentry>& a, const std::optional<Dentry>& b) {
    auto place = [](const std::optional<Dentry>& d) {
        return d ? std::optional(std::make_tuple(d->kind, d->ino, d->slot, d->anchor)) : std::nullopt;
    };
    return place(a) == place(b);
}

class RenameAcross {
public:
    RenameAcross(MetaCore& core, const RenameRequest& request)
        : core_(core), r_(request), from_{.directory = r_.from_directory, .name = r_.from_name},
          to_{.directory = r_.to_directory, .name = r_.to_name} {}

    Result<Renamed> once() {
        replaced_.reset();
        TRY(look(from_));
        TRY(look(to_));
        const Status checked = check();
        if (from_.dentry && (!checked.ok() || is_one_file())) TRY(look_whether_still(from_));
        TRY(checked);
        if (is_one_file()) return Renamed{TRY(get(core_, from_.dentry->ino)), {}};
        change_.emplace(TRY(JointChange::begin(core_, TRY(objects()))));
        TRY(look_again(from_));
        TRY(look_again(to_));
        TRY(check_loops());
        now_ = core_.now();
        if (r_.exchange) {
            TRY(move(to_, from_));
        } else if (to_.dentry) {
            TRY(replace());
        }
        TRY(move(from_, to_));
        TRY(change_->commit());
        return tell();
    }

private:
    // As it is, to learn which objects are needed.
    Status look(Side& side) {
        side.group = TRY(read_range(core_, side.directory, side.name, {.keys = {name_key(side.name)}}));
        side.dentry = TRY(side.group.record(decode_dentry, name_key(side.name)));
        return {};
    }

    // What is answered without a lease must have been so at one moment: that at which the other name was read.  Else a
    // file that somebody moved from the one to the other in between would pass for one with both names.
    Status look_whether_still(const Side& side) {
        Side now{.directory = side.directory, .name = side.name};
        TRY(look(now));
        return is_same(now.dentry, side.dentry) ? Status() : fail(ERESTART);
    }

    Status check() const {
        if (!from_.dentry || (r_.exchange && !to_.dentry)) return fail(ENOENT);
        if (to_.dentry && r_.no_replace) return fail(EEXIST);
        if (is_one_file() || r_.exchange || !to_.dentry) return {};
        if (is_directory(to_.dentry) && !is_directory(from_.dentry)) return fail(EISDIR);
        if (!is_directory(to_.dentry) && is_directory(from_.dentry)) return fail(ENOTDIR);
        return {};
    }

    // Two names of one file, or one name: POSIX does nothing.
    bool is_one_file() const { return to_.dentry && to_.dentry->ino == from_.dentry->ino; }
    bool is_one_group() const { return from_.group.object == to_.group.object; }
    bool gets_new_parent(const std::optional<Dentry>& dentry) const {
        return is_directory(dentry) && from_.directory != to_.directory;
    }

    Result<std::vector<Exclusive::Wish>> objects() {
        std::vector<Exclusive::Wish> wishes{{from_.group.object, from_.group.lease}, {to_.group.object, to_.group.lease}};
        if (gets_new_parent(from_.dentry) || (r_.exchange && gets_new_parent(to_.dentry)))
            wishes.push_back({volume_move_object(), {}});
        if (is_directory(from_.dentry) && !is_one_group()) wishes.push_back({header_of(from_), {}});
        if (!to_.dentry) return wishes;
        if (r_.exchange) {
            if (is_directory(to_.dentry) && !is_one_group()) wishes.push_back({header_of(to_), {}});
        } else if (is_directory(to_.dentry)) {
            replaced_groups_ = TRY(objects_of_directory(core_, to_.dentry->ino));
            wishes.insert(wishes.end(), replaced_groups_.begin(), replaced_groups_.end());
        } else if (to_.dentry->kind == Dentry::Kind::linked) {
            wishes.push_back({linked_object(to_.dentry->ino), {}});
        }
        return wishes;
    }

    static ObjectName header_of(const Side& side) { return group_object(place_of(side.dentry->ino).group); }

    // Under X: the same dentry must be there, or another set of objects is needed.
    Status look_again(Side& side) {
        Wanted wanted{.keys = {name_key(side.name)}};
        if (side.dentry) wanted.keys.push_back(slot_key(side.dentry->anchor));
        side.group = TRY(change_->read(side.group.object, wanted));
        if (side.group.about.directory != side.directory || !side.group.about.covers(side.name)) return fail(ERESTART);
        auto dentry = TRY(side.group.record(decode_dentry, name_key(side.name)));
        if (!is_same(dentry, side.dentry)) return fail(ERESTART);
        side.dentry = std::move(dentry);
        if (side.dentry) side.anchor = TRY(read_anchor(side.group, *side.dentry, wanted));
        return {};
    }

    // EINVAL: a directory would come to lie in itself.
    Status check_loops() {
        if (gets_new_parent(from_.dentry)) TRY(check_is_not_above(from_.dentry->ino, to_.directory));
        if (r_.exchange && gets_new_parent(to_.dentry)) TRY(check_is_not_above(to_.dentry->ino, from_.directory));
        return {};
    }

    Status check_is_not_above(Ino moved, Ino at) {
        for (int depth = 0; depth < kDepthMax; ++depth) {
            if (at == moved) return fail(EINVAL);
            if (at == kRootIno) return {};
            // Whoever has it: nobody changes `p` without the volume's lease.
            auto header = read_group_now(core_, group_object(place_of(at).group), {.keys = {kPlaceKey}});
            if (header.code() == ENOENT) return fail(ERESTART);
            if (!header.ok()) return header.error();
            auto place = TRY(header->record(decode_place, kPlaceKey));
            if (!place) return damaged(header->object, kPlaceKey, fail(EIO, "there is none"));
            at = place->parent;
        }
        return fail(ELOOP);
    }

    Status replace() {
        const Dentry& there = *to_.dentry;
        NameEffects& effects = change_->at(to_.group);
        switch (there.kind) {
            case Dentry::Kind::file: {
                replaced_ = Unlinked{drop_file(effects, to_.name, there, to_.anchor, now_)};
                purge_ = {to_.group.object, unlinked_key(there.ino)};
                return {};
            }
            case Dentry::Kind::linked: {
                replaced_ = Unlinked{TRY(drop_linked_name(*change_, to_.group, to_.name, there, to_.anchor, now_))};
                purge_ = {to_.group.object, unlinked_key(there.ino)};
                return {};
            }
            case Dentry::Kind::directory: {
                auto groups = TRY(read_empty_directory(*change_, there.ino, replaced_groups_));
                replaced_ = Unlinked{TRY(kill_directory(*change_, groups))};
                drop_directory(effects, to_.name, there, to_.anchor, now_);
                purge_ = {to_.group.object, unlinked_key(there.ino)};
                return {};
            }
        }
        return fail(EIO);
    }

    Status move(Side& from, Side& to) {
        Dentry moved = *from.dentry;
        Slot slot = TRY(change_->new_slot(to.group));
        if (is_one_group()) {
            NameMove m{.from = from.name, .to = to.name, .new_slot = slot, .anchor = from.anchor};
            move_name(change_->at(from.group), moved, m, now_);
            return {};
        }
        change_->name_goes(from.group.group(), to.group.group());
        leave_name(change_->at(from.group), from.name, moved, from.anchor, {to.group.group(), slot}, now_);
        moved.slot = moved.anchor = slot;
        if (moved.kind == Dentry::Kind::file) {
            moved.inode.ctime = now_;
            change_->move_away(moved.ino, Place{to.group.group(), slot});
        }
        if (moved.kind == Dentry::Kind::directory) TRY(move_header(from, {to.directory, {to.group.group(), slot}}));
        add_name(change_->at(to.group), to.name, moved, now_);
        return {};
    }

    Status move_header(const Side& side, const PlaceRecord& place) {
        GroupView header = TRY(change_->read(header_of(side), {}));
        change_->at(header).set.emplace_back(kPlaceKey, encode(place));
        return {};
    }

    Result<Renamed> tell() {
        Renamed renamed{.replaced = replaced_};
        core_.hints.put(from_.dentry->ino, to_.group.group(), to_.name);
        if (r_.exchange) core_.hints.put(to_.dentry->ino, from_.group.group(), from_.name);
        if (replaced_) {
            core_.hints.forget(replaced_->inode.ino);
            if (replaced_->inode.links == 0) core_.unlinked.push(purge_);
        }
        renamed.moved = TRY(tell_side(from_));
        if (r_.exchange) TRY(tell_side(to_));
        return renamed;
    }

    // The ctime of a file went with its dentry.
    Result<Inode> tell_side(const Side& side) {
        const Dentry& dentry = *side.dentry;
        if (dentry.kind == Dentry::Kind::file) {
            Inode inode = dentry.inode;
            inode.ctime = now_;
            return inode;
        }
        return touch(core_, dentry);
    }

    MetaCore& core_;
    const RenameRequest& r_;
    Side from_, to_;
    std::vector<Exclusive::Wish> replaced_groups_;
    std::optional<JointChange> change_;
    Time now_;
    std::optional<Unlinked> replaced_;
    UnlinkedQueue::Item purge_;
};

}  // namespace

Result<Renamed> rename_across(MetaCore& core, const RenameRequest& request) {
    return joint_change(core, [&] { return RenameAcross(core, request).once(); });
}

}  // namespace meshfs::ops
