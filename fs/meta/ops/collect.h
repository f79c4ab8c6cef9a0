// gc.
#pragma once

#include <functional>

#include "fs/meta/core.h"

namespace meshfs::ops {

Result<Meta::GcReport> collect(MetaCore& core, const std::function<void(uint64_t groups_done)>& progress);

// None of that session's writes can land any more: it ended, or it is dead and fenced, or the store is of one
// process.
Result<bool> can_write_no_more(MetaCore& core, SessionId session);

// Groups that a session which can write no more had made and that have no name; answers how many.  Its
// intents are finished.
Result<uint64_t> remove_nameless(MetaCore& core, SessionId session);

// Of a session that is over: its intents are finished; then its object and its entry go, if nothing in it has to be looked
// after.  False: something has.
Result<bool> clear_session(MetaCore& core, SessionId session);

}  // namespace meshfs::ops
