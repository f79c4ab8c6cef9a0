#include "fs/meta/registry.h"

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

}  // namespace

Result<std::map<SessionId, SessionRecord>> read_registry(Store& store, Clock& clock) {
    std::map<SessionId, SessionRecord> sessions;
    for (unsigned i = 0; i < kRegistryObjects; ++i) {
        ObjectName object = registry_object(i);
        for (std::string after;;) {
            Answer answer = TRY(ask_patiently(store, clock, Query(object).range(after, "s")));
            for (const auto& [key, value] : answer.ranges.at(0).entries) {
                SessionId session = TRY(decode_at(session_of_registry_key, object, key, key));
                sessions[session] = TRY(decode_at(decode_session, object, key, value));
                after = key;
            }
            if (!answer.ranges.at(0).more) break;
        }
    }
    return sessions;
}

Result<std::vector<SessionInfo>> list_sessions(Store& store, Clock& clock, SessionId own) {
    std::vector<SessionInfo> list;
    for (auto& [id, record] : TRY(read_registry(store, clock))) {
        SessionInfo info{.id = id, .host = record.host, .state = "beginning", .started = record.started,
                         .own = id == own, .client = record.client};
        TRY(read_object(store, clock, info));
        list.push_back(std::move(info));
    }
    return list;
}

}  // namespace meshfs
