// Names: looking them up, making them, taking them away.  Whether a name is there is decided in fs/meta/ops; here is
// who may, what a new file inherits, and which plugin answers.
#include <unistd.h>

#include "fs/vfs/acl.h"
#include "fs/vfs/core.h"

namespace meshfs {
namespace {

using Found = ServedPrefix::Found;

// The same prefix on both sides, or EXDEV: nothing moves across its edge.
Status check_same_side(Ino a, Ino b) {
    if (is_served(a) != is_served(b)) return fail(EXDEV);
    if (is_served(a) && instance_of(a) != instance_of(b)) return fail(EXDEV);
    return {};
}

// What a new inode in `directory` is: owner, mode after umask or default ACL, inherited setgid.
Result<CreateRequest> request_for(VfsCore& core, const Caller& caller, Ino directory, std::string_view name,
                                  uint32_t mode, bool is_named = true) {
    if (is_named) TRY(VfsCore::check_name(name));
    Inode parent = TRY(core.directory_for_change(caller, directory));
    if (is_named && core.served.edge(directory, name) != nullptr) return fail(EEXIST);
    Inherited inherited = TRY(inherit_acl(parent, mode, caller.umask, core.settings.acl));

    CreateRequest request;
    request.directory = directory;
    request.name = std::string(name);
    request.mode = inherited.mode;
    request.uid = caller.uid;
    request.gid = caller.gid;
    request.xattrs = std::move(inherited.xattrs);
    request.request_id = caller.request_id;
    if ((parent.mode & S_ISGID) != 0) {
        request.gid = parent.gid;
        if (S_ISDIR(mode)) request.mode |= S_ISGID;
    }
    bool runs_as_group = (request.mode & S_ISGID) != 0 && (request.mode & S_IXGRP) != 0 && !S_ISDIR(mode);
    if (caller.check && caller.uid != 0 && runs_as_group && !is_in_group(caller, request.gid))
        request.mode &= ~static_cast<uint32_t>(S_ISGID);
    return request;
}

Result<Attributes> lookup_served(VfsCore& core, const Caller& caller, Ino directory, std::string_view name) {
    const ServedEdge* edge = TRY(core.served.edge_of(directory));
    if (name == ".") return ServedPrefixes::attributes(*edge, TRY(edge->served->getattr(own_number(directory))));
    if (const ServedEdge* inner = core.served.edge(directory, name)) return ServedPrefixes::root_attributes(*inner);
    return ServedPrefixes::attributes(*edge, TRY(edge->served->lookup(caller, own_number(directory), name)));
}

// Permission and flags of a name that shall go; asked only where the kernel has not, or a flag was seen.
Status check_may_go(VfsCore& core, const Caller& caller, Ino directory, std::string_view name) {
    TRY(core.check_writable());
    if (core.served.edge(directory, name) != nullptr) return fail(EBUSY);
    if (!caller.check && !core.has_flagged) return {};
    Inode parent = TRY(core.directory_for_change(caller, directory));
    TRY(check_is_changeable(parent));
    Inode victim = TRY(core.meta.lookup(directory, name));
    TRY(check_is_changeable(victim));
    return check_may_remove(caller, parent, victim);
}

}  // namespace

Result<Attributes> Vfs::lookup(const Caller& caller, Ino directory, std::string_view name) {
    directory = core_->inner(directory);
    if (name.size() > kNameMax) return fail(ENAMETOOLONG);
    if (name == ".." && is_served(directory) && own_number(directory) == 1)
        return core_->fresh_attributes(TRY(core_->served.edge_of(directory))->directory);
    if (is_served(directory)) return lookup_served(*core_, caller, directory, name);
    if (caller.check) TRY(check_may(caller, TRY(meta_.get(directory)), X_OK));
    if (name == ".." && directory == core_->settings.root) name = ".";
    if (const ServedEdge* edge = core_->served.edge(directory, name)) return ServedPrefixes::root_attributes(*edge);
    uint64_t since = meta_.moment();
    return core_->attributes_of(TRY(meta_.lookup(directory, name)), since);
}

Result<Attributes> Vfs::mknod(const Caller& caller, Ino directory, std::string_view name, uint32_t mode,
                              uint64_t rdev) {
    directory = core_->inner(directory);
    if (is_served(directory)) return fail(EPERM);
    uint32_t type = mode & S_IFMT;
    if (type == 0) mode |= S_IFREG;
    else if (type == S_IFDIR || type == S_IFLNK) return fail(EINVAL);
    bool is_device = type == S_IFCHR || type == S_IFBLK;
    if (is_device && caller.check && caller.uid != 0) return fail(EPERM);
    auto request = TRY(request_for(*core_, caller, directory, name, mode));
    if (is_device) request.rdev = rdev;
    uint64_t since = meta_.moment();
    Inode made = TRY(meta_.create(request));
    core_->changed_name(caller, directory, name, Change::Kind::created, made.ino);
    return core_->attributes_of_new(std::move(made), since);
}

Result<Attributes> Vfs::mkdir(const Caller& caller, Ino directory, std::string_view name, uint32_t mode) {
    directory = core_->inner(directory);
    if (is_served(directory)) {
        const ServedEdge* edge = TRY(core_->served.edge_of(directory));
        auto found = edge->served->mkdir(caller, own_number(directory), name, mode & ~caller.umask);
        return ServedPrefixes::attributes(*edge, TRY(std::move(found)));
    }
    mode = (mode & ~static_cast<uint32_t>(S_IFMT)) | S_IFDIR;
    auto request = TRY(request_for(*core_, caller, directory, name, mode));
    uint64_t since = meta_.moment();
    Inode made = TRY(meta_.mkdir(request));
    core_->changed_name(caller, directory, name, Change::Kind::created, made.ino);
    return core_->attributes_of_new(std::move(made), since);
}

Result<Attributes> Vfs::symlink(const Caller& caller, std::string_view target, Ino directory,
                                std::string_view name) {
    directory = core_->inner(directory);
    if (is_served(directory)) return fail(EPERM);
    if (target.empty()) return fail(ENOENT);
    if (target.size() > kSymlinkMax) return fail(ENAMETOOLONG);
    auto request = TRY(request_for(*core_, caller, directory, name, S_IFLNK | 0777));
    request.target = std::string(target);
    uint64_t since = meta_.moment();
    Inode made = TRY(meta_.create(request));
    core_->changed_name(caller, directory, name, Change::Kind::created, made.ino);
    return core_->attributes_of_new(std::move(made), since);
}

Result<std::string> Vfs::readlink(const Caller&, Ino ino) {
    if (is_served(ino)) return fail(EINVAL);
    Inode inode = TRY(meta_.get(core_->inner(ino)));
    if (!inode.is_symlink()) return fail(EINVAL);
    return inode.map.inline_bytes;
}

Result<Attributes> Vfs::link(const Caller& caller, Ino ino, Ino directory, std::string_view name) {
    directory = core_->inner(directory);
    ino = core_->inner(ino);
    TRY(check_same_side(ino, directory));
    if (is_served(ino)) return fail(EPERM);
    TRY(VfsCore::check_name(name));
    TRY(core_->directory_for_change(caller, directory));
    if (core_->served.edge(directory, name) != nullptr) return fail(EEXIST);
    if (caller.check || core_->has_flagged) {
        Inode inode = TRY(meta_.get(ino));
        if (inode.is_directory()) return fail(EPERM);
        TRY(check_is_changeable(inode));
    }
    uint64_t since = meta_.moment();
    Inode linked = TRY(meta_.link(ino, directory, name));
    core_->changed_name(caller, directory, name, Change::Kind::created, ino);
    core_->changed_inode(caller.is_kernel(), ino);
    return core_->attributes_of_new(std::move(linked), since);
}

Status Vfs::unlink(const Caller& caller, Ino directory, std::string_view name) {
    directory = core_->inner(directory);
    if (is_served(directory)) {
        const ServedEdge* edge = TRY(core_->served.edge_of(directory));
        return edge->served->unlink(own_number(directory), name);
    }
    TRY(check_may_go(*core_, caller, directory, name));
    Unlinked gone = TRY(meta_.unlink(directory, name));
    core_->changed_name(caller, directory, name, Change::Kind::removed, gone.inode.ino);
    core_->took_name(gone.inode);
    if (gone.inode.links > 0 || !caller.is_kernel()) core_->changed_inode(caller.is_kernel(), gone.inode.ino);
    return {};
}

Status Vfs::rmdir(const Caller& caller, Ino directory, std::string_view name) {
    directory = core_->inner(directory);
    if (is_served(directory)) {
        const ServedEdge* edge = TRY(core_->served.edge_of(directory));
        if (core_->served.edge(directory, name) != nullptr) return fail(EBUSY);
        return edge->served->rmdir(own_number(directory), name);
    }
    if (name == ".") return fail(EINVAL);
    if (name == "..") return fail(ENOTEMPTY);
    TRY(check_may_go(*core_, caller, directory, name));
    if (!core_->served.empty()) {  // a prefix hangs in it
        Inode victim = TRY(meta_.lookup(directory, name));
        if (!core_->served.edges_in(victim.ino).empty()) return fail(EBUSY);
    }
    Unlinked gone = TRY(meta_.rmdir(directory, name));
    core_->directory_atimes.forget(gone.inode.ino);
    core_->changed_name(caller, directory, name, Change::Kind::removed, gone.inode.ino);
    return {};
}

namespace {

// Besides both names: a directory that gets another parent has its ".." written.
Status check_may_rename(VfsCore& core, const Caller& caller, const RenameRequest& request) {
    TRY(check_may_go(core, caller, request.from_directory, request.from_name));
    if (core.served.edge(request.to_directory, request.to_name) != nullptr) return fail(EBUSY);
    if (!caller.check && !core.has_flagged) return {};
    Inode to = TRY(core.directory_for_change(caller, request.to_directory));
    Inode moved = TRY(core.meta.lookup(request.from_directory, request.from_name));
    bool changes_parent = request.from_directory != request.to_directory;
    if (moved.is_directory() && changes_parent) TRY(check_may(caller, moved, W_OK));
    auto target = core.meta.lookup(request.to_directory, request.to_name);
    if (!target) return target.code() == ENOENT ? Status() : Status(target.error());
    TRY(check_is_changeable(to));
    TRY(check_is_changeable(*target));
    if (request.exchange && target->is_directory() && changes_parent) TRY(check_may(caller, *target, W_OK));
    return check_may_remove(caller, to, *target);
}

// Whoever writes a new file and renames it over the old one shall find one of both after a crash, not an empty one:
// the bytes go first.
Status store_before_rename(VfsCore& core, const RenameRequest& request) {
    if (core.open_inodes->size() == 0) return {};
    auto moved = core.meta.lookup(request.from_directory, request.from_name);
    if (!moved || !moved->is_file()) return {};  // rename itself says what is wrong
    auto file = core.open_inodes->find(moved->ino);
    if (file == nullptr || !file->data->is_dirty()) return {};
    if (file->owed > 0) core.publisher->pay_all();
    TRY(core.publisher->publish(*file));
    return {};
}

}  // namespace

Status Vfs::rename(const Caller& caller, Ino from, std::string_view from_name, Ino to, std::string_view to_name,
                   uint32_t flags) {
    from = core_->inner(from);
    to = core_->inner(to);
    if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0) return fail(EINVAL);
    RenameRequest request{from, std::string(from_name), to, std::string(to_name)};
    request.no_replace = (flags & RENAME_NOREPLACE) != 0;
    request.exchange = (flags & RENAME_EXCHANGE) != 0;
    if (request.no_replace && request.exchange) return fail(EINVAL);
    TRY(check_same_side(from, to));
    if (is_served(from)) {
        const ServedEdge* edge = TRY(core_->served.edge_of(from));
        return edge->served->rename(own_number(from), from_name, own_number(to), to_name, flags);
    }
    auto is_dot = [](std::string_view name) { return name == "." || name == ".."; };
    if (is_dot(from_name) || is_dot(to_name)) return fail(request.no_replace ? EEXIST : EBUSY);
    TRY(VfsCore::check_name(from_name));
    TRY(VfsCore::check_name(to_name));
    TRY(check_may_rename(*core_, caller, request));
    TRY(store_before_rename(*core_, request));
    Renamed renamed = TRY(meta_.rename(request));
    core_->changed_name(caller, from, from_name, Change::Kind::removed, renamed.moved.ino);
    core_->changed_name(caller, to, to_name, Change::Kind::renamed, renamed.moved.ino);
    if (renamed.replaced) {
        core_->took_name(renamed.replaced->inode);
        core_->changed_inode(caller.is_kernel(), renamed.replaced->inode.ino);
    }
    return {};
}

Result<OpenedFile> Vfs::create(const Caller& caller, Ino directory, std::string_view name, uint32_t mode,
                               int flags) {
    constexpr int kRaces = 8;
    directory = core_->inner(directory);
    if (is_served(directory)) {
        const ServedEdge* edge = TRY(core_->served.edge_of(directory));
        auto found = edge->served->create(caller, own_number(directory), name, mode & ~caller.umask, flags);
        return core_->served_opened(*edge, caller, TRY(std::move(found)), flags);
    }
    mode = (mode & ~static_cast<uint32_t>(S_IFMT)) | S_IFREG;
    auto request = TRY(request_for(*core_, caller, directory, name, mode));
    for (int race = 0; race < kRaces; ++race) {
        uint64_t since = meta_.moment();
        auto made = meta_.create(request);
        if (made) {
            core_->changed_name(caller, directory, name, Change::Kind::created, made->ino);
            return core_->open_new(caller, *made, flags, since);
        }
        if (made.code() != EEXIST || (flags & O_EXCL) != 0) return made.error();
        // Another mount or a plugin was faster than the kernel's look.
        auto there = meta_.lookup(directory, name);
        if (there) return open(caller, there->ino, flags & ~O_CREAT);
        if (there.code() != ENOENT) return there.error();
    }
    return fail(EAGAIN, "a name comes and goes faster than it can be opened");
}

Result<OpenedFile> Vfs::tmpfile(const Caller& caller, Ino directory, uint32_t mode, int flags) {
    directory = core_->inner(directory);
    if (is_served(directory)) return fail(EOPNOTSUPP);
    mode = (mode & ~static_cast<uint32_t>(S_IFMT)) | S_IFREG;
    auto request = TRY(request_for(*core_, caller, directory, "", mode, false));
    Inode made = TRY(meta_.create_unnamed(request));
    auto file = core_->open_inodes->adopt(made);
    core_->note_inode(*file, made);
    OpenedFile opened;
    opened.handle = core_->add_handle(caller, file, flags).first;
    opened.attributes = core_->attributes_of(std::move(made));
    return opened;
}

Result<Attributes> Vfs::publish(const Caller& caller, uint64_t number, Ino directory, std::string_view name,
                                const PublishCondition& when) {
    directory = core_->inner(directory);
    if (is_served(directory)) return fail(EXDEV);
    TRY(VfsCore::check_name(name));
    auto handle = TRY(core_->file_handle(number));
    if (handle->kind != Handle::Kind::file) return fail(EINVAL);
    TRY(core_->directory_for_change(caller, directory));
    if (core_->served.edge(directory, name) != nullptr) return fail(EBUSY);
    if (caller.check || core_->has_flagged) {
        auto there = meta_.lookup(directory, name);
        if (there) TRY(check_may_go(*core_, caller, directory, name));
        else if (there.code() != ENOENT) return there.error();
    }
    TRY(core_->publisher->publish(*handle->file));
    Renamed renamed = TRY(meta_.publish(handle->ino, directory, name, when));
    core_->changed_name(caller, directory, name, Change::Kind::created, renamed.moved.ino);
    if (renamed.replaced) core_->changed_inode(caller.is_kernel(), renamed.replaced->inode.ino);
    return core_->attributes_of(std::move(renamed.moved));
}

}  // namespace meshfs
