#include "fs/meta/ops/linked_inode.h"

namespace meshfs::ops {
namespace {

constexpr uint32_t kLinksMax = INT32_MAX;

Result<std::pair<GroupView, InodeRecord>> read_linked(JointChange& change, Ino ino) {
    GroupView view = TRY(change.read(linked_object(ino), {.keys = {kInodeKey}}));
    auto record = TRY(view.record(decode_inode, kInodeKey));
    if (!record || record->inode.links == 0) return fail(ERESTART);  // its last name went
    return std::pair(std::move(view), std::move(*record));
}

}  // namespace

// Extents that were freed from it stay in the dead h.<ino>: purge looks there first.
Result<Inode> drop_linked_name(JointChange& change, const GroupView& group, std::string_view name, const Dentry& dentry,
                               const std::optional<SlotRecord>& anchor, Time now) {
    auto [view, record] = TRY(read_linked(change, dentry.ino));
    record.inode.ctime = now;
    if (--record.inode.links > 0) {
        drop_link(change.at(group), name, dentry, anchor, now);
        change.at(view).set.emplace_back(kInodeKey, encode(record));
        return std::move(record.inode);
    }
    change.at(view).removed.push_back(kInodeKey);
    change.kill(view);
    change.move_away(dentry.ino, Place{group.group(), dentry.slot});
    drop_last_link(change.at(group), name, dentry, anchor, record.inode, now);
    return std::move(record.inode);
}

Result<Inode> add_one_link(JointChange& change, Ino ino, Time now) {
    auto [view, record] = TRY(read_linked(change, ino));
    if (record.inode.links >= kLinksMax) return fail(EMLINK);
    ++record.inode.links;
    record.inode.ctime = now;
    change.at(view).set.emplace_back(kInodeKey, encode(record));
    return std::move(record.inode);
}

Result<Inode> make_linked(JointChange& change, const GroupView& group, std::string_view name, Dentry dentry, Time now) {
    InodeRecord record{.inode = std::move(dentry.inode)};
    record.inode.links = 2;
    record.inode.ctime = now;
    change.make(linked_object(dentry.ino), {{kInodeKey, encode(record)}});
    change.move_away(dentry.ino, std::nullopt);
    NameEffects& effects = change.at(group);
    effects.delta += {.bytes = -static_cast<int64_t>(record.inode.map.bytes)};
    dentry.kind = Dentry::Kind::linked;
    dentry.inode = {};
    effects.set.emplace_back(name_key(name), encode(dentry));
    return std::move(record.inode);
}

}  // namespace meshfs::ops
