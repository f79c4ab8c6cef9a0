// A session's own life: beginning, beats, recalls, the end.  What it thinks of others is in session_judge.cc.
#include "fs/meta/session.h"

#include "fs/base/log.h"
#include "fs/base/wire.h"
#include "fs/meta/patience.h"
#include "fs/meta/process.h"
#include "fs/meta/recall_message.h"

namespace meshfs {
namespace {

constexpr int kBeatsInLease = 10;  // one each T/10

}  // namespace

Session::Session(Store& store, Clock& clock, const VolumeInfo& volume, SessionId number, const MetaOptions& options)
    : store_(store), clock_(clock), id_(number), object_(session_object(number)),
      lease_ns_(volume.lease_seconds * kNsPerSecond) {
    record_.host = options.host;
    record_.started = clock.now();
    record_.client = store.client();
    describe_this_process(record_);
}

Session::~Session() {
    stop_beats();
    close_mailboxes();
}

Result<std::unique_ptr<Session>> Session::begin(Store& store, Clock& clock, const VolumeInfo& volume, SessionId number,
                                                const MetaOptions& options) {
    std::unique_ptr<Session> session(new Session(store, clock, volume, number, options));
    TRY(apply_patiently(store, clock, std::move(Mutation(registry_object(registry_of(number)))
                                                 .set_keys({{registry_key(number), encode(session->record_)}}))));
    TRY(session->make_object());
    if (store.is_exclusive()) return session;
    session->open_mailbox();
    session->watch_registry();
    if (options.background) session->beats_ = Thread("beats", [raw = session.get()] { raw->run_beats(); });
    return session;
}

// Exclusively: who found the entry alone for T made the object, as dead.  Its entry may be gone since, and with it
// that object; so it is looked for once more.
Status Session::make_object() {
    int64_t sent = clock_.boot_ns();
    Mutation m(object_);
    m.absent().create().set_xattr(kStateXattr, encode(StateRecord{})).set_xattr(kBeatXattr, encode(BeatRecord{beat_}));
    auto made = apply_patiently(store_, clock_, m);
    if (made.code() == EEXIST) {  // an earlier try, or a judge
        Answer answer = TRY(ask_patiently(store_, clock_, Query(object_).xattrs()));
        if (answer.xattrs[kStateXattr] == encode(StateRecord{})) made = {};
    }
    if (made.ok()) {
        auto entry = TRY(read_record(id_));
        if (!entry) made = fail(EEXIST);
    }
    if (made.code() == EEXIST)
        return fail(ESHUTDOWN, "session " + hex(raw(id_)) + " was declared dead before it began; mount again");
    window_end_ = sent + lease_ns_ / 2;
    return made;
}

// Without one a recall is found at the next beat.
void Session::open_mailbox() {
    MailHandler handler;
    handler.message = [this](Buffer message, Acknowledge acknowledge) {
        Recall recall = decode_recall_message(message.view());
        if (recall.asker == kNobody) acknowledge({});
        else recall.answer = std::move(acknowledge);
        tell_recalled(std::move(recall));
    };
    handler.lost = [](int) {};
    auto opened = store_.open_mailbox(object_, std::move(handler));
    if (opened.ok()) mailbox_ = std::move(opened).value();
    else log_warning("no messages from other mounts; leases change hands more slowly", {{"error", opened.error().text()}});
}

void Session::close_mailboxes() {
    mailbox_.reset();
    registry_box_.reset();
}

bool Session::is_in_window() const {
    return window_left_ns() > 0;
}

int64_t Session::window_left_ns() const {
    if (is_dead_) return 0;
    return store_.is_exclusive() ? INT64_MAX : std::max<int64_t>(window_end_ - clock_.boot_ns(), 0);
}

Status Session::check_alive() const {
    if (!is_dead_) return {};
    return fail(ESHUTDOWN, "this mount was away for too long and another one declared it dead");
}

Mutation Session::own_change() const {
    Mutation m(object_);
    m.xattr_is(kStateXattr, encode(StateRecord{}));
    return m;
}

Status Session::apply(Mutation change) {
    TRY(check_alive());
    auto status = apply_patiently(store_, clock_, change);
    if (status.code() == ECANCELED && change.guards().size() > 1) {
        auto answer = ask_patiently(store_, clock_, Query(object_).xattrs());
        if (answer.ok() && answer->xattrs[kStateXattr] == encode(StateRecord{})) return status;
        if (!answer.ok() && answer.code() != ENOENT) return answer.error();
    }
    if (status.code() == ECANCELED || status.code() == ENOENT || status.code() == ESHUTDOWN) {
        declared_dead();
        return check_alive();
    }
    return status;
}

void Session::tick() {
    if (is_dead_) return;
    if (!store_.is_exclusive()) {
        if (registry_lost_) watch_registry();
        beat();
        if (!is_dead_) read_recalls();
    }
    std::function<void()> beaten;
    {
        MutexLock lock(mutex_);
        beaten = beaten_;
    }
    if (beaten && !is_dead_) beaten();
}

// One whose answer is lost may take effect later; the next is sent after it, so numbers only rise.
void Session::beat() {
    int64_t sent = clock_.boot_ns();
    auto status = store_.apply(std::move(own_change().set_xattr(kBeatXattr, encode(BeatRecord{++beat_}))));
    if (status.ok()) window_end_ = sent + lease_ns_ / 2;
    else if (status.code() == ECANCELED || status.code() == ENOENT || status.code() == ESHUTDOWN) declared_dead();
    else log_debug("a beat failed", {{"error", status.error().text()}});
}

// What is asked again between reading and removing is asked once more.
void Session::read_recalls() {
    auto answer = ask_patiently(store_, clock_, Query(object_).range("", "r"));
    if (!answer.ok() || answer->ranges.at(0).entries.empty()) return;
    std::vector<std::string> keys;
    for (const auto& [key, value] : answer->ranges.at(0).entries) {
        auto record = decode_recall(value);
        tell_recalled({.object = key.substr(1), .asker = record.ok() ? record->asker : kNobody});
        keys.push_back(key);
    }
    (void)store_.apply(std::move(own_change().remove_keys(keys)));
}

void Session::on_recall(std::function<void(Recall)> wanted) {
    MutexLock lock(mutex_);
    wanted_ = std::move(wanted);
}

void Session::on_beat(std::function<void()> beaten) {
    MutexLock lock(mutex_);
    beaten_ = std::move(beaten);
}

void Session::on_death(std::function<void()> died) {
    MutexLock lock(mutex_);
    died_ = std::move(died);
}

void Session::tell_recalled(Recall recall) {
    std::function<void(Recall)> wanted;
    {
        MutexLock lock(mutex_);
        wanted = wanted_;
    }
    if (wanted) wanted(std::move(recall));
}

void Session::declared_dead() {
    if (is_dead_.exchange(true)) return;
    log_error("this mount was away for too long and another one declared it dead",
              {{"session", hex(raw(id_))}});
    std::function<void()> died;
    {
        MutexLock lock(mutex_);
        died = died_;
    }
    if (died) died();
}

void Session::run_beats() {
    for (;;) {
        {
            int64_t next = clock_.boot_ns() + lease_ns_ / kBeatsInLease;
            MutexLock lock(mutex_);
            while (!stopping_ && stop_.wait_until(mutex_, next)) {
            }
            if (stopping_) return;
        }
        tick();
    }
}

void Session::stop_beats() {
    {
        MutexLock lock(mutex_);
        stopping_ = true;
    }
    stop_.notify_all();
    if (beats_.joinable()) beats_.join();
}

Status Session::end() {
    stop_beats();
    close_mailboxes();
    TRY(check_alive());
    const std::string ended = encode(StateRecord{.state = SessionState::ended});
    auto status = apply_patiently(store_, clock_, std::move(own_change().set_xattr(kStateXattr, ended)));
    if (status.code() == ECANCELED) {  // an earlier try, or a judge
        Answer answer = TRY(ask_patiently(store_, clock_, Query(object_).xattrs()));
        if (answer.xattrs[kStateXattr] == ended) status = {};
    }
    if (status.code() == ECANCELED || status.code() == ENOENT) {
        declared_dead();
        return check_alive();
    }
    TRY(status);
    // What is left in it is gc's to look after, and the entry leads gc there.
    Answer left = TRY(ask_patiently(store_, clock_, Query(object_).range("", "", 1)));
    if (!left.ranges.at(0).entries.empty()) return {};
    TRY(apply_patiently(store_, clock_, std::move(Mutation(registry_object(registry_of(id_)))
                                                   .remove_keys({registry_key(id_)}))));
    auto removed = apply_patiently(store_, clock_, std::move(Mutation(object_).xattr_is(kStateXattr, ended).remove()));
    return removed.code() == ENOENT ? Status() : removed;
}

}  // namespace meshfs
