#include "fs/meta/intent.h"

#include <algorithm>
#include <map>

#include "fs/base/log.h"
#include "fs/base/wire.h"
#include "fs/meta/core.h"
#include "fs/store/io_batch.h"

namespace meshfs {
namespace {

constexpr uint8_t kIntentVersion = 1;
constexpr size_t kPartBytesMax = 96 * 1024;       // of a value's 128 KiB
constexpr size_t kIntentBytesMax = 6u << 20;      // of a mutation's 8 MiB
constexpr uint64_t kStepsMax = 4096;
constexpr size_t kSessionBytesMax = 256u << 20;   // of all open intents of a session
constexpr int kPatienceMax = 600;                 // about half a minute of a store that does not answer

void put_optional(Encoder& e, const std::optional<std::string>& value) {
    e.u8(value ? 1 : 0).string(value ? *value : std::string());
}
std::optional<std::string> get_optional(Decoder& d, size_t max) {
    bool is_there = d.u8() != 0;
    std::string value(d.string(max));
    return is_there ? std::optional(std::move(value)) : std::nullopt;
}

void put_lease(Encoder& e, const Lease& lease) {
    e.u8(static_cast<uint8_t>(lease.kind)).u32(raw(lease.session)).u64(lease.epoch).u8(lease.flags);
}
Lease get_lease(Decoder& d) {
    Lease lease;
    lease.kind = static_cast<Lease::Kind>(d.u8());
    lease.session = SessionId{d.u32()};
    lease.epoch = d.u64();
    lease.flags = d.u8();
    return lease;
}

void put_step(Encoder& e, const IntentStep& step) {
    e.u8(static_cast<uint8_t>(step.kind)).string(step.object.name);
    put_lease(e, step.held);
    put_lease(e, step.next);
    put_optional(e, step.about);
    e.varint(step.read.size());
    for (const auto& [key, value] : step.read) put_optional(e.string(key), value);
    e.varint(step.set.size());
    for (const auto& [key, value] : step.set) e.string(key).string(value);
    e.varint(step.removed.size());
    for (const auto& key : step.removed) e.string(key);
}

// A count is believed only as far as there are bytes for it: each item takes one at least.
template <class Add>
void get_list(Decoder& d, Add add) {
    uint64_t count = d.varint();
    for (uint64_t i = 0; i < count && d.ok(); ++i) add();
}

IntentStep get_step(Decoder& d) {
    IntentStep step;
    uint8_t kind = d.u8();
    if (kind < 1 || kind > 3) d.damage();
    step.kind = static_cast<IntentStep::Kind>(kind);
    step.object = {kMetaPool, std::string(d.string(kObjectNameMax))};
    step.held = get_lease(d);
    step.next = get_lease(d);
    step.about = get_optional(d, kObjectXattrMax);
    get_list(d, [&] {
        std::string key(d.string(kKeyMax));
        step.read.emplace_back(std::move(key), get_optional(d, kValueMax));
    });
    get_list(d, [&] {
        std::string key(d.string(kKeyMax));
        step.set.emplace_back(std::move(key), std::string(d.string(kValueMax)));
    });
    get_list(d, [&] { step.removed.emplace_back(d.string(kKeyMax)); });
    return step;
}

Mutation mutation_of(const IntentStep& step) {
    Mutation m(step.object);
    switch (step.kind) {
        case IntentStep::Kind::make:
            m.absent().create().set_xattr(kLeaseXattr, encode(step.next));
            break;
        case IntentStep::Kind::away:
            m.create();  // key guards then see absent keys where there is no object
            for (const auto& [key, value] : step.read) m.key_is(key, value);
            break;
        case IntentStep::Kind::leased:
            m.xattr_is(kLeaseXattr, encode(step.held)).set_xattr(kLeaseXattr, encode(step.next));
            break;
    }
    if (step.about) m.set_xattr(kAboutXattr, *step.about);
    if (!step.removed.empty()) m.remove_keys(step.removed);
    if (!step.set.empty()) m.set_keys(step.set);
    return m;
}

// A guard of a step that fails: another visitor, or an earlier try whose answer was lost, has done it.
bool was_done(int code) { return code == ECANCELED || code == EEXIST || code == ENOENT; }
bool is_unheard(int code) { return code == ETIMEDOUT || code == EAGAIN; }

// Again until the store says what became of it; a full store is given time as well.
template <class Try>
Status insist(MetaCore& core, Try attempt) {
    for (int tries = 0;; ++tries) {
        Status status = attempt();
        bool again = is_unheard(status.code()) || status.code() == ENOSPC || status.code() == EDQUOT;
        if (!again || tries == kPatienceMax) return status;
        core.clock.sleep_ns(kNsPerMs << std::min(tries, 6));
    }
}

// All steps, those of one kind at once.  With `held` what is passed on is noted there.
Status do_steps(MetaCore& core, const Intent& intent, Exclusive* held) {
    for (auto first = intent.begin(); first != intent.end();) {
        auto end = std::find_if(first, intent.end(), [&](const IntentStep& s) { return s.kind != first->kind; });
        std::vector<std::shared_ptr<HeldGroups::Lent>> lent;
        if (held != nullptr)
            for (auto step = first; step != end; ++step) lent.push_back(core.held.end_lending(step->object));
        std::vector<Status> told;
        TRY(insist(core, [&] {
            told.assign(static_cast<size_t>(end - first), Status());
            {
                IoBatch batch(core.store);
                for (auto step = first; step != end; ++step)
                    batch.add(mutation_of(*step), [&status = told[static_cast<size_t>(step - first)]](Status s) { status = std::move(s); });
            }
            for (const Status& status : told)
                if (!status.ok() && !was_done(status.code())) return status;
            return Status();
        }));
        if (held != nullptr)
            for (auto step = first; step != end; ++step) {
                if (step->kind != IntentStep::Kind::leased) continue;
                const auto i = static_cast<size_t>(step - first);
                core.held.hold_again(step->object, told[i].ok() ? lent[i] : nullptr, step->next, mutation_of(*step).effects());
                held->passed_on(step->object);
            }
        first = end;
    }
    return {};
}

// It may have died since who gives up was told; looked at after what is kept was kept.
void give_up_if_dead(MetaCore& core) {
    if (!core.session->check_alive().ok()) core.intents.give_up();
}

// Of a key of intent_key().
uint64_t number_of_key(std::string_view key) {
    uint64_t number = 0;
    for (char c : key.substr(1, 8)) number = number << 8 | static_cast<unsigned char>(c);
    return number;
}

Status remove_keys_of(MetaCore& core, SessionId session, const std::vector<std::string>& keys) {
    return core.store.apply(std::move(Mutation(session_object(session)).exists().remove_keys(keys)));
}

// The numbers and parts of all intents of a session, as they are in the store.
using Parts = std::map<uint64_t, std::vector<std::pair<std::string, std::string>>>;
Result<Parts> read_intents(MetaCore& core, SessionId session) {
    Parts parts;
    size_t bytes = 0;
    for (std::string after;;) {
        auto answer = core.store.ask(std::move(Query(session_object(session)).range(after, "x")));
        if (answer.code() == ENOENT) return parts;
        if (!answer.ok()) return answer.error();
        for (auto& [key, value] : answer->ranges.at(0).entries) {
            after = key;
            bytes += value.size();
            if (key.size() != 13 || bytes > kSessionBytesMax)
                return damaged(session_object(session), key, fail(EIO, "not an intent of this format"));
            parts[number_of_key(key)].emplace_back(key, std::move(value));
        }
        if (!answer->ranges.at(0).more) return parts;
    }
}

Result<Intent> intent_of(SessionId session, const Parts::mapped_type& records) {
    std::vector<std::string_view> values;
    for (const auto& [key, value] : records) values.push_back(value);
    auto intent = decode_intent(values);
    if (!intent.ok()) return damaged(session_object(session), records.front().first, intent.error());
    return intent;
}

}  // namespace

std::string intent_key(uint64_t number, uint32_t part) { return "x" + key_u64(number) + key_u32(part); }

std::vector<std::string> encode_intent(const Intent& intent) {
    Encoder e;
    e.varint(intent.size());
    for (const IntentStep& step : intent) put_step(e, step);
    const std::string all = e.take();
    const size_t count = (all.size() + kPartBytesMax - 1) / kPartBytesMax;
    std::vector<std::string> parts;
    for (size_t i = 0; i < count; ++i)
        parts.push_back(seal_record(kIntentVersion, Encoder().varint(count).bytes(
                                                        std::string_view(all).substr(i * kPartBytesMax, kPartBytesMax)).take()));
    return parts;
}

Result<Intent> decode_intent(const std::vector<std::string_view>& parts) {
    std::string all;
    for (std::string_view part : parts) {
        OpenedRecord record = TRY(open_record(part));
        if (record.version != kIntentVersion) return fail(EIO, "intent of unknown version");
        Decoder d(record.payload);
        if (d.varint() != parts.size()) return fail(EIO, "intent lacks a part");
        all += d.rest();
    }
    Decoder d(all);
    uint64_t count = d.varint();
    if (count > kStepsMax) d.damage();
    Intent intent;
    for (uint64_t i = 0; i < count && d.ok(); ++i) intent.push_back(get_step(d));
    if (!d.ok() || !d.at_end()) return fail(EIO, "intent is malformed");
    return intent;
}

Intents::~Intents() { give_up(); }

void Intents::give_up() {
    for (auto& u : take_unsettled()) u.held.abandon();
    for (auto& u : take_unfinished()) u.held.abandon();
}

uint64_t Intents::next_number() {
    MutexLock lock(mutex_);
    return ++last_;
}

void Intents::done(std::vector<std::string> keys) {
    MutexLock lock(mutex_);
    done_.insert(done_.end(), std::make_move_iterator(keys.begin()), std::make_move_iterator(keys.end()));
}

std::vector<std::string> Intents::take_done() {
    MutexLock lock(mutex_);
    return std::exchange(done_, {});
}

void Intents::keep(Unsettled unsettled) {
    MutexLock lock(mutex_);
    unsettled_.push_back(std::move(unsettled));
}

void Intents::keep(Unfinished unfinished) {
    MutexLock lock(mutex_);
    unfinished_.push_back(std::move(unfinished));
}

bool Intents::are_open() {
    MutexLock lock(mutex_);
    return !unsettled_.empty() || !unfinished_.empty();
}

std::vector<Intents::Unsettled> Intents::take_unsettled() {
    MutexLock lock(mutex_);
    return std::exchange(unsettled_, {});
}

std::vector<Intents::Unfinished> Intents::take_unfinished() {
    MutexLock lock(mutex_);
    return std::exchange(unfinished_, {});
}

Status write_intent(Session& session, Intents& intents, const Intent& intent, std::vector<std::string>& keys) {
    std::vector<std::string> parts = encode_intent(intent);
    const uint64_t number = keys.empty() ? intents.next_number() : number_of_key(keys.front());
    keys.clear();
    std::vector<Key> records;
    size_t bytes = 0;
    for (uint32_t i = 0; i < parts.size(); ++i) {
        bytes += parts[i].size();
        keys.push_back(intent_key(number, i));
        records.emplace_back(keys.back(), std::move(parts[i]));
    }
    if (bytes > kIntentBytesMax || intent.size() > kStepsMax)
        return fail(E2BIG, "an operation of " + std::to_string(bytes) + " bytes, " + std::to_string(intent.size()) + " objects");
    std::vector<std::string> done = intents.take_done();
    Mutation commit = session.own_change();
    if (!done.empty()) commit.remove_keys(done);
    commit.set_keys(std::move(records));
    auto status = session.apply(std::move(commit));
    if (!status.ok()) intents.done(std::move(done));
    return status;
}

Status commit_intent(MetaCore& core, Exclusive held, Intent intent) {
    std::stable_sort(intent.begin(), intent.end(), [](auto& a, auto& b) { return a.kind < b.kind; });
    std::vector<std::string> keys;
    // A dead session's intent is finished by a visitor if a try whose answer was lost wrote it, else it never happens.
    auto status = write_intent(*core.session, core.intents, intent, keys);
    if (is_unheard(status.code())) core.intents.keep(Intents::Unsettled{std::move(keys), std::move(held)});
    if (!status.ok()) return give_up_if_dead(core), status;
    status = do_steps(core, intent, &held);
    if (status.ok()) core.intents.done(std::move(keys));
    else core.intents.keep(Intents::Unfinished{std::move(intent), std::move(keys), std::move(held)});
    return give_up_if_dead(core), status;
}

Result<std::set<std::string>> made_by_intents(MetaCore& core, SessionId session) {
    std::set<std::string> made;
    for (const auto& [number, records] : TRY(read_intents(core, session)))
        for (const IntentStep& step : TRY(intent_of(session, records)))
            if (step.kind == IntentStep::Kind::make) made.insert(step.object.name);
    return made;
}

Result<bool> is_half_done(MetaCore& core, const ObjectName& object, const Lease& lease) {
    if (lease.kind != Lease::Kind::exclusive) return false;
    for (const auto& [number, records] : TRY(read_intents(core, lease.session)))
        for (const IntentStep& step : TRY(intent_of(lease.session, records)))
            if (step.kind == IntentStep::Kind::leased && step.object == object && step.held == lease) return true;
    return false;
}

Status finish_intents(MetaCore& core, SessionId dead) {
    for (const auto& [number, records] : TRY(read_intents(core, dead))) {
        auto intent = intent_of(dead, records);
        if (!intent.ok()) return intent.error();
        std::vector<std::string> keys;
        for (const auto& [key, value] : records) keys.push_back(key);
        TRY(do_steps(core, *intent, nullptr));
        auto removed = insist(core, [&] { return remove_keys_of(core, dead, keys); });
        if (!removed.ok() && removed.code() != ENOENT) return removed;
        log_info("an operation of a mount that died was finished",
                 {{"session", hex(raw(dead))}, {"steps", std::to_string(intent->size())}});
    }
    return {};
}

void tend_intents(MetaCore& core) {
    for (auto& u : core.intents.take_unsettled()) {
        // After this, whatever it was guarded on, the write is in and gone, or will never be: `held` lets go.
        auto status = core.session->apply(std::move(core.session->own_change().remove_keys(u.keys)));
        if (!status.ok()) core.intents.keep(std::move(u));
    }
    for (auto& u : core.intents.take_unfinished()) {
        auto status = do_steps(core, u.intent, &u.held);
        if (status.ok()) core.intents.done(std::move(u.keys));
        else core.intents.keep(std::move(u));
    }
    give_up_if_dead(core);
    std::vector<std::string> done = core.intents.take_done();
    if (done.empty()) return;
    auto status = remove_keys_of(core, core.session_id(), done);
    if (is_unheard(status.code())) core.intents.done(std::move(done));
}

}  // namespace meshfs
