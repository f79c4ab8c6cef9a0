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

Result<Inode> drop_one_link(JointChange& change, Ino ino, Time now) {
    auto [view, record] = TRY(read_linked(change, ino));
    NameEffects& effects = change.at(view);
    record.inode.ctime = now;
    if (--record.inode.links > 0) {
        effects.set.emplace_back(kInodeKey, encode(record));
        return std::move(record.inode);
    }
    UnlinkedRecord unlinked{.kind = UnlinkedRecord::Kind::file, .inode = std::move(record.inode), .since = now};
    effects.removed.push_back(kInodeKey);
    effects.set.emplace_back(unlinked_key(ino), encode(unlinked));
    return std::move(unlinked.inode);
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
