// Leavings of data: what a session that is over had on record in its reach.
//
// Nothing is judged here: the caller compares with the inode.  Only sessions none of whose writes can land any more are
// told of: ended, dead on a store of one process, or dead and fenced.  So no publication of theirs can come late, and the
// inode need not be guarded against one.
#include <algorithm>

#include "fs/meta/ops/collect.h"
#include "fs/meta/ops/ops.h"
#include "fs/meta/patience.h"
#include "fs/meta/registry.h"

namespace meshfs::ops {

Result<bool> can_write_no_more(MetaCore& core, SessionId session) {
    if (TRY(core.look_at(session)) == SessionState::alive) return false;
    auto answer = ask_patiently(core.store, core.clock, Query(session_object(session)).xattrs());
    if (answer.code() == ENOENT) return true;
    if (!answer.ok()) return answer.error();
    StateRecord state = TRY(decode_at(decode_state, session_object(session), kStateXattr, answer->xattrs[kStateXattr]));
    if (state.state == SessionState::alive) return false;
    return state.state == SessionState::ended || state.is_fenced || core.store.is_exclusive();
}

namespace {

Status read_reaches(MetaCore& core, SessionId session, std::vector<Meta::LeftReach>& reaches) {
    ObjectName object = session_object(session);
    for (std::string after;;) {
        auto answer = ask_patiently(core.store, core.clock, Query(object).range(after, "b"));
        if (answer.code() == ENOENT) return {};
        if (!answer.ok()) return answer.error();
        for (const auto& [key, value] : answer->ranges.at(0).entries) {
            auto [first, last] = TRY(decode_at(blobs_of_reach_key, object, key, key));
            ReachRecord record = TRY(decode_at(decode_reach, object, key, value));
            reaches.push_back({.session = session, .first = first, .last = last, .home = record.home,
                               .homes_rise = record.homes_rise, .first_object = record.first, .last_object = record.last});
            after = key;
        }
        if (!answer->ranges.at(0).more) return {};
    }
}

}  // namespace

Result<std::vector<Meta::LeftReach>> left_reaches(MetaCore& core) {
    TRY(core.check_may_change());
    std::vector<Meta::LeftReach> reaches;
    for (const auto& [session, record] : TRY(read_registry(core.store, core.clock)))
        if (session != core.session_id() && TRY(can_write_no_more(core, session))) TRY(read_reaches(core, session, reaches));
    return reaches;
}

Result<bool> is_in_reach(MetaCore& core, BlobId blob) {
    const SessionId session = session_of(blob);
    if (session == core.session_id()) return core.reaches.lives(blob);
    std::vector<Meta::LeftReach> reaches;
    TRY(read_reaches(core, session, reaches));
    return std::any_of(reaches.begin(), reaches.end(),
                       [&](const Meta::LeftReach& reach) { return reach.first <= blob && blob <= reach.last; });
}

Result<bool> cleared(MetaCore& core, const Meta::LeftReach& reach) {
    ObjectName object = session_object(reach.session);
    auto removed = apply_patiently(core.store, core.clock,
                                   std::move(Mutation(object).exists().remove_keys({reach_key(reach.first, reach.last)})));
    if (!removed.ok() && removed.code() != ENOENT) return removed.error();
    return clear_session(core, reach.session);
}

}  // namespace meshfs::ops
