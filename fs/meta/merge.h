// Directories shrink: a range with few names left becomes part of the one before it while clients work.
#pragma once

#include "fs/meta/core.h"

namespace meshfs {

// After a change of a group by `delta`, which made `sum` one of its sums: is it time to call merge_if_small()?  Each time
// that as many names went as slots are reserved at once (64), and only if the directory has several ranges.
bool is_time_to_merge(const MetaCore& core, const About& about, const Sum& delta, const Sum& sum);

// Merges this group with the one before it or after it as long as they have few names, and again with the next.  Called
// after a change that took names away, by the thread that made it, which holds nothing, and by gc.  If it fails, the
// next one tries again.
void merge_if_small(MetaCore& core, const ObjectName& group);

}  // namespace meshfs
