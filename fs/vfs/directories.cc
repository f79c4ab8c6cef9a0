// Reading directories.  Names and cookies are Meta's; "." and ".." and served prefixes are added here.
#include <unistd.h>

#include <algorithm>

#include "fs/vfs/core.h"

namespace meshfs {
namespace {

constexpr uint64_t kDotCookie = 1, kDotDotCookie = 2;
// Cookies of served prefixes, after all of Meta's: those are places, whose group would have to be the 2^38th.
constexpr uint64_t kEdgeCookie = uint64_t{1} << 62;

Result<std::vector<Vfs::Listed>> read_served(VfsCore& core, const Handle& handle, uint64_t cookie,
                                             size_t entries_max, bool plus) {
    const ServedEdge* edge = TRY(core.served.edge_of(handle.ino));
    auto entries = TRY(edge->served->readdir(own_number(handle.ino), cookie, entries_max));
    std::vector<Vfs::Listed> page;
    for (auto& entry : entries) {
        Vfs::Listed listed{std::move(entry.name), {}, entry.inode.mode & S_IFMT, entry.cookie, {}};
        auto attributes = ServedPrefixes::attributes(*edge, {std::move(entry.inode), entry.valid_ns, 0});
        listed.ino = attributes.inode.ino;
        if (plus) listed.attributes = std::move(attributes);
        page.push_back(std::move(listed));
    }
    return page;
}

// The entries "." and ".." that come after `cookie`.
Status add_dots(VfsCore& core, Ino ino, uint64_t cookie, std::vector<Vfs::Listed>& page) {
    if (cookie >= kDotDotCookie) return {};
    auto directory = core.meta.get(ino);
    if (!directory && directory.code() != ESTALE && directory.code() != ENOENT) return directory.error();
    Ino parent = directory && ino != core.settings.root ? directory->parent : ino;
    if (cookie < kDotCookie) page.push_back({".", core.outer(ino), S_IFDIR, kDotCookie, {}});
    page.push_back({"..", core.outer(parent), S_IFDIR, kDotDotCookie, {}});
    if (auto noted = core.directory_atimes.of(ino); noted && directory) directory->atime = std::max(directory->atime, *noted);
    if (directory && core.wants_atime(*directory)) core.set_atime_later(ino);
    return {};
}

void add_edges(const VfsCore& core, Ino ino, uint64_t cookie, size_t entries_max,
               std::vector<Vfs::Listed>& page) {
    for (const ServedEdge* edge : core.served.edges_in(ino)) {
        uint64_t own = kEdgeCookie + edge->instance;
        if (own <= cookie || page.size() >= entries_max) continue;
        page.push_back({edge->name, edge->root(), S_IFDIR, own, {}});
    }
}

}  // namespace

Result<uint64_t> Vfs::opendir(const Caller& caller, Ino ino) {
    auto handle = std::make_shared<Handle>();
    handle->ino = core_->inner(ino);
    handle->checked = !caller.is_kernel();
    handle->kind = Handle::Kind::served_directory;
    if (!is_served(ino)) {
        handle->kind = Handle::Kind::directory;
        meta_.will_list(handle->ino);
        Inode inode = TRY(meta_.get(handle->ino));
        if (!inode.is_directory()) return fail(ENOTDIR);
        TRY(check_may(caller, inode, R_OK));
        core_->forget_stale(inode);
    }
    return core_->handles.add(std::move(handle));
}

Result<std::vector<Vfs::Listed>> Vfs::readdir(uint64_t number, uint64_t cookie, size_t entries_max, bool plus) {
    auto handle = TRY(core_->handles.find(number));
    if (handle->kind == Handle::Kind::served_directory)
        return read_served(*core_, *handle, cookie, entries_max, plus);
    if (handle->kind != Handle::Kind::directory) return fail(ENOTDIR);

    std::vector<Listed> page;
    if (entries_max == 0) return page;
    TRY(add_dots(*core_, handle->ino, cookie, page));
    bool more = cookie < kEdgeCookie;
    uint64_t after = std::max(cookie, kDotDotCookie);
    while (more && page.size() < entries_max) {
        ListRequest request;
        request.directory = handle->ino;
        request.after_cookie = after > kDotDotCookie ? after : 0;
        request.entries_max = entries_max - page.size();
        request.with_inodes = plus;
        {
            MutexLock lock(handle->mutex);
            if (after == handle->last_cookie) request.after_name = handle->last_name;
        }
        uint64_t since = meta_.moment();
        auto list = meta_.list(request);
        if (!list && list.code() == ENOENT) break;  // removed while it is open: no names any more
        if (!list) return list.error();
        more = list->more;
        if (list->entries.empty()) break;
        after = list->entries.back().cookie;
        {
            MutexLock lock(handle->mutex);
            handle->last_cookie = after;
            handle->last_name = list->entries.back().name;
        }
        for (auto& entry : list->entries) {
            if (core_->served.edge(handle->ino, entry.name) != nullptr) continue;  // the plugin hides it
            Listed listed{std::move(entry.name), entry.ino, entry.type, entry.cookie, {}};
            if (plus && entry.inode)
                listed.attributes = core_->attributes_of(std::move(*entry.inode), since);
            page.push_back(std::move(listed));
        }
    }
    if (!more || page.empty()) add_edges(*core_, handle->ino, cookie, entries_max, page);
    return page;
}

Status Vfs::fsyncdir(uint64_t number, bool) {
    TRY(core_->handles.find(number));
    return core_->meta.commit();
}

void Vfs::releasedir(uint64_t number) { core_->handles.remove(number); }

}  // namespace meshfs
