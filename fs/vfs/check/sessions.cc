// The records of sessions: a registry entry or a state that cannot be read counts as alive, and would be waited for
// for ever.
#include <map>

#include "fs/base/wire.h"
#include "fs/meta/intent.h"
#include "fs/vfs/check/across.h"

namespace meshfs::check {
namespace {

class Sessions {
public:
    Sessions(Scene& scene, Report& report, const CheckOptions& options)
        : scene_(scene), report_(report), options_(options) {}

    Status check_registry(const ObjectName& object) {
        for (std::string after;;) {
            Answer answer = TRY(scene_.store.ask(std::move(Query(object).range(after, ""))));
            for (const auto& [key, value] : answer.ranges.at(0).entries) {
                after = key;
                if (key[0] == kTakenAway) continue;
                auto session = session_of_registry_key(key);
                auto record = session.ok() ? decode_session(value) : Result<SessionRecord>(session.error());
                if (!record.ok()) tell_entry(object, key, value, record.error(), session.ok());
                if (session.ok()) TRY(check_session(*session));
            }
            if (!answer.ranges.at(0).more) return {};
        }
    }

private:
    void tell_entry(const ObjectName& object, const std::string& key, const std::string& value, const Error& why,
                    bool is_session) {
        Finding finding{.object = object.name,
                        .key = printable(key),
                        .what = "cannot be read: " + why.detail(),
                        .repair = is_session ? "it is written anew, of an unknown host" : "it is taken away"};
        settle({std::move(finding), [this, object, key, value, is_session] {
                    Mutation m(object);
                    m.key_is(key, value);
                    std::vector<Key> set{{kTakenAway + key, value}};
                    if (is_session) set.emplace_back(key, encode(SessionRecord{.host = "unknown"}));
                    else m.remove_keys({key});
                    m.set_keys(std::move(set));
                    return scene_.store.apply(std::move(m));
                }});
    }

    Status check_session(SessionId session) {
        const ObjectName object = session_object(session);
        auto answer = scene_.store.ask(std::move(Query(object).xattrs()));
        if (answer.code() == ENOENT) return {};  // it begins, or has ended
        if (!answer.ok()) return answer.error();
        auto state = decode_state(answer->xattrs[kStateXattr]);
        auto beat = decode_beat(answer->xattrs[kBeatXattr]);
        // While others work, who of them has this number is not known, and may have written something newer.
        bool may_mend = !options_.live;
        if (!state.ok())
            tell_xattr(object, kStateXattr, answer->xattrs[kStateXattr], state.error(),
                       encode(StateRecord{.state = SessionState::dead}), "it is declared dead", may_mend);
        if (!beat.ok())
            tell_xattr(object, kBeatXattr, answer->xattrs[kBeatXattr], beat.error(), encode(BeatRecord{.number = 1}),
                       "it is written anew", may_mend);
        // Of the living they come and go.
        bool is_final = !options_.live || (state.ok() && state->state != SessionState::alive);
        if (!is_final) return {};
        TRY(check_intents(object));
        TRY(check_leavings(
            object, "b",
            [](const Key& entry) -> Status {
                TRY(blobs_of_reach_key(entry.first));
                TRY(decode_reach(entry.second));
                return {};
            },
            "where a mount that is no more had data cannot be read",
            "it is taken away; if no file shows that data it is never removed"));
        return check_leavings(
            object, "g",
            [](const Key& entry) -> Status {
                TRY(group_of_births_key(entry.first));
                TRY(decode_births(entry.second));
                return {};
            },
            "which directories a mount that is no more was making cannot be read",
            "it is taken away; what has no name of them --deep finds");
    }

    // gc ends at one that cannot be read.
    Status check_leavings(const ObjectName& object, const char* prefix, Status (*decode)(const Key&),
                          const char* what, const char* repair) {
        for (std::string after;;) {
            auto answer = scene_.store.ask(std::move(Query(object).range(after, prefix)));
            if (answer.code() == ENOENT) return {};
            if (!answer.ok()) return answer.error();
            for (const Key& entry : answer->ranges.at(0).entries) {
                const std::string &key = entry.first, &value = entry.second;  // clang 14 lets no lambda have bindings
                after = key;
                auto decoded = decode(entry);
                if (decoded.ok()) continue;
                Finding finding{.object = object.name,
                                .key = printable(key),
                                .what = std::string(what) + ": " + decoded.error().detail(),
                                .repair = repair};
                settle({std::move(finding), [this, object, key, value] {
                            Mutation m(object);
                            m.key_is(key, value).remove_keys({key}).set_keys({{kTakenAway + key, value}});
                            return scene_.store.apply(std::move(m));
                        }});
            }
            if (!answer->ranges.at(0).more) return {};
        }
    }

    // One that cannot be read keeps everything held that the dead session held.
    Status check_intents(const ObjectName& object) {
        std::map<std::string, std::vector<Key>> intents;  // by the part of the key that is the number
        for (std::string after;;) {
            auto answer = scene_.store.ask(std::move(Query(object).range(after, "x")));
            if (answer.code() == ENOENT) return {};
            if (!answer.ok()) return answer.error();
            for (auto& [key, value] : answer->ranges.at(0).entries) {
                after = key;
                intents[key.substr(0, kIntentNumberEnd)].emplace_back(key, std::move(value));
            }
            if (!answer->ranges.at(0).more) break;
        }
        for (const auto& [number, parts] : intents) {
            std::vector<std::string_view> values;
            for (const auto& [key, value] : parts) values.push_back(value);
            auto intent = decode_intent(values);
            if (!intent.ok()) tell_intent(object, parts, intent.error());
        }
        return {};
    }

    void tell_intent(const ObjectName& object, const std::vector<Key>& parts, const Error& why) {
        Finding finding{
            .object = object.name,
            .key = printable(parts.front().first),
            .what = "operation of a mount that died cannot be read: " + why.detail() + "; what it held stays held",
            .repair = "it is taken away; what it had half done is told and repaired where it is"};
        settle({std::move(finding), [this, object, parts] {
                    Mutation m(object);
                    std::vector<Key> kept;
                    std::vector<std::string> removed;
                    for (const auto& [key, value] : parts) {
                        m.key_is(key, value);
                        kept.emplace_back(kTakenAway + key, value);
                        removed.push_back(key);
                    }
                    m.remove_keys(removed).set_keys(std::move(kept));
                    return scene_.store.apply(std::move(m));
                }});
    }

    void tell_xattr(const ObjectName& object, const char* name, const std::string& value, const Error& why,
                    std::string sound, std::string repair, bool may_mend) {
        Finding finding{.object = object.name,
                        .key = name,
                        .what = "cannot be read: " + why.detail(),
                        .repair = std::move(repair)};
        std::function<Status()> mend;
        if (may_mend)
            mend = [this, object, name, value, sound = std::move(sound)] {
                return mend_xattr(scene_, object, name, value.empty() ? std::nullopt : std::optional(value), sound);
            };
        settle({std::move(finding), std::move(mend)});
    }

    void settle(Suspect suspect) {
        Suspects told;
        report_.settle({std::move(suspect)}, told);
    }

    static constexpr size_t kIntentNumberEnd = 9;  // "x" and eight bytes
    Scene& scene_;
    Report& report_;
    const CheckOptions& options_;
};

}  // namespace

Status check_sessions(Scene& scene, Report& report, const CheckOptions& options) {
    for (unsigned i = 0; i < kRegistryObjects; ++i) {
        Status done = Sessions(scene, report, options).check_registry(registry_object(i));
        if (!done.ok() && done.code() != ENOENT) return done;  // a missing one was told
    }
    return {};
}

}  // namespace meshfs::check
