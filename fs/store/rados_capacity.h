// How much a pool can take.
#pragma once

#include <string_view>

#include "fs/store/store.h"

namespace meshfs {

// From the monitors' answer to `df detail` in JSON, which is hostile input.  EIO: not readable.  A pool that is too
// new to be counted is empty and has what the cluster has.  A pool's max_avail counts bytes before replication, as its users do; a quota bounds it.
Result<Capacity> capacity_from_df(std::string_view json, const std::string& pool);

}  // namespace meshfs
