// Bytes that mounts which are over had stored and did not publish before they died.
#pragma once

#include <atomic>

#include "fs/data/data.h"
#include "fs/meta/meta.h"

namespace meshfs {

struct Leavings {
    uint64_t objects = 0;   // removed, or on record to be, after 2T
    uint64_t sessions = 0;  // that are gone with the last that was left of them
};
// Removes what lies in the reach of sessions that are over and what no inode maps.  Part of gc, after Meta::collect().
// Blocks; any error ends it, and what was not looked at is found again.
Result<Leavings> remove_leavings(Store& store, Meta& meta, Data& data, const std::atomic<bool>& stopping);

}  // namespace meshfs
