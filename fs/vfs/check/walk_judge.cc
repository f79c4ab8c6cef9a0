// What a directory's groups do not show by themselves: who has them, where the directory is, which ranges it has.
#include "fs/base/wire.h"
#include "fs/meta/intent.h"
#include "fs/meta/ops/inode_home.h"
#include "fs/meta/ops/names.h"
#include "fs/meta/ops/ops.h"
#include "fs/vfs/check/walk.h"

namespace meshfs::check {
namespace {

// The name that a directory was met by goes, if it still leads there; its bytes are kept.
Status take_name_away(Scene& scene, Ino parent, const std::string& name, Ino directory) {
    std::string key = name_key(name);
    return change_group(scene.core, {.directory = parent, .name = name}, {.keys = {key}},
                        [&](GroupChange& change) -> Status {
                            auto dentry = TRY(change.view().record(decode_dentry, key));
                            if (!dentry || dentry->ino != directory) return fail(ECANCELED, "it changed meanwhile");
                            Time now = scene.core.now();
                            std::string gone = encode(ops::gone_record(SlotRecord::Kind::unlinked, name, now));
                            change.set(kTakenAway + key, *change.key(key));
                            change.remove(key);
                            change.set(slot_key(dentry->slot), gone);
                            if (dentry->anchor != dentry->slot) change.set(slot_key(dentry->anchor), gone);
                            change.add({.names = -1, .subdirectories = -1, .mtime = now});
                            return {};
                        });
}

}  // namespace

Status Walk::judge_missing(GroupPass& pass, const GroupRole& role, const Task& task) {
    pass.is_gone = true;
    if (role.is_header && !task.is_root() && !TRY(is_named_by(task.directory, task.parent, task.name))) return {};
    const std::string group = group_object(role.group).name;
    Finding finding{.object = task.named_in.name,
                    .key = printable(name_key(task.name)),
                    .path = task.path,
                    .what = "leads to a directory whose object " + group + " is missing",
                    .repair = "the name is taken away"};
    if (task.is_root()) {
        finding = {.object = group, .path = "/", .what = "the root directory is missing", .repair = ""};
        pass.suspects.push_back({std::move(finding), nullptr});
    } else if (role.is_header) {
        pass.suspects.push_back({std::move(finding), [this, task] {
                                     return take_name_away(scene_, task.parent, task.name, task.directory);
                                 }});
    } else {
        finding = {.object = group_object(place_of(role.directory).group).name,
                   .key = printable(range_key(role.first)),
                   .path = task.path,
                   .what = "range leads to object " + group + ", which is missing",
                   .repair = "an empty range is made in its place"};
        pass.suspects.push_back({std::move(finding), [this, role] {
                                     About about{.group = role.group,
                                                 .directory = role.directory,
                                                 .first = role.first,
                                                 .end = role.end.value_or("")};
                                     Mutation m(group_object(role.group));
                                     m.absent().create().set_xattr(kLeaseXattr,
                                                                   encode(free_lease(new_epoch(scene_))));
                                     m.set_xattr(kAboutXattr, encode(about));
                                     return scene_.store.apply(std::move(m));
                                 }});
    }
    return {};
}

Status Walk::judge_lease(GroupPass& pass, const GroupRole& role, const Task& task) {
    if (!pass.lease) return {};
    const Lease lease = *pass.lease;
    const ObjectName object = group_object(role.group);
    Finding finding{.object = object.name, .key = kLeaseXattr, .path = task.path};
    // Of a living mount between its operations: what is in the store is whole.
    if ((lease.flags & Lease::kept) != 0 && options_.live) return {};
    if (lease.kind == Lease::Kind::exclusive) {
        std::string holder = "is held by session " + std::to_string(raw(lease.session));
        if (options_.live) {
            // What it holds may be half done, and is its business.
            pass.suspects.clear();
            finding.state = Finding::State::note;
            finding.what = holder + ": was not judged";
            pass.suspects.push_back({std::move(finding), nullptr});
            return {};
        }
        // What one that died had not begun to change is whole, and whoever wants it takes it.  An intent that cannot be
        // read was told.
        auto is_half = is_half_done(scene_.core, object, lease);
        if (!is_half.ok() && is_half.code() != EIO) return is_half.error();
        if (is_half.ok() && !*is_half) return {};
        pass.suspects.clear();
        // Not wrong: the next mount does the same.  Only who may write can do it before the rest is looked at.
        if (!options_.repair && is_half.ok()) finding.state = Finding::State::note;
        finding.what = holder + ", which is no more and had begun to change it: was not judged; the next mount, or --repair, "
                                "finishes that";
        finding.repair = "what that session had begun is finished, and the group is freed";
        pass.suspects.push_back({std::move(finding), [this, object] { return scene_.core.wait_for_free(object); }});
        return {};
    }
    if (lease.kind != Lease::Kind::dead) return {};
    bool is_empty = pass.names == 0;
    pass.is_gone = is_empty;
    finding.what = is_empty ? "is removed, and has its name still" : "is removed, and has names in it";
    if (is_empty && role.is_header && !task.is_root()) {
        pass.suspects.clear();
        if (!TRY(is_named_by(task.directory, task.parent, task.name))) return {};
        finding.repair = "the name goes, too";
        pass.suspects.push_back(
            {std::move(finding),
             [this, task] { return ops::drop_dead_directory(scene_.core, task.parent, task.name, task.directory); }});
        return {};
    }
    finding.repair = "it is brought back";
    pass.suspects.push_back({std::move(finding), [this, object, value = pass.lease_value, epoch = lease.epoch] {
                                 return mend_xattr(scene_, object, kLeaseXattr, value, encode(free_lease(epoch + 1)));
                             }});
    return {};
}

void Walk::judge_inode(GroupPass& pass, const GroupRole& role, const Task& task) {
    const ObjectName object = group_object(role.group);
    auto found = pass.header.find(kInodeKey);
    std::optional<std::string> value = found == pass.header.end() ? std::nullopt : std::optional(found->second);
    auto record = value ? decode_inode(*value) : Result<InodeRecord>(fail(EIO, "there is none"));
    std::string wrong;
    if (!record.ok()) wrong = "cannot be read: " + record.error().detail();
    else if (!record->inode.is_directory()) wrong = "is not a directory's inode";
    else if (record->inode.ino != role.directory) wrong = "is the inode of number " + hex(raw(record->inode.ino));
    if (wrong.empty()) return;
    Finding finding{.object = object.name,
                    .key = kInodeKey,
                    .path = task.path,
                    .what = wrong,
                    .repair = "the directory gets mode 0700, owner root, and no extended attributes"};
    pass.suspects.push_back({std::move(finding), [this, object, value, role] {
                                 Inode inode;
                                 inode.ino = role.directory;
                                 inode.mode = S_IFDIR | 0700;
                                 inode.links = 2;
                                 inode.atime = inode.mtime = inode.ctime = inode.btime = scene_.core.now();
                                 return mend_keys(scene_, object, {{kInodeKey, value}}, {},
                                                  {{kInodeKey, encode(InodeRecord{.inode = inode})}});
                             }});
}

// Is there a name in `parent` that leads to this directory?
Result<bool> Walk::is_named_by(Ino directory, Ino parent, const std::string& name) {
    auto view = read_range(scene_.core, parent, name, {.keys = {name_key(name)}});
    if (view.code() == ESTALE || view.code() == ENOENT || view.code() == EIO || view.code() == ENOTDIR) return false;
    if (view.code() == EBUSY) return true;  // half done, which was told: nobody is accused
    if (!view.ok()) return view.error();
    auto dentry = view->record(decode_dentry, name_key(name));
    return dentry.ok() && *dentry && (*dentry)->kind == Dentry::Kind::directory && (*dentry)->ino == directory;
}

// `p` is what decides between two names of a directory.
Status Walk::judge_place(GroupPass& pass, const GroupRole& role, const Task& task) {
    const ObjectName object = group_object(role.group);
    auto found = pass.header.find(kPlaceKey);
    std::optional<std::string> value = found == pass.header.end() ? std::nullopt : std::optional(found->second);
    auto record = value ? decode_place(*value) : Result<PlaceRecord>(fail(EIO, "there is none"));
    const PlaceRecord sound{.parent = task.parent, .dentry = task.place};
    Finding finding{.object = object.name, .key = kPlaceKey, .path = task.path, .repair = "it is written"};
    std::function<Status()> mend = [this, object, value, sound] {
        return mend_keys(scene_, object, {{kPlaceKey, value}}, {}, {{kPlaceKey, encode(sound)}});
    };
    if (!record.ok()) {
        finding.what = "cannot be read: " + record.error().detail();
    } else if (*record == sound) {
        return {};
    } else if (task.is_root()) {
        finding.what = "says that the root is in another directory";
    } else {
        auto name = ops::name_of(scene_.core, task.directory);
        if (name.code() == EBUSY) return {};  // half done, which was told
        if (!name.ok() && name.code() != ESTALE && name.code() != ENOENT && name.code() != EIO) return name.error();
        bool is_here =
            name.ok() && name->first == task.parent && name->second == task.name && record->parent == task.parent;
        if (is_here) return {};
        bool is_elsewhere = name.ok() && (name->first != task.parent || name->second != task.name) &&
                            TRY(is_named_by(task.directory, name->first, name->second));
        if (is_elsewhere) {
            pass.is_gone = true;  // walked where its place is
            finding.object = task.named_in.name;
            finding.key = printable(name_key(task.name));
            finding.what = "is a second name of directory " + hex(raw(task.directory)) + ", which is \"" +
                           printable(name->second) + "\" in directory " + hex(raw(name->first));
            finding.repair = "this name is taken away";
            mend = [this, task] { return take_name_away(scene_, task.parent, task.name, task.directory); };
        } else {
            finding.what = "says that the directory is in " + hex(raw(record->parent)) + ", where it is not";
        }
    }
    pass.suspects.push_back({std::move(finding), std::move(mend)});
    return {};
}

void Walk::judge_ranges(GroupPass& pass, const GroupRole& role) {
    const ObjectName object = group_object(role.group);
    for (auto range = pass.header.lower_bound("r"); range != pass.header.end(); ++range) {
        auto record = decode_range(range->second);
        Finding finding{.object = object.name, .key = printable(range->first), .path = role.path};
        if (!record.ok()) finding.what = "range cannot be read: " + record.error().detail();
        else if (record->group == role.group) finding.what = "range leads to the first group again";
        else continue;
        pass.suspects.push_back({std::move(finding), nullptr});
    }
}

}  // namespace meshfs::check
