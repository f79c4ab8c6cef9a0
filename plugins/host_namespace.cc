// The host's calls about names.
#include <fcntl.h>
#include <sys/stat.h>

#include "plugins/instance.h"

namespace meshfs {
namespace {

int answer(PluginInstance& instance, const Status& status) { return status ? 0 : answer_of(instance, status.error()); }

Result<uint64_t> open_file(PluginInstance& i, const char* path, int flags, uint32_t mode) {
    constexpr int kAllowed = O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_CLOEXEC;
    if ((flags & ~kAllowed) != 0) return fail(EINVAL);
    flags &= ~O_CLOEXEC;
    auto spot = TRY(i.spot_of(path));
    if (spot.name.empty()) return fail(EISDIR);
    Caller caller = plugin_caller();
    OpenedFile opened;
    if ((flags & O_CREAT) != 0) {
        auto created = i.vfs().create(caller, spot.directory, spot.name, S_IFREG | (mode & 07777), flags | O_EXCL);
        if (created || created.code() != EEXIST || (flags & O_EXCL) != 0) {
            opened = TRY(std::move(created));
            return i.add_file({opened.handle, opened.attributes.inode.ino});
        }
    }
    Inode inode = TRY(i.vfs().meta().lookup(spot.directory, spot.name));
    if (inode.is_symlink()) return fail(ELOOP);
    if (!inode.is_file()) return fail(inode.is_directory() ? EISDIR : EINVAL);
    opened = TRY(i.vfs().open(caller, inode.ino, flags & ~(O_CREAT | O_EXCL)));
    return i.add_file({opened.handle, inode.ino});
}

int64_t host_open(const meshfs_host* host, const char* path, int flags, uint32_t mode) noexcept {
    auto& i = PluginInstance::of(host);
    auto file = open_file(i, path, flags, mode);
    return file ? static_cast<int64_t>(*file) : answer_of(i, file.error());
}

int host_close(const meshfs_host* host, uint64_t number) noexcept {
    auto& i = PluginInstance::of(host);
    auto file = i.take_file(number);
    if (!file) return answer_of(i, file.error());
    Status flushed = i.vfs().flush(file->handle, 0);
    i.vfs().release(file->handle, false);
    return answer(i, flushed);
}

int host_stat(const meshfs_host* host, const char* path, meshfs_attr* attr) noexcept {
    auto& i = PluginInstance::of(host);
    auto ino = i.ino_of(path);
    if (!ino) return answer_of(i, ino.error());
    auto attributes = i.vfs().getattr(plugin_caller(), *ino, 0);
    if (!attributes) return answer_of(i, attributes.error());
    *attr = attr_of(attributes->inode);
    return 0;
}

int host_fsync(const meshfs_host* host, uint64_t number) noexcept {
    auto& i = PluginInstance::of(host);
    auto file = i.file(number);
    return file ? answer(i, i.vfs().fsync(file->handle, false)) : answer_of(i, file.error());
}

int host_truncate(const meshfs_host* host, uint64_t number, uint64_t bytes) noexcept {
    auto& i = PluginInstance::of(host);
    auto file = i.file(number);
    if (!file) return answer_of(i, file.error());
    SetAttributes set;
    set.size = bytes;
    set.handle = file->handle;
    auto changed = i.vfs().setattr(plugin_caller(), file->ino, set);
    return changed ? 0 : answer_of(i, changed.error());
}

int host_mkdir(const meshfs_host* host, const char* path, uint32_t mode) noexcept {
    auto& i = PluginInstance::of(host);
    auto spot = i.spot_of(path);
    if (!spot) return answer_of(i, spot.error());
    if (spot->name.empty()) return -EEXIST;
    auto made = i.vfs().mkdir(plugin_caller(), spot->directory, spot->name, mode & 07777);
    return made ? 0 : answer_of(i, made.error());
}

int host_unlink(const meshfs_host* host, const char* path) noexcept {
    auto& i = PluginInstance::of(host);
    auto spot = i.spot_of(path);
    if (!spot) return answer_of(i, spot.error());
    if (spot->name.empty()) return -EBUSY;
    Status gone = i.vfs().unlink(plugin_caller(), spot->directory, spot->name);
    if (gone.code() == EISDIR) gone = i.vfs().rmdir(plugin_caller(), spot->directory, spot->name);
    return answer(i, gone);
}

int host_rename(const meshfs_host* host, const char* from, const char* to, int no_replace) noexcept {
    auto& i = PluginInstance::of(host);
    auto source = i.spot_of(from);
    if (!source) return answer_of(i, source.error());
    auto target = i.spot_of(to);
    if (!target) return answer_of(i, target.error());
    if (source->name.empty() || target->name.empty()) return -EBUSY;
    return answer(i, i.vfs().rename(plugin_caller(), source->directory, source->name, target->directory,
                                    target->name, no_replace != 0 ? RENAME_NOREPLACE : 0));
}

int64_t host_list(const meshfs_host* host, const char* path, const char* start_after) noexcept {
    auto& i = PluginInstance::of(host);
    auto ino = i.ino_of(path);
    if (!ino) return answer_of(i, ino.error());
    auto attributes = i.vfs().getattr(plugin_caller(), *ino, 0);
    if (!attributes) return answer_of(i, attributes.error());
    if (!attributes->inode.is_directory()) return -ENOTDIR;
    PluginInstance::Listing listing;
    listing.directory = *ino;
    listing.after = start_after != nullptr ? start_after : "";
    listing.page.more = true;
    auto number = i.add_listing(std::move(listing));
    return number ? static_cast<int64_t>(*number) : answer_of(i, number.error());
}

// One thread a listing, as with readdir(3).
Result<bool> next_entry(PluginInstance& i, PluginInstance::Listing& listing, meshfs_entry* entry) {
    while (true) {
        while (listing.next >= listing.page.entries.size()) {
            if (!listing.page.more) return false;
            ListRequest request;
            request.directory = listing.directory;
            request.after_name = listing.after;
            listing.page = TRY(i.vfs().meta().list(request));
            listing.next = 0;
        }
        DirectoryEntry& found = listing.page.entries[listing.next++];
        listing.after = listing.name = found.name;
        auto attributes = i.vfs().getattr(plugin_caller(), found.ino, 0);
        if (attributes.code() == ENOENT || attributes.code() == ESTALE) continue;  // gone meanwhile
        if (!attributes) return attributes.error();
        entry->name = listing.name.c_str();
        entry->attr = attr_of(attributes->inode);
        return true;
    }
}

int host_list_next(const meshfs_host* host, uint64_t number, meshfs_entry* entry) noexcept {
    auto& i = PluginInstance::of(host);
    auto listing = i.listing(number);
    if (!listing) return -EBADF;
    auto found = next_entry(i, *listing, entry);
    return found ? (*found ? 1 : 0) : answer_of(i, found.error());
}

void host_list_close(const meshfs_host* host, uint64_t number) noexcept {
    PluginInstance::of(host).drop_listing(number);
}

int64_t host_getxattr(const meshfs_host* host, const char* path, const char* name, void* value,
                      size_t size) noexcept {
    auto& i = PluginInstance::of(host);
    auto ino = i.ino_of(path);
    if (!ino) return answer_of(i, ino.error());
    auto found = i.vfs().getxattr(plugin_caller(), *ino, name);
    if (!found) return answer_of(i, found.error());
    if (size == 0) return static_cast<int64_t>(found->size());
    if (found->size() > size) return -ERANGE;
    std::memcpy(value, found->data(), found->size());
    return static_cast<int64_t>(found->size());
}

int host_setxattr(const meshfs_host* host, const char* path, const char* name, const void* value,
                  size_t length) noexcept {
    auto& i = PluginInstance::of(host);
    auto ino = i.ino_of(path);
    if (!ino) return answer_of(i, ino.error());
    std::string_view bytes(static_cast<const char*>(value), length);
    return answer(i, i.vfs().setxattr(plugin_caller(), *ino, name, bytes, 0, false));
}

}  // namespace

void set_namespace_calls(meshfs_host& host) {
    host.open = host_open;
    host.close = host_close;
    host.stat = host_stat;
    host.fsync = host_fsync;
    host.truncate = host_truncate;
    host.mkdir = host_mkdir;
    host.unlink = host_unlink;
    host.rename = host_rename;
    host.list = host_list;
    host.list_next = host_list_next;
    host.list_close = host_list_close;
    host.getxattr = host_getxattr;
    host.setxattr = host_setxattr;
}

}  // namespace meshfs
