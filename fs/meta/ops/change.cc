// change: one read-modify-write of an inode, wherever it is: its dentry, a header, h.<ino>, or u<ino> if it has no
// name any more.  Guarded on the record as read; if it moved meanwhile, it is found by number again.
#include <algorithm>

#include "fs/base/wire.h"
#include "fs/meta/ops/inode_home.h"
#include "fs/meta/ops/new_inode.h"
#include "fs/meta/ops/ops.h"

namespace meshfs::ops {
namespace {

// The fields nobody but meta sets.
Status check_change(const Inode& before, const Inode& after) {
    if (after.ino != before.ino || (after.mode & S_IFMT) != (before.mode & S_IFMT))
        return fail(EINVAL, "a change may not set number or type");
    if (after.xattrs != before.xattrs) TRY(check_xattrs(after.xattrs));
    return {};
}

class Change {
public:
    Change(MetaCore& core, Ino ino, const ChangeInode& callback) : core_(core), ino_(ino), callback_(callback) {}

    // ENOENT: it is not there; look again.
    Status run(const Home& home) {
        Wanted wanted{.keys = {home.key}};
        if (home.kind == Home::Kind::header) wanted = wanted_for_directory();
        ChangeTarget target{.object = home.object, .may_be_dead = home.kind == Home::Kind::unlinked};
        auto status = change_group(core_, target, wanted, [&](GroupChange& change) {
            return home.kind == Home::Kind::header ? build_directory(change) : build_file(change, home);
        });
        if (status.ok())
            for (const std::string& key : freed_keys_) core_.unlinked.push({home.object, key});
        return status;
    }

    Inode take_result() { return std::move(result_); }

private:
    Status build_file(GroupChange& change, const Home& home) {
        freed_keys_.clear();
        if (home.kind == Home::Kind::dentry) return build_named(change, home);
        Inode before = TRY(inode_at(home, ino_, change.view()));
        Inode after = before;
        std::vector<Extent> freed = TRY(call(before, after));
        result_ = after;
        if (after == before && freed.empty()) return {};
        note_freed(change, after, std::move(freed));
        result_ = after;
        if (home.kind == Home::Kind::unlinked) {
            UnlinkedRecord unlinked = TRY(decode_unlinked(*change.key(home.key)));
            unlinked.inode = after;
            change.set(home.key, encode(unlinked));
        } else {
            change.set(home.key, encode(InodeRecord{.inode = after}));
        }
        return {};
    }

    // The most frequent by far: what is in the record is taken apart and put together once, bytes in the inode among it.
    Status build_named(GroupChange& change, const Home& home) {
        Dentry dentry = TRY(dentry_at(home, ino_, change.view()));
        Inode& inode = dentry.inode;
        const Inode before{.ino = inode.ino, .mode = inode.mode, .xattrs = inode.xattrs};
        const uint64_t bytes_before = inode.map.bytes;
        std::vector<Extent> freed = TRY(call(before, inode));
        const bool has_freed = !freed.empty();
        if (has_freed) note_freed(change, inode, std::move(freed));
        std::string record = encode(dentry);
        if (has_freed || record != *change.key(home.key)) change.set(home.key, std::move(record));
        auto bytes = static_cast<int64_t>(inode.map.bytes - bytes_before);
        if (bytes != 0) change.add({.bytes = bytes});
        result_ = std::move(inode);
        return {};
    }

    Status build_directory(GroupChange& change) {
        const GroupView& view = change.view();
        if (view.about.directory != ino_) return fail(ESTALE);
        change.do_not_guard(kPlaceKey);
        Inode before = TRY(directory_inode(core_, view));
        Inode after = before;
        TRY(call(before, after));
        result_ = after;
        if (after == before) return {};
        InodeRecord record = *TRY(view.record(decode_inode, kInodeKey));
        // Times of the sums are not copied here, except where the caller set one: then older sums no longer count.
        Time mtime = record.inode.mtime, mtime_set = record.mtime_set;
        if (after.mtime != before.mtime) {
            mtime = after.mtime;
            mtime_set = std::max({core_.now(), mtime_set, before.ctime});
        }
        record = {.inode = after, .mtime_set = mtime_set};
        record.inode.mtime = mtime;
        record.inode.parent = Ino{};
        record.inode.names = 0;
        record.inode.links = 2;
        change.set(kInodeKey, encode(record));
        return {};
    }

    Result<std::vector<Extent>> call(const Inode& before, Inode& after) {
        InodeChange change{.inode = after, .freed = {}};
        TRY(callback_(change));
        TRY(check_change(before, after));
        return std::move(change.freed);
    }

    // That nobody maps these extents any more is on record in the same step that takes them out of the map.  What was cut and
    // written anew several times lies at the same offsets, and the extents of a record may not overlap: then there are several.
    void note_freed(GroupChange& change, Inode& after, std::vector<Extent> freed) {
        std::stable_sort(freed.begin(), freed.end(), [](const Extent& a, const Extent& b) { return a.offset < b.offset; });
        while (!freed.empty()) {
            std::vector<Extent> together, others;
            for (const Extent& e : freed)
                (together.empty() || together.back().end() <= e.offset ? together : others).push_back(e);
            note_freed_together(change, after, std::move(together));
            freed = std::move(others);
        }
    }

    void note_freed_together(GroupChange& change, Inode& after, std::vector<Extent> freed) {
        ++after.content_version;  // unique among the keys of this inode, whatever the caller raised
        UnlinkedRecord record{.kind = UnlinkedRecord::Kind::extents, .since = core_.now()};
        record.inode.ino = ino_;
        record.inode.mode = after.mode;
        record.inode.links = std::max(after.links, 1u);
        record.inode.map.layout = after.map.layout;
        record.inode.map.extents = std::move(freed);
        freed_keys_.push_back(freed_key(ino_, after.content_version));
        change.set(freed_keys_.back(), encode(record));
    }

    MetaCore& core_;
    const Ino ino_;
    const ChangeInode& callback_;
    Inode result_;
    std::vector<std::string> freed_keys_;
};

}  // namespace

Result<Inode> change(MetaCore& core, Ino ino, const ChangeInode& callback) {
    TRY(core.check_may_change());
    Change change(core, ino, callback);
    std::optional<Home> hint = raw(place_of(ino).slot) == 0 ? std::nullopt : guess_home(core, ino);
    if (hint) {
        auto status = change.run(*hint);
        if (status.ok()) return change.take_result();
        if (status.code() != ENOENT && status.code() != ESTALE) return status.error();
        core.hints.forget(ino);
    }
    for (int round = 0; round < 64; ++round) {
        Home home = TRY(find_home(core, ino));
        auto status = change.run(home);
        if (status.ok()) {
            if (home.kind == Home::Kind::dentry) core.hints.put(ino, home.group, home.name);
            return change.take_result();
        }
        if (status.code() != ENOENT && status.code() != ESTALE) return status.error();
        if (home.kind == Home::Kind::header) return fail(ESTALE);
    }
    return fail(EIO, "number " + hex(raw(ino)) + " never stands still, or leads to a record that is missing");
}

Result<Inode> touch(MetaCore& core, const Dentry& dentry) {
    auto touched = change(core, dentry.ino, [&](InodeChange& change) -> Status {
        change.inode.ctime = core.now();
        return {};
    });
    if (touched.code() == ESTALE || touched.code() == ENOENT)
        return Inode{.ino = dentry.ino, .mode = dentry.type, .links = 0};
    return touched;
}

}  // namespace meshfs::ops
