#include "fs/meta/ops/names.h"

#include <algorithm>

namespace meshfs::ops {
namespace {

// What a name counts for in the sums of its group.
Sum sum_of(const Dentry& dentry) {
    bool is_file = dentry.kind == Dentry::Kind::file;
    return {.names = 1, .subdirectories = dentry.kind == Dentry::Kind::directory ? 1 : 0,
            .bytes = is_file ? static_cast<int64_t>(dentry.inode.map.bytes) : 0};
}

// n<name> goes; i<slot> and the anchor say what became of it.
void take_name(NameEffects& effects, std::string_view name, const Dentry& dentry,
               const std::optional<SlotRecord>& anchor, SlotRecord gone, Time now) {
    effects.removed.push_back(name_key(name));
    effects.set.emplace_back(slot_key(dentry.slot), encode(gone));
    if (dentry.anchor != dentry.slot) {
        if (anchor) gone.name = anchor->name;
        effects.set.emplace_back(slot_key(dentry.anchor), encode(gone));
    }
    Sum sum = sum_of(dentry);
    effects.delta += {.names = -sum.names, .subdirectories = -sum.subdirectories, .bytes = -sum.bytes, .mtime = now};
}

}  // namespace

void NameEffects::add_to(GroupChange& change) const {
    for (const auto& [key, value] : set) change.set(key, value);
    for (const auto& key : removed) change.remove(key);
    change.add(delta);
}

void add_name(NameEffects& effects, std::string_view name, const Dentry& dentry, Time now) {
    effects.set.emplace_back(name_key(name), encode(dentry));
    effects.set.emplace_back(slot_key(dentry.slot), encode(SlotRecord{.name = std::string(name)}));
    Sum sum = sum_of(dentry);
    sum.mtime = now;
    effects.delta += sum;
}

SlotRecord gone_record(SlotRecord::Kind kind, std::string_view name, Time now) {
    return {.kind = kind, .name = std::string(name), .gone_at = now.seconds};
}

Result<std::optional<SlotRecord>> read_anchor(const GroupView& view, const Dentry& dentry, Wanted& wanted) {
    if (dentry.anchor == dentry.slot) return std::optional<SlotRecord>();
    std::string key = slot_key(dentry.anchor);
    if (std::find(wanted.keys.begin(), wanted.keys.end(), key) == wanted.keys.end()) {
        wanted.keys.push_back(key);
        return fail(ERESTART);
    }
    return view.record(decode_slot, key);
}

Inode drop_file(NameEffects& effects, std::string_view name, const Dentry& dentry,
                const std::optional<SlotRecord>& anchor, Time now) {
    take_name(effects, name, dentry, anchor, gone_record(SlotRecord::Kind::unlinked, name, now), now);
    UnlinkedRecord unlinked{.kind = UnlinkedRecord::Kind::file, .inode = dentry.inode, .since = now};
    unlinked.inode.links = 0;
    unlinked.inode.ctime = now;
    effects.set.emplace_back(unlinked_key(dentry.ino), encode(unlinked));
    return unlinked.inode;
}

void drop_link(NameEffects& effects, std::string_view name, const Dentry& dentry,
               const std::optional<SlotRecord>& anchor, Time now) {
    take_name(effects, name, dentry, anchor, gone_record(SlotRecord::Kind::linked, name, now), now);
}

void drop_last_link(NameEffects& effects, std::string_view name, const Dentry& dentry,
                    const std::optional<SlotRecord>& anchor, const Inode& inode, Time now) {
    take_name(effects, name, dentry, anchor, gone_record(SlotRecord::Kind::unlinked, name, now), now);
    UnlinkedRecord unlinked{.kind = UnlinkedRecord::Kind::linked, .inode = inode, .since = now};
    effects.set.emplace_back(unlinked_key(dentry.ino), encode(unlinked));
}

void drop_directory(NameEffects& effects, std::string_view name, const Dentry& dentry,
                    const std::optional<SlotRecord>& anchor, Time now) {
    take_name(effects, name, dentry, anchor, gone_record(SlotRecord::Kind::unlinked, name, now), now);
    UnlinkedRecord unlinked{.kind = UnlinkedRecord::Kind::directory, .since = now};
    unlinked.inode.ino = dentry.ino;
    unlinked.inode.mode = S_IFDIR;
    effects.set.emplace_back(unlinked_key(dentry.ino), encode(unlinked));
}

void leave_name(NameEffects& effects, std::string_view name, const Dentry& dentry,
                const std::optional<SlotRecord>& anchor, Place to, Time now) {
    SlotRecord gone = gone_record(SlotRecord::Kind::away, name, now);
    gone.to_group = to.group;
    gone.to = to.slot;
    take_name(effects, name, dentry, anchor, std::move(gone), now);
}

Dentry move_name(NameEffects& effects, const Dentry& dentry, const NameMove& move, Time now) {
    Dentry moved = dentry;
    moved.slot = move.new_slot;
    if (moved.kind == Dentry::Kind::file) moved.inode.ctime = now;
    // The anchor leads to the new slot; the slot between, if any, only tells cookies the old name.
    SlotRecord old = gone_record(SlotRecord::Kind::moved, move.from, now);
    old.to = move.new_slot;
    effects.set.emplace_back(slot_key(dentry.slot), encode(old));
    if (dentry.anchor != dentry.slot) {
        SlotRecord anchor = move.anchor.value_or(old);
        anchor.kind = SlotRecord::Kind::moved;
        anchor.to = move.new_slot;
        effects.set.emplace_back(slot_key(dentry.anchor), encode(anchor));
    }
    if (move.leaves_old) effects.removed.push_back(name_key(move.from));
    effects.set.emplace_back(name_key(move.to), encode(moved));
    effects.set.emplace_back(slot_key(move.new_slot), encode(SlotRecord{.name = std::string(move.to)}));
    effects.delta.mtime = std::max(effects.delta.mtime, now);
    return moved;
}

}  // namespace meshfs::ops
