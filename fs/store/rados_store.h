// The store on Ceph RADOS: objects of one RADOS namespace, over librados.
//
// Pool 0 is SOURCE's pool.  A data pool is that pool too unless named otherwise; there its objects are called
// "<pool> <name>", so that they never meet the metadata's (no name of ours has a space).
#pragma once

#include <memory>

#include "fs/store/source.h"

namespace meshfs {

// Connects within options.mount_timeout_seconds.  ENOENT: no ceph.conf, key or pool; EACCES: the key may not;
// ETIMEDOUT: monitors or OSDs do not answer; each with the remedy.  Starts threads: not before a fork.
Result<std::unique_ptr<Store>> open_rados_store(const Source& source, const StoreOptions& options);

}  // namespace meshfs
