// Who uses the volume: sessions.<0..15>, an entry for each session from before its object is made until nothing of
// it is left.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "fs/meta/format.h"
#include "fs/meta/meta.h"

namespace meshfs {

// Everybody there, whatever state they are in.
Result<std::map<SessionId, SessionRecord>> read_registry(Store& store, Clock& clock);
// The same with what their objects say, one after the other, until `look` answers false.
Status for_each_session(Store& store, Clock& clock, const std::function<bool(const SessionInfo&)>& look);
Result<std::vector<SessionInfo>> list_sessions(Store& store, Clock& clock, SessionId own);

}  // namespace meshfs
