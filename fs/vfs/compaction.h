// Packs of which much is dead: what lives in them is copied to new ones, and they go.
#pragma once

#include <atomic>
#include <set>

#include "fs/data/data.h"
#include "fs/data/pack_scan.h"
#include "fs/meta/meta.h"

namespace meshfs {

// The members of a pack, as their inodes have it.
struct PackMembers {
    struct Live {
        PackMember member;
        uint64_t version = 0;  // content version of the inode
    };
    std::vector<Live> live;
    std::vector<Extent> dead;
    uint64_t live_bytes = 0, bytes = 0;
};
// Asks each member's inode, but of those whose offset in the pack is among `known_dead`.
Result<PackMembers> members_of(Meta& meta, BlobId pack, const PackScan& scan, const std::set<uint64_t>& known_dead = {});
// Of which no member lives: the object, then what is noted of it.
Status remove_dead_pack(Store& store, Meta& meta, Pool pool, BlobId pack);

// Removes a pack of which nothing lives.  in_use: its session may still write to it.  Asks little if hints say that much lives.
enum class PackEnd : uint8_t { removed, stays, in_use };
Result<PackEnd> remove_if_dead(Store& store, Meta& meta, BlobId pack, const std::set<uint64_t>& known_dead = {});

struct Compacted {
    uint64_t packs = 0;  // removed
    uint64_t files = 0;  // moved; what they were in goes once it was purged
};
// Part of gc, after remove_leavings().  `data` has hooks, for it writes.  Packs that a session may still write to or publish
// are not looked at.  Blocks.  An error keeps no other pack, unless there is no room or the session is over; the first one is
// returned at the end, and what was not done is found again.
Result<Compacted> compact_packs(Store& store, Meta& meta, Data& data, Clock& clock, const std::atomic<bool>& stopping);

}  // namespace meshfs
