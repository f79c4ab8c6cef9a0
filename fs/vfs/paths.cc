// Paths: of a number, to a number, and of the prefixes that plugins serve.
#include <algorithm>
#include <deque>

#include "fs/vfs/core.h"

namespace meshfs {
namespace {

constexpr size_t kDepthMax = 4096;
constexpr int kSymlinksMax = 40;

std::vector<std::string> parts_of(std::string_view path) {
    std::vector<std::string> parts;
    while (!path.empty()) {
        size_t end = std::min(path.find('/'), path.size());
        if (end > 0) parts.emplace_back(path.substr(0, end));
        path.remove_prefix(std::min(end + 1, path.size()));
    }
    return parts;
}

Result<Ino> found_or_made(VfsCore& core, Ino directory, const std::string& name) {
    auto found = core.meta.lookup(directory, name);
    if (found.code() == ENOENT) {
        TRY(core.check_writable());
        found = core.meta.mkdir({.directory = directory, .name = name, .mode = S_IFDIR | 0755});
        if (found.code() == EEXIST) found = core.meta.lookup(directory, name);  // another mount did
    }
    Inode inode = TRY(std::move(found));
    return inode.is_directory() ? Result<Ino>(inode.ino) : Result<Ino>(fail(ENOTDIR));
}

Result<Ino> step_to_prefix(VfsCore& core, Ino directory, const std::string& name) {
    if (const ServedEdge* edge = core.served.edge(directory, name)) return edge->root();
    if (is_served(directory)) return fail(EINVAL, "a prefix in another plugin's prefix must be directly below it");
    return found_or_made(core, directory, name);
}

}  // namespace

Result<Ino> Vfs::found_or_made(Ino directory, const std::string& name) { return meshfs::found_or_made(*core_, directory, name); }

Status Vfs::serve(const std::string& prefix, std::shared_ptr<ServedPrefix> served) {
    auto parts = parts_of(prefix);
    if (prefix.empty() || prefix[0] != '/') return fail(EINVAL, "a prefix is an absolute path");
    if (parts.empty()) return fail(EINVAL, "the root itself cannot be served");
    for (const auto& part : parts) {
        if (part == "." || part == "..") return fail(EINVAL, "a prefix has no '.' or '..' in it");
        TRY(VfsCore::check_name(part));
    }
    Ino directory = core_->settings.root;
    for (size_t i = 0; i + 1 < parts.size(); ++i) directory = TRY(step_to_prefix(*core_, directory, parts[i]));
    return core_->served.add(directory, parts.back(), std::move(served));
}

std::string Vfs::path_of(Ino ino) {
    ino = core_->inner(ino);
    std::string path;
    for (size_t depth = 0; depth < kDepthMax; ++depth) {
        if (ino == core_->settings.root) return path.empty() ? "/" : path;
        if (is_served(ino)) {
            auto edge = core_->served.edge_of(ino);
            if (!edge) return "?" + path;
            path = "/" + (*edge)->name + (own_number(ino) == 1 ? "" : "/?") + path;
            ino = (*edge)->directory;
            continue;
        }
        auto name = meta_.name_of(ino);
        if (!name) return "?" + path;
        path = "/" + name->second + path;
        ino = name->first;
    }
    return "?" + path;
}

Result<Attributes> Vfs::resolve(const Caller& caller, const std::string& path) {
    if (path.empty() || path[0] != '/') return fail(EINVAL);
    auto first = parts_of(path);
    std::deque<std::string> left(first.begin(), first.end());
    Attributes at = TRY(getattr(caller, kRootIno, 0));
    Ino directory = kRootIno;  // of `at`, for relative symlinks
    int symlinks = 0;
    while (!left.empty()) {
        if (at.inode.is_symlink()) {
            if (++symlinks > kSymlinksMax) return fail(ELOOP);
            const std::string& target = at.inode.map.inline_bytes;
            auto steps = parts_of(target);
            left.insert(left.begin(), steps.begin(), steps.end());
            at = TRY(getattr(caller, target.starts_with('/') ? kRootIno : directory, 0));
            continue;
        }
        if (!at.inode.is_directory()) return fail(ENOTDIR);
        directory = at.inode.ino;
        std::string name = std::move(left.front());
        left.pop_front();
        at = TRY(lookup(caller, directory, name));
    }
    return at;
}

}  // namespace meshfs
