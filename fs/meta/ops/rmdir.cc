// rmdir: the directory's header turns from free to breaking, is seen empty, and turns dead: that is the removal.
// Then its name goes from the parent.
//
// While the header is breaking nothing changes in it, so what is read then is still true when D is written, which is
// guarded on that very lease.  A crash before D leaves B, which any visitor frees; a crash after it leaves a name
// that leads to a dead header: whoever looks it up finishes by taking the name away.
#include <algorithm>

#include "fs/meta/ops/inode_home.h"
#include "fs/meta/ops/names.h"
#include "fs/meta/ops/ops.h"

namespace meshfs::ops {
namespace {

Lease next_lease(const Lease& now, Lease::Kind kind) { return {.kind = kind, .epoch = now.epoch + 1}; }

Status turn(MetaCore& core, const GroupView& view, Lease::Kind kind) {
    return core.store.apply(std::move(Mutation(view.object)
                                          .xattr_is(kLeaseXattr, view.lease_value)
                                          .set_xattr(kLeaseXattr, encode(next_lease(view.lease, kind)))));
}

// ENOTEMPTY; ENOENT: somebody else removed it.
Result<Inode> kill_header(MetaCore& core, Ino directory) {
    Wanted wanted = wanted_for_directory();
    wanted.ranges.push_back({"", "n", 1, 1});
    bool maybe_ours = false;  // our D was sent, and its answer lost
    for (int tries = 0;; ++tries) {
        if (tries > 3) core.clock.sleep_ns(kNsPerMs << std::min(tries - 3, 5));
        auto view = TRY(read_header(core, directory, wanted));
        Inode inode = TRY(directory_inode(core, view));
        bool has_names = !view.answer.ranges.at(1).entries.empty();
        if (view.is_dead()) return maybe_ours ? Result<Inode>(inode) : fail(ENOENT);
        if (!view.about.end.empty()) return fail(EOPNOTSUPP, "removing a directory of several ranges");
        bool is_breaking = view.lease.kind == Lease::Kind::breaking;
        if (!is_breaking && !view.lease.is_free()) {
            TRY(core.wait_for_free(view.object));
            continue;
        }
        if (has_names) {
            if (is_breaking) (void)turn(core, view, Lease::Kind::free);
            return fail(ENOTEMPTY);
        }
        auto turned = turn(core, view, is_breaking ? Lease::Kind::dead : Lease::Kind::breaking);
        maybe_ours |= is_breaking && turned.code() == ETIMEDOUT;
        if (turned.ok() && is_breaking) {
            inode.links = 0;
            return inode;
        }
        bool again = turned.ok() || turned.code() == ECANCELED || turned.code() == ETIMEDOUT || turned.code() == EAGAIN;
        if (!again) return turned.error();
    }
}

}  // namespace

Status drop_dead_directory(MetaCore& core, Ino directory, std::string_view name, Ino dead) {
    std::string key = name_key(name);
    return change_group(core, {.directory = directory, .name = std::string(name)}, {.keys = {key}},
                        [&](GroupChange& change) -> Status {
        auto dentry = TRY(change.view().record(decode_dentry, key));
        if (!dentry || dentry->ino != dead) return {};
        Time now = core.now();
        std::string gone = encode(gone_record(SlotRecord::Kind::unlinked, name, now));
        UnlinkedRecord unlinked{.kind = UnlinkedRecord::Kind::directory, .since = now};
        unlinked.inode.ino = dead;
        unlinked.inode.mode = S_IFDIR;
        change.remove(key);
        change.set(slot_key(dentry->slot), gone);
        if (dentry->anchor != dentry->slot) change.set(slot_key(dentry->anchor), gone);
        change.set(unlinked_key(dead), encode(unlinked));
        change.add({.names = -1, .subdirectories = -1, .mtime = now});
        return {};
    });
}

Result<Unlinked> rmdir(MetaCore& core, Ino directory, std::string_view name) {
    if (name == ".") return fail(EINVAL);
    if (name == "..") return fail(ENOTEMPTY);
    TRY(check_name(name));
    TRY(core.check_may_change());
    std::string key = name_key(name);
    auto view = TRY(read_range(core, directory, name, {.keys = {key}}));
    auto dentry = TRY(view.record(decode_dentry, key));
    if (!dentry) return fail(ENOENT);
    if (dentry->kind != Dentry::Kind::directory) return fail(ENOTDIR);
    auto killed = kill_header(core, dentry->ino);
    if (!killed.ok() && killed.code() != ENOENT) return killed.error();
    // The directory is removed; should this fail, the next lookup of the name does it.
    TRY(drop_dead_directory(core, directory, name, dentry->ino));
    if (!killed.ok()) return killed.error();
    return Unlinked{std::move(killed).value()};
}

}  // namespace meshfs::ops
