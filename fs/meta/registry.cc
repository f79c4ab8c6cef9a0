#include "fs/meta/registry.h"

#include <algorithm>

#include "fs/meta/patience.h"

namespace meshfs {
namespace {

const char* name_of(SessionState state) {
    switch (state) {
        case SessionState::alive: return "alive";
        case SessionState::ended: return "ended";
        case SessionState::dead: return "dead";
    }
    return "damaged";
}

// Without an object it is about to begin, or died there.
Status read_object(Store& store, Clock& clock, SessionInfo& info) {
    auto answer = ask_patiently(store, clock, Query(session_object(info.id)).xattrs().range("", "x"));
    if (answer.code() == ENOENT) return {};
    if (!answer.ok()) return answer.error();
    auto state = decode_state(answer->xattrs[kStateXattr]);
    info.state = state.ok() ? name_of(state->state) : "damaged";
    if (auto beat = decode_beat(answer->xattrs[kBeatXattr]); beat.ok()) info.beat = beat->number;
    info.intents = answer->ranges.at(0).entries.size();  // 1,024 at most: who looks wants to know whether there are many
    return {};
}

Status read_registry_object(Store& store, Clock& clock, unsigned number, std::map<SessionId, SessionRecord>& sessions) {
    ObjectName object = registry_object(number);
    for (std::string after;;) {
        Answer answer = TRY(ask_patiently(store, clock, Query(object).range(after, "s")));
        for (const auto& [key, value] : answer.ranges.at(0).entries) {
            SessionId session = TRY(decode_at(session_of_registry_key, object, key, key));
            sessions[session] = TRY(decode_at(decode_session, object, key, value));
            after = key;
        }
        if (!answer.ranges.at(0).more) return {};
    }
}

}  // namespace

Result<std::map<SessionId, SessionRecord>> read_registry(Store& store, Clock& clock) {
    std::map<SessionId, SessionRecord> sessions;
    for (unsigned i = 0; i < kRegistryObjects; ++i) TRY(read_registry_object(store, clock, i, sessions));
    return sessions;
}

Status for_each_session(Store& store, Clock& clock, const std::function<bool(const SessionInfo&)>& look) {
    for (unsigned i = 0; i < kRegistryObjects; ++i) {
        std::map<SessionId, SessionRecord> sessions;
        TRY(read_registry_object(store, clock, i, sessions));
        for (auto& [id, record] : sessions) {
            SessionInfo info{.id = id, .host = record.host, .state = "beginning", .started = record.started,
                             .own = false, .client = record.client};
            TRY(read_object(store, clock, info));
            if (!look(info)) return {};
        }
    }
    return {};
}

Result<std::vector<SessionInfo>> list_sessions(Store& store, Clock& clock, SessionId own) {
    std::vector<SessionInfo> list;
    TRY(for_each_session(store, clock, [&](const SessionInfo& info) {
        list.push_back(info);
        list.back().own = info.id == own;
        return true;
    }));
    std::ranges::sort(list, {}, &SessionInfo::id);
    return list;
}

}  // namespace meshfs
