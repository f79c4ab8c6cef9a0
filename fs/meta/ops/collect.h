// gc.
#pragma once

#include <functional>

#include "fs/meta/core.h"

namespace meshfs::ops {

Result<Meta::GcReport> collect(MetaCore& core, const std::function<void(uint64_t groups_done)>& progress);

// Of a session that is over: its intents are finished; then its object and its entry go, if nothing in it has to be looked
// after.  False: something has.
Result<bool> clear_session(MetaCore& core, SessionId session);

}  // namespace meshfs::ops
