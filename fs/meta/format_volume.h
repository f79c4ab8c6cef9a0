// format --force: what must not be there, and what goes.  fs/meta's own.
#pragma once

#include <functional>

#include "fs/base/clock.h"
#include "fs/base/result.h"
#include "fs/store/store.h"

namespace meshfs {

// EBUSY: a session's beat moved while it was watched.  Waits half a lease time if any session says it is alive.
Status check_nobody_beats(Store& store, Clock& clock, int lease_seconds);
// Deletes what MeshFS names, in the pools of metadata and data, except `volume`.
Status remove_everything(Store& store, const std::function<void(uint64_t done, uint64_t total)>& progress);
// True: a name that MeshFS makes in a pool.
bool is_meshfs_name(std::string_view name);

}  // namespace meshfs
