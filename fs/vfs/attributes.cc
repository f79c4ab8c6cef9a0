// stat, and what changes an inode without its bytes: chmod, chown, utimens; and truncate.
#include "fs/vfs/acl.h"
#include "fs/vfs/core.h"

namespace meshfs {
namespace {

constexpr uint32_t kPermissionBits = 07777;

Status change_mode(const Caller& caller, Inode& inode, uint32_t mode) {
    TRY(check_owns(caller, inode));
    mode &= kPermissionBits;
    if (caller.check && caller.uid != 0 && !is_in_group(caller, inode.gid)) mode &= ~static_cast<uint32_t>(S_ISGID);
    inode.mode = (inode.mode & S_IFMT) | mode;
    auto has_acl = inode.xattrs.find(kAccessAcl);
    if (has_acl == inode.xattrs.end()) return {};
    auto acl = parse_acl(has_acl->second);
    if (!acl) return fail(EIO, "an access ACL is damaged");
    set_mode(*acl, mode);
    has_acl->second = acl_bytes(*acl);
    return {};
}

Status change_owner(const Caller& caller, Inode& inode, const SetAttributes& set) {
    bool gives_away = set.uid && *set.uid != inode.uid;
    bool joins = set.gid && *set.gid != inode.gid;
    if (caller.check && caller.uid != 0) {
        if (gives_away || caller.uid != inode.uid) return fail(EPERM);
        if (joins && !is_in_group(caller, *set.gid)) return fail(EPERM);
    }
    inode.uid = set.uid.value_or(inode.uid);
    inode.gid = set.gid.value_or(inode.gid);
    if (!set.mode) clear_privileges(inode);
    return {};
}

Status change_times(const Caller& caller, Inode& inode, const SetAttributes& set, Time now) {
    bool states_time = (set.atime && !set.atime_now) || (set.mtime && !set.mtime_now);
    bool wants_now = set.atime_now || set.mtime_now;
    if (states_time) TRY(check_owns(caller, inode));
    else if (wants_now && !check_owns(caller, inode)) TRY(check_may(caller, inode, W_OK));
    if (set.atime_now) inode.atime = now;
    else if (set.atime) inode.atime = *set.atime;
    if (set.mtime_now) inode.mtime = now;
    else if (set.mtime) inode.mtime = *set.mtime;
    return {};
}

bool is_valid(const std::optional<Time>& time) { return !time || time->ns < kNsPerSecond; }

// Everything but the size.  Run inside Meta::change: on what is there by then.
Status change_inode(const Caller& caller, Inode& inode, const SetAttributes& set, Time now) {
    if ((inode.flags & kImmutable) != 0) return fail(EPERM);
    bool only_now = !set.mode && !set.uid && !set.gid && !set.size && !set.atime && !set.mtime;
    if ((inode.flags & kAppendOnly) != 0 && !only_now) return fail(EPERM);
    if (set.uid || set.gid) TRY(change_owner(caller, inode, set));
    if (set.mode) TRY(change_mode(caller, inode, *set.mode));
    if (set.kill_suid_sgid) clear_privileges(inode);
    if (set.size) inode.mtime = now;
    TRY(change_times(caller, inode, set, now));
    inode.ctime = set.ctime.value_or(now);
    return {};
}

// Truncate: the cut and all that was written before it are stored and published in one step.
Result<Inode> change_size(VfsCore& core, const Caller& caller, Ino ino, const SetAttributes& set) {
    if (*set.size > kFileSizeMax) return fail(EFBIG);
    std::shared_ptr<OpenInode> file;
    bool is_handle = set.handle != 0;
    if (is_handle) {
        auto handle = TRY(core.file_handle(set.handle));
        if (!handle->writes()) return fail(EINVAL);
        if (core.has_flagged) TRY(check_is_changeable(TRY(core.meta.get(ino))));
        file = handle->file;
        core.open_inodes->use_again(*file);
    } else {
        Inode inode = TRY(core.meta.get(ino));
        if (inode.is_directory()) return fail(EISDIR);
        if (!inode.is_file()) return fail(EINVAL);
        TRY(check_is_changeable(inode));
        TRY(check_may(caller, inode, W_OK));
        file = TRY(core.open_inodes->use(ino)).file;
        core.publisher->take_over(*file, inode);
    }
    Time now = core.clock.now();
    auto cut = [&]() -> Result<std::optional<Inode>> {
        std::optional<Inode> changed;
        TRY(core.change_bytes(*file, [&]() -> Status {
            TRY(core.publisher->on_stored_bytes(*file, [&] { return file->data->truncate(*set.size); }));
            {
                MutexLock lock(file->mutex);
                file->times_set = now;
            }
            changed = TRY(core.publisher->publish_in_turn(
                *file, [&](Inode& inode) { return change_inode(caller, inode, set, now); }));
            return {};
        }));
        return changed;
    };
    auto changed = cut();
    core.open_inodes->done(file);
    if (!changed) return changed.error();
    return std::move(**changed);  // change_inode always changes it
}

}  // namespace

Result<Attributes> Vfs::getattr(const Caller&, Ino ino, uint64_t) {
    if (is_served(ino)) {
        const ServedEdge* edge = TRY(core_->served.edge_of(ino));
        auto found = TRY(edge->served->getattr(own_number(ino)));
        found.inode.ino = Ino{own_number(ino)};
        return ServedPrefixes::attributes(*edge, std::move(found));
    }
    return core_->fresh_attributes(core_->inner(ino));
}

Result<Attributes> Vfs::setattr(const Caller& caller, Ino ino, const SetAttributes& set) {
    TRY(core_->check_writable());
    if (!is_valid(set.atime) || !is_valid(set.mtime) || !is_valid(set.ctime)) return fail(EINVAL);
    if (set.atime || set.atime_now) core_->directory_atimes.forget(core_->inner(ino));
    if (is_served(ino)) {
        const ServedEdge* edge = TRY(core_->served.edge_of(ino));
        auto found = TRY(edge->served->setattr(caller, own_number(ino), set));
        found.inode.ino = Ino{own_number(ino)};
        return ServedPrefixes::attributes(*edge, std::move(found));
    }
    ino = core_->inner(ino);
    uint64_t since = core_->meta.moment();
    Inode changed;
    if (set.size) {
        changed = TRY(change_size(*core_, caller, ino, set));
    } else {
        Time now = core_->clock.now();
        auto file = core_->open_inodes->find(ino);
        if (file != nullptr) {
            MutexLock lock(file->mutex);
            // Writes before this do not count for mtime any more, and no reading before it for atime.
            if (set.mtime || set.mtime_now) file->times_set = now;
            if (set.atime || set.atime_now) file->atime.reset();
        }
        changed = TRY(core_->meta.change(ino, [&](InodeChange& change) {
            return change_inode(caller, change.inode, set, now);
        }));
    }
    if (auto file = core_->open_inodes->find(ino)) core_->note_inode(*file, changed);
    core_->changed_inode(caller.is_kernel(), ino);
    return core_->attributes_of(std::move(changed), since);
}

Status Vfs::access(const Caller& caller, Ino ino, int mask) {
    Attributes a = TRY(getattr(caller, ino, 0));
    bool is_device = S_ISCHR(a.inode.mode) || S_ISBLK(a.inode.mode);
    if ((mask & W_OK) != 0 && core_->settings.read_only && !is_device) return fail(EROFS);
    if ((mask & W_OK) != 0 && (a.inode.flags & kImmutable) != 0) return fail(EPERM);
    Caller asked = caller;
    asked.check = true;
    return check_may(asked, a.inode, mask);
}

}  // namespace meshfs
