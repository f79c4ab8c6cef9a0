// Directories grow: a group with too many names is halved while clients work.
#pragma once

#include "fs/meta/core.h"

namespace meshfs {

// Halves a group with more than options.split_names names.  Called after a change that reserved slots, by the thread that
// made it, which holds nothing; if it fails, the next reservation tries again.
void split_if_large(MetaCore& core, const ObjectName& group);

}  // namespace meshfs
