// One mount's life as others see it, and its judgement of others'.
//
// s.<session> says in xattrs whether the session is alive, and its beat, a number raised each T/10.  While the last
// beat that succeeded was sent less than T/2 ago, the session may answer from memory: its *window*.  Who sees the
// same beat for T writes `dead`, guarded on that beat; by then the window has passed.  Every mutation of the
// session's own object is guarded on `alive`, so what a dead session left there is final.
//
// The entry in the registry comes first and goes last but one: an object is always found by it.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "fs/base/clock.h"
#include "fs/base/mutex.h"
#include "fs/base/thread.h"
#include "fs/meta/format.h"
#include "fs/meta/meta.h"

namespace meshfs {

// What another session wants of this one.
struct Recall {
    std::string object;
    SessionId asker = kNobody;  // who wants its lease next; nobody: it is to be free
    uint64_t epoch = 0;         // of the lease that was in the way; 0: not known
    bool is_to_read = false;    // the lease may stay, if what was answered under it is written
    Acknowledge answer;         // none: nobody hears it.  Later, on any thread, once: encode_recall_answer(), or nothing
};

// What became of what was asked.  Shared by who waits and by who is told.
struct RecallTold {
    std::atomic<bool> is_told{false};
    std::atomic<uint64_t> written{0};
};

// Threads: any.
class Session {
public:
    // With options.background a thread beats; else tick() must be called each T/10.
    static Result<std::unique_ptr<Session>> begin(Store& store, Clock& clock, const VolumeInfo& volume,
                                                  SessionId number, const MetaOptions& options);
    ~Session();  // without end() it looks as if the process had died

    SessionId id() const { return id_; }
    // On stores of one process always: nobody else judges.
    bool is_in_window() const;
    int64_t lease_ns() const { return lease_ns_; }
    int64_t window_left_ns() const;  // 0: it is not
    // ESHUTDOWN: somebody declared this session dead.
    Status check_alive() const;
    // Of s.<session>, guarded on `alive`: intents, reach, blocks of numbers go through it.
    Mutation own_change() const;
    // Does such a change, again if its answer was lost.  ESHUTDOWN: the session is dead; ECANCELED: another guard of
    // the caller's, which a first try may have met.
    Status apply(Mutation own_change);
    // One beat, one look at what others recall.
    void tick();
    // Says `ended`; the entry and the object go unless something is left in it.  Whatever was leased has been
    // handed back.
    Status end();

    // One look at another session: no waiting but for the store; who waits for a death calls again.  `ended` also
    // if there is no such session.  `dead` means that its window has passed and that its intents are final, and
    // where the keyring allows that none of its writes can land.
    Result<SessionState> look_at(SessionId other);

    // Asks the holder of that object's lease to let go, once each call that comes while it has not: by message, and
    // after 100 ms also by a key in its object that it reads at each beat.  Who has been asked for 2T is declared
    // dead.  The answer says that it is time to look at the lease, and may never come.
    // epoch: of the lease that is in the way; who lets go and takes it anew is asked anew.  takes_over: it may be given to this
    // session.
    std::shared_ptr<RecallTold> recall(SessionId holder, const ObjectName& object, uint64_t epoch, bool takes_over = false);
    // Asks the holder, once, to write what it has answered of that object.  The answer says from which epoch on all is in the
    // store that it had answered before this call, or 0: look again.
    std::shared_ptr<RecallTold> ask_to_write(SessionId holder, const ObjectName& object, uint64_t epoch);
    // Called when another session wants an object; on any thread, so it must only hand over.  Set once, before the
    // first lease is taken.
    void on_recall(std::function<void(Recall)> wanted);
    // Called after each beat, on the thread of tick(); may block on the store.  Set once, before the first lease.
    void on_beat(std::function<void()> beaten);
    // Called once, when it is known that this session was declared dead: on any thread, must only hand over.
    // Set once.
    void on_death(std::function<void()> died);
    void stop_beats();  // the thread, if there is one; ends after the beat in work

    // Asks all other sessions there are, and waits up to 1 s: their answers, but for those that ended or died.
    // EAGAIN: somebody is silent and alive, as far as is known; later, it answers or is dead.
    Result<std::map<SessionId, std::string>> ask_everybody(std::string_view question);
    // How others are answered; on any thread, must not block.  Set once, before anything is open.
    void on_question(std::function<std::string(std::string_view question)> answer);

private:
    Session(Store& store, Clock& clock, const VolumeInfo& volume, SessionId number, const MetaOptions& options);

    // What is known of another session.
    struct Seen {
        std::string beat;         // as last read; empty: there was no object
        int64_t since = 0;        // when that was first seen, by boot_ns()
        int64_t dead_since = 0;   // when that was first seen; 0: not yet
        std::optional<SessionRecord> record;
        std::optional<SessionState> final;
    };
    struct Asked {
        int64_t first = 0, last = 0, written = 0;  // by boot_ns(); written: the key, 0: not yet
        uint64_t epoch = 0;
        std::shared_ptr<RecallTold> told;  // also of who waits
    };

    Status make_object();
    void open_mailbox();
    void watch_registry();
    void close_mailboxes();
    void beat();
    void read_recalls();
    void tell_recalled(Recall recall);
    std::shared_ptr<RecallTold> tell_holder(SessionId holder, const Recall& recall);
    void declared_dead();
    void run_beats();

    Result<SessionState> look(SessionId other, Seen& seen);
    Result<SessionState> look_at_beat(SessionId other, Seen& seen, const std::string& state, const std::string& beat,
                                      int64_t asked_at);
    Result<SessionState> look_at_dead(SessionId other, Seen& seen, StateRecord state);
    Result<std::optional<SessionRecord>> read_record(SessionId other);
    Status fence(SessionId other, const Seen& seen, StateRecord state);
    void give_up_on(SessionId holder, const ObjectName& object, uint64_t epoch);
    Status declare_dead(SessionId other, Mutation guarded, bool was_beating);

    Store& store_;
    Clock& clock_;
    const SessionId id_;
    const ObjectName object_;
    const int64_t lease_ns_;  // T
    SessionRecord record_;    // constant after begin()

    std::atomic<uint64_t> beat_{1};
    std::atomic<int64_t> window_end_{0};
    std::atomic<bool> is_dead_{false};

    Mutex mutex_;
    CondVar stop_;
    bool stopping_ GUARDED_BY(mutex_) = false;
    std::function<void(Recall)> wanted_ GUARDED_BY(mutex_);
    std::function<void()> beaten_ GUARDED_BY(mutex_), died_ GUARDED_BY(mutex_);
    static constexpr size_t kSeenMax = 16384;  // past it all are forgotten, and waited for anew
    std::map<SessionId, Seen> seen_ GUARDED_BY(mutex_);
    static constexpr size_t kAskedMax = 16384;
    std::map<std::pair<SessionId, std::string>, Asked> asked_ GUARDED_BY(mutex_);

    std::function<std::string(std::string_view)> answer_ GUARDED_BY(mutex_);

    std::unique_ptr<Mailbox> mailbox_, registry_box_;  // of s.<session>; of its registry object
    std::atomic<bool> registry_lost_{false};
    Thread beats_;
};

}  // namespace meshfs
