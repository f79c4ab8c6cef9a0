#include "fs/vfs/check/file_map.h"

#include <algorithm>

#include "fs/base/wire.h"
#include "fs/data/extents.h"
#include "fs/data/layout.h"

namespace meshfs::check {
namespace {

std::string extent_text(const Extent& extent) {
    return "extent at " + std::to_string(extent.offset) + ", " + std::to_string(extent.length) + " bytes of blob " +
           hex(raw(extent.blob));
}

// Of a whole extent, the first object that is missing.  It may be short: what was punched out of it.
Status find_missing(Scene& scene, const FileMap& map, const Extent& extent, std::vector<std::string>& wrong) {
    for (const Piece& piece : pieces_of(map.layout, {extent.blob_offset, extent.length})) {
        ObjectName object = blob_object(map.layout, extent.blob, piece.object);
        auto answer = scene.store.ask(std::move(Query(object).stat()));
        if (!answer.ok() && answer.code() != ENOENT) return answer.error();
        ++scene.objects;
        if (answer.ok()) continue;
        wrong.push_back(extent_text(extent) + ": object " + object.name + " is missing");
        return {};
    }
    return {};
}

}  // namespace

Result<std::vector<std::string>> wrong_in_map(Scene& scene, const Inode& inode) {
    std::vector<std::string> wrong;
    const FileMap& map = inode.map;
    if (inode.is_symlink() && (map.inline_bytes.empty() || map.inline_bytes.size() != map.size))
        wrong.push_back("symbolic link has " + std::to_string(map.inline_bytes.size()) + " of " +
                        std::to_string(map.size) + " bytes of its target");
    if (!inode.is_file() && !map.extents.empty()) wrong.push_back("has extents and is no regular file");
    if (map.extents.empty()) return wrong;
    if (!are_valid(map.extents)) {
        wrong.push_back("has extents that cannot be read by this version");
        return wrong;
    }
    if (map.extents.back().end() > map.size)
        wrong.push_back(extent_text(map.extents.back()) + " ends behind the file's size, " +
                        std::to_string(map.size));
    for (const Extent& extent : map.extents) {
        SessionId maker = session_of(extent.blob);
        if (!TRY(scene.is_given(maker)) || maker == kNobody)
            wrong.push_back(extent_text(extent) + " that was never given out");
        else if (extent.kind == Extent::Kind::packed) {
            if (auto why = TRY(scene.wrong_in_pack(map.layout.pool, extent)); !why.empty())
                wrong.push_back(extent_text(extent) + ": " + why);
        } else if (scene.is_deep && (extent.flags & Extent::whole) != 0) TRY(find_missing(scene, map, extent, wrong));
    }
    return wrong;
}

std::vector<BlobUse> blobs_of(const Inode& inode) {
    std::vector<BlobUse> uses;
    for (const Extent& extent : inode.map.extents) {
        bool is_pack = extent.kind == Extent::Kind::packed;
        uint64_t last = is_pack ? 0 : (extent.blob_offset + extent.length - 1) / inode.map.layout.object_bytes;
        auto same =
            std::find_if(uses.begin(), uses.end(), [&](const BlobUse& use) { return use.blob == extent.blob; });
        if (same == uses.end()) uses.push_back({.blob = extent.blob, .ino = inode.ino, .last_object = last, .is_pack = is_pack});
        else same->last_object = std::max(same->last_object, last);
    }
    return uses;
}

Result<std::vector<BlobUse>> freed_of_linked(Scene& scene, Ino ino) {
    std::vector<BlobUse> uses;
    for (std::string after;;) {
        auto answer = scene.store.ask(std::move(Query(linked_object(ino)).range(after, "u")));
        if (answer.code() == ENOENT) return uses;
        if (!answer.ok()) return answer.error();
        for (const auto& [key, value] : answer->ranges.at(0).entries) {
            after = key;
            auto record = decode_unlinked(value);
            if (!record.ok()) continue;
            for (BlobUse use : blobs_of(record->inode)) {
                use.is_freed = true;
                uses.push_back(use);
            }
        }
        if (!answer->ranges.at(0).more) return uses;
    }
}

bool do_overlap(const std::vector<Extent>& freed, const std::vector<Extent>& mapped) {
    for (const Extent& f : freed)
        for (const Extent& m : mapped)
            if (f.blob == m.blob && f.blob_offset < m.blob_offset + m.length &&
                m.blob_offset < f.blob_offset + f.length)
                return true;
    return false;
}

}  // namespace meshfs::check
