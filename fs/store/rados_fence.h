// Fencing a client so that nothing of it lands any more.
//
// For the rados_*.cc files only: includes librados.
#pragma once

#include "fs/store/rados_link.h"

namespace meshfs {

// Blocks: a second for the monitors, and one answer of every placement group of the volume's pools.
// EACCES: the key may not.
Status fence_rados_client(RadosLink& link, const ClientId& client);

}  // namespace meshfs
