// This process, as another one on the same host can look for it; and whether one is gone.
#pragma once

#include "fs/meta/format.h"

namespace meshfs {

// Fills in boot id, pid namespace, pid and start time.  What /proc does not tell stays empty.
void describe_this_process(SessionRecord& record);
// True: it ran on this host, since its last boot, in this pid namespace, and runs no more.  Unsure: false.
bool is_process_gone(const SessionRecord& record);

}  // namespace meshfs
