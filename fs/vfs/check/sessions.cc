// The records of sessions: a registry entry or a state that cannot be read counts as alive, and would be waited for for
// ever.
#include "fs/base/wire.h"
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
        Finding finding{.object = object.name, .key = printable(key), .what = "cannot be read: " + why.detail(),
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
            tell_xattr(object, kStateXattr, answer->xattrs[kStateXattr], state.error(), encode(StateRecord{.state = SessionState::dead}),
                       "it is declared dead", may_mend);
        if (!beat.ok())
            tell_xattr(object, kBeatXattr, answer->xattrs[kBeatXattr], beat.error(), encode(BeatRecord{.number = 1}),
                       "it is written anew", may_mend);
        return {};
    }

    void tell_xattr(const ObjectName& object, const char* name, const std::string& value, const Error& why, std::string sound,
                    std::string repair, bool may_mend) {
        Finding finding{.object = object.name, .key = name, .what = "cannot be read: " + why.detail(), .repair = std::move(repair)};
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
