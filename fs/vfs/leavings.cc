// A blob has one home, the inode that may map it, and its reach says which: so that inode decides, and nothing is called
// garbage because a listing did not have it.
//
// On a shared store another mount may be going on in the same blob, if the file is written by several: with bytes of an
// operation under way, stored and not published.  So there the blob is closed in the map, and what it does not map is
// freed like extents that were cut, in one change of the inode.  Whoever is under way meets the new content version,
// reads his bytes back and stores them elsewhere; after 2T purge removes them.  On an embedded store nobody goes on in a
// blob of another session.
#include "fs/vfs/leavings.h"

#include <algorithm>
#include <set>

#include "fs/base/wire.h"
#include "fs/vfs/compaction.h"

namespace meshfs {
namespace {

bool is_mapped(const FileMap& map, BlobId blob, uint64_t object) {
    const uint64_t bytes = map.layout.object_bytes;
    return std::any_of(map.extents.begin(), map.extents.end(), [&](const Extent& e) {
        return e.blob == blob && e.blob_offset / bytes <= object && object <= (e.blob_offset + e.length - 1) / bytes;
    });
}

// Objects as extents of the file, those in a row as one.
std::vector<Extent> extents_of(const Layout& layout, BlobId blob, const std::vector<uint64_t>& objects) {
    std::vector<Extent> extents;
    for (uint64_t object : objects) {
        uint64_t offset = object * layout.object_bytes;
        if (!extents.empty() && extents.back().end() == offset) extents.back().length += layout.object_bytes;
        else extents.push_back({.offset = offset, .length = layout.object_bytes, .blob_offset = offset, .blob = blob});
    }
    return extents;
}

class Remover {
public:
    Remover(Store& store, Meta& meta, Data& data) : store_(store), meta_(meta), data_(data) {}

    // A pack has no home: its members say of which files it is.  It goes if none of them maps it; else what is dead of it is noted.
    // One that cannot be read stays.
    Result<uint64_t> remove_pack(BlobId pack) {
        const Pool pool = Layout().pool;
        auto scan = scan_pack(store_, pool, pack);
        if (scan.code() == ENOENT) return 0;
        if (!scan.ok()) return scan.error();
        auto members = TRY(members_of(meta_, pack, *scan));
        if (!scan->damage.ok() || !members.live.empty()) {
            TRY(meta_.note_dead_members(members.dead));
            return 0;
        }
        TRY(remove_dead_pack(store_, meta_, pool, pack));
        return 1;
    }

    // Answers how many objects nobody maps.
    Result<uint64_t> remove(BlobId blob, Ino home, uint64_t first, uint64_t last) {
        FileMap map;  // of the only layout that is given to files yet
        std::vector<uint64_t> left = TRY(data_.find(map.layout, blob, first, last));
        std::erase_if(left, [&](uint64_t object) { return freed_.contains({blob, object}); });
        if (left.empty()) return 0;  // as of most of a block, whose homes need be no file, nor any number's
        auto inode = meta_.get(home);
        if (inode.ok() && !inode->is_file()) return fail(EIO, "inode " + hex(raw(home)) + " is no file, and has data");
        if (inode.ok() && inode->map.layout != map.layout)
            return fail(EOPNOTSUPP, "inode " + hex(raw(home)) + " has a layout of a later MeshFS");
        if (inode.ok() && !store_.is_exclusive()) inode = free(home, blob, left);
        if (!inode.ok() && inode.code() != ESTALE) return inode.error();  // ESTALE: it was purged, or never made
        bool is_freed = inode.ok() && !store_.is_exclusive();
        if (inode.ok()) std::erase_if(left, [&](uint64_t object) { return is_mapped(inode->map, blob, object); });
        if (is_freed)
            for (uint64_t object : left) freed_.emplace(blob, object);
        if (left.empty() || is_freed) return left.size();
        map.extents = extents_of(map.layout, blob, left);
        TRY(data_.remove(home, map));
        return left.size();
    }

private:
    Result<Inode> free(Ino home, BlobId blob, const std::vector<uint64_t>& objects) {
        return meta_.change(home, [&](InodeChange& change) -> Status {
            FileMap& map = change.inode.map;
            std::vector<uint64_t> freed = objects;
            std::erase_if(freed, [&](uint64_t object) { return is_mapped(map, blob, object); });
            change.freed = extents_of(map.layout, blob, freed);
            if (freed.empty()) return {};
            for (Extent& e : map.extents)
                if (e.blob == blob) e.flags |= Extent::closed;
            return {};
        });
    }

    Store& store_;
    Meta& meta_;
    Data& data_;
    std::set<std::pair<BlobId, uint64_t>> freed_;  // a block and a blob of it that goes beyond tell of the same
};

}  // namespace

Result<Leavings> remove_leavings(Store& store, Meta& meta, Data& data, const std::atomic<bool>& stopping) {
    Leavings removed;
    Remover remover(store, meta, data);
    for (const Meta::LeftReach& reach : TRY(meta.left_reaches())) {
        for (uint64_t i = 0; i <= raw(reach.last) - raw(reach.first); ++i) {
            if (stopping) return removed;
            BlobId blob{raw(reach.first) + i};
            Ino home{raw(reach.home) + (reach.homes_rise ? i : 0)};
            removed.objects += reach.are_packs()
                                   ? TRY(remover.remove_pack(blob))
                                   : TRY(remover.remove(blob, home, reach.first_object, reach.last_object));
        }
        if (TRY(meta.cleared(reach))) ++removed.sessions;
    }
    return removed;
}

}  // namespace meshfs
