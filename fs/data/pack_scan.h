// All members of a pack, by their records.
#pragma once

#include "fs/data/pack.h"

namespace meshfs {

struct PackScan {
    std::vector<PackMember> members;  // in order; those before the damage, if there is some
    Status damage;                    // EIO: a segment that cannot be read, and what follows it
};
// ENOENT: there is no such object.  One call a segment; blocks.
Result<PackScan> scan_pack(Store& store, Pool pool, BlobId pack);

}  // namespace meshfs
