// What a session thinks of others: looking at their beats, recalling what they hold, declaring them dead.
#include "fs/base/log.h"
#include "fs/base/wire.h"
#include "fs/meta/patience.h"
#include "fs/meta/process.h"
#include "fs/meta/recall_message.h"
#include "fs/meta/session.h"

namespace meshfs {
namespace {

constexpr int64_t kKeyAfterNs = 100 * kNsPerMs;

}  // namespace

Result<SessionState> Session::look_at(SessionId other) {
    if (other == id_) return SessionState::alive;
    Seen seen;
    {
        MutexLock lock(mutex_);
        auto known = seen_.find(other);
        if (known != seen_.end()) seen = known->second;
    }
    if (seen.final) return *seen.final;
    auto state = look(other, seen);
    if (state.ok() && *state != SessionState::alive) seen.final = *state;
    MutexLock lock(mutex_);
    if (seen_.size() >= kSeenMax && !seen_.contains(other)) seen_.clear();
    Seen& known = seen_[other];
    if (!known.final) known = std::move(seen);  // two may have looked at once: each knows a beat and when it saw it
    return state;
}

Result<SessionState> Session::look(SessionId other, Seen& seen) {
    int64_t asked_at = clock_.boot_ns();
    auto answer = store_.ask(std::move(Query(session_object(other)).xattrs()));
    if (answer.code() == ENOENT) {
        seen.record = TRY(read_record(other));
        if (!seen.record) return SessionState::ended;
        return look_at_beat(other, seen, "", "", asked_at);
    }
    if (!answer.ok()) return answer.error();
    const std::string &value = answer->xattrs[kStateXattr], &beat = answer->xattrs[kBeatXattr];
    auto state = decode_state(value);
    if (!state.ok() || !decode_beat(beat).ok()) return SessionState::alive;  // damaged: a person must decide
    switch (state->state) {
        case SessionState::ended: return SessionState::ended;
        case SessionState::dead: return look_at_dead(other, seen, *state);
        case SessionState::alive: break;
    }
    if (!seen.record) seen.record = TRY(read_record(other));
    return look_at_beat(other, seen, value, beat, asked_at);
}

// `state` empty: there is an entry and no object, which is then made, so that a frozen beginner cannot make it.
Result<SessionState> Session::look_at_beat(SessionId other, Seen& seen, const std::string& state,
                                           const std::string& beat, int64_t asked_at) {
    if (seen.since == 0 || seen.beat != beat) {
        seen.beat = beat;
        seen.since = clock_.boot_ns();
    }
    bool is_gone = store_.is_exclusive() || (seen.record && is_process_gone(*seen.record));
    if (!is_gone && asked_at - seen.since < lease_ns_) return SessionState::alive;
    Mutation m(session_object(other));
    if (state.empty()) m.absent().create().set_xattr(kBeatXattr, encode(BeatRecord{}));
    else m.xattr_is(kStateXattr, state).xattr_is(kBeatXattr, beat);
    auto declared = declare_dead(other, std::move(m), false);
    if (declared.ok()) return look_at_dead(other, seen, {.state = SessionState::dead});
    switch (declared.code()) {
        case ECANCELED:  // it beats, ended, or another judge was faster: the next look tells
        case EEXIST:
        case ENOENT:
        case EAGAIN:
        case ETIMEDOUT: return SessionState::alive;
        default: return declared.error();
    }
}

Result<SessionState> Session::look_at_dead(SessionId other, Seen& seen, StateRecord state) {
    if (seen.dead_since == 0) {
        seen.dead_since = clock_.boot_ns();
        if (!seen.record) seen.record = TRY(read_record(other));
        bool is_own = !seen.record || seen.record->client.empty() || seen.record->client == store_.client();
        if (!state.is_fenced && !is_own && !store_.is_exclusive()) {
            auto fenced = fence(other, seen, state);
            if (!fenced.ok()) {
                seen.dead_since = 0;
                return fenced.error();
            }
        }
    }
    bool may_answer = state.was_beating && clock_.boot_ns() - seen.dead_since < lease_ns_;
    return may_answer ? SessionState::alive : SessionState::dead;
}

// Whoever finds it dead does it, until one could.
Status Session::fence(SessionId other, const Seen& seen, StateRecord state) {
    auto fenced = store_.fence(seen.record->client);
    if (fenced.code() == EACCES || fenced.code() == EOPNOTSUPP) {
        log_warning("a dead mount could not be fenced: what it overwrites in place may still land",
                    {{"session", hex(raw(other))}, {"error", fenced.error().text()}});
        return {};
    }
    TRY(fenced);
    std::string before = encode(state);
    state.is_fenced = true;
    (void)store_.apply(std::move(Mutation(session_object(other)).xattr_is(kStateXattr, before).set_xattr(
        kStateXattr, encode(state))));  // else the next judge fences it once more
    return {};
}

Status Session::declare_dead(SessionId other, Mutation guarded, bool was_beating) {
    StateRecord dead{.state = SessionState::dead, .was_beating = was_beating};
    TRY(store_.apply(std::move(guarded.set_xattr(kStateXattr, encode(dead)))));
    log_warning(was_beating ? "declared a mount dead: it did not let go of what was wanted"
                            : "declared a mount dead: it does not beat", {{"session", hex(raw(other))}});
    return {};
}

Result<std::optional<SessionRecord>> Session::read_record(SessionId other) {
    ObjectName object = registry_object(registry_of(other));
    std::string key = registry_key(other);
    Answer answer = TRY(ask_patiently(store_, clock_, Query(object).keys({key})));
    auto found = answer.keys.find(key);
    if (found == answer.keys.end()) return std::optional<SessionRecord>();
    return std::optional(TRY(decode_at(decode_session, object, key, found->second)));
}

// Whoever waited for so long, the lease must still be the one that was asked for: a holder that let go and took it anew has
// answered.  The verdict is guarded on the beat that was read before the lease: a holder that beat since may have let go since.
void Session::give_up_on(SessionId holder, const ObjectName& object, uint64_t epoch) {
    auto of_holder = store_.ask(std::move(Query(session_object(holder)).xattrs()));
    if (!of_holder.ok()) return;
    auto now = store_.ask(std::move(Query(object).xattrs()));
    if (now.ok()) {
        auto lease = decode_lease(now->xattrs[kLeaseXattr]);
        if (!lease.ok() || !lease->is_exclusive_of(holder) || lease->epoch != epoch) return;
    } else if (now.code() != ENOENT) {
        return;
    }  // ENOENT: what was asked for is no object's lease (`Rooms`); nobody would ask again if it had been answered
    Mutation m(session_object(holder));
    m.xattr_is(kStateXattr, encode(StateRecord{})).xattr_is(kBeatXattr, of_holder->xattrs[kBeatXattr]);
    (void)declare_dead(holder, std::move(m), true);  // how it went, the next look at it tells
}

std::shared_ptr<RecallTold> Session::tell_holder(SessionId holder, const Recall& recall) {
    auto told = std::make_shared<RecallTold>();
    store_.notify(session_object(holder), Buffer::copy_of(encode_recall_message(recall)), 1, [told](Result<Acks> acks) {
        if (!acks.ok() || acks->answered.empty()) return;
        auto written = decode_recall_answer(acks->answered.front().second.view());  // only the holder listens there
        if (!written.ok()) return;
        told->written = *written;
        told->is_told = true;
    });
    return told;
}

std::shared_ptr<RecallTold> Session::ask_to_write(SessionId holder, const ObjectName& object, uint64_t epoch) {
    return tell_holder(holder, {.object = object.name, .asker = id_, .epoch = epoch, .is_to_read = true});
}

std::shared_ptr<RecallTold> Session::recall(SessionId holder, const ObjectName& object, uint64_t epoch, bool takes_over) {
    const SessionId asker = takes_over ? id_ : kNobody;
    int64_t now = clock_.boot_ns();
    Asked asked;
    bool writes_key, tells;
    {
        MutexLock lock(mutex_);
        if (asked_.size() >= kAskedMax) asked_.clear();
        Asked& known = asked_[{holder, object.name}];
        // Another epoch: an earlier one was let go, and it was taken again.  And who was away himself has not waited.
        bool is_new = known.first == 0 || known.epoch != epoch || now - known.last > lease_ns_ / 2;
        if (is_new) known = {.first = now, .epoch = epoch};
        known.last = now;
        writes_key = now - known.first >= kKeyAfterNs && (known.written == 0 || now - known.written >= lease_ns_ / 10);
        if (writes_key) known.written = now;
        tells = is_new || writes_key || known.told->is_told;
        if (is_new) known.told = std::make_shared<RecallTold>();
        asked = known;
    }
    if (now - asked.first >= 2 * lease_ns_) {
        give_up_on(holder, object, epoch);
        return asked.told;
    }
    if (tells) {
        asked.told = tell_holder(holder, {.object = object.name, .asker = asker, .epoch = epoch});
        MutexLock lock(mutex_);
        asked_[{holder, object.name}].told = asked.told;
    }
    if (writes_key)
        (void)store_.apply(std::move(Mutation(session_object(holder))
                                         .xattr_is(kStateXattr, encode(StateRecord{}))
                                         .set_keys({{recall_key(object), encode(RecallRecord{asker})}})));
    return asked.told;
}

}  // namespace meshfs
