// What must be true of the bytes in the store when nobody is in the middle of something.
#pragma once

#include <string>
#include <vector>

#include "fs/store/memory_cluster.h"

namespace meshfs::sim {

// A sentence for each that is broken.  Judges the groups that are reachable from the root: both directions of
// names and slots, directories and their places, links, ranges, sums, unlinked records; and that every record
// can be read.  merged: of their ranges that many were merged.
std::vector<std::string> broken_invariants(MemoryCluster& cluster, uint64_t& merged);

}  // namespace meshfs::sim
