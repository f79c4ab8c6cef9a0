// Groups this mount has for itself: answered from memory, changed in memory, written in batches.
//
// A Store in front of the store.  An object whose lease says `X s e kept`, s being this session, is *held*: queries are
// answered from its Mirror, mutations change the Mirror and are written later, many in one, guarded on that lease
// and raising its epoch.  All other objects, and all calls that do not fit, are passed on.  So whoever reads and changes
// groups does it as if each were free, and is told at once.
//
// A group becomes held by a mutation that gives it such a lease: the first change of a free one (`wants`), or its making.
// One that is read again and again gets `kept` with `write_through`, and so does one that is all written and quiet: others
// read it as it is in the store, and the first change here takes that back.  It is let go of when another session wants it, after what is
// not written.  Memory answers only in the session's window; outside it the store does.
//
// Order: a batch never names an object that is not in the store.  Objects made and not yet written are *unborn*; each
// flush writes, first, all of those, whole; then the batches.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "fs/base/clock.h"
#include "fs/base/executor.h"
#include "fs/base/mutex.h"
#include "fs/base/thread.h"
#include "fs/meta/format.h"
#include "fs/meta/lease_usage.h"
#include "fs/meta/mirror.h"
#include "fs/meta/promises.h"
#include "fs/meta/session.h"
#include "fs/store/forwarding_store.h"

namespace meshfs {

class Intents;

class HeldGroups final : public ForwardingStore {
public:
    struct Options {
        bool is_on = true;
        bool is_synchronous = false;         // each change is in the store when its call returns
        int64_t commit_ns = kNsPerSecond;    // what is not written is not older
        bool names_among_others = false;     // they are kept whoever else there is: for simulations
        size_t bytes_max = 128u << 20;       // of copies, about; past it those not used longest are forgotten
    };
    HeldGroups(Store& inner, Clock& clock, Options options)
        : ForwardingStore(inner), clock_(clock), options_(options), commit_ns_(options.commit_ns),
          is_synchronous_(options.is_synchronous) {}
    ~HeldGroups() override;

    // Until then, and in a mount without a session, everything is passed on.  in_background: with a thread that writes
    // what is due and lets go of what others want; else tend() must be called.  intents: of that session.
    void begin(Session& session, Intents& intents, bool in_background);
    void set_commit(int64_t ns) { commit_ns_ = ns; }
    void set_synchronous(bool is_synchronous) { is_synchronous_ = is_synchronous; }

    // The lease a change of that free group, or its making, should give it; none: it stays free.
    std::optional<Lease> wants(const ObjectName& group, uint64_t epoch);

    // --- between mounts that want the same (held_recalls.cc)
    // Another session wants it; hands over.  False: it is not held.
    bool recall(Recall recall);
    bool holds(const std::string& group) const { return find(group) != nullptr; }
    // That object may be given to this session by who has it.
    bool takes_over(const ObjectName& object) const;
    // Another mount was asked for it, to read: that was often, lately.
    bool is_read_often(const ObjectName& group);
    void note_contended(const std::string& group);  // for people

    // What is to be in the group before anybody else can read it, and is not yet: with a debt that its holder pays then, with
    // the lease as it is still.  On a thread for that, which is waited for by who lets go of the group: `pay` may call this
    // store about that group and its session, and about no other.  Where nothing is stored for the lease time the group goes
    // unpaid, and no more is owed for a minute, or until `pay` has said that something was stored: an OSD that is silent must not keep a group
    // from everybody.  Null: `pay` is not called any more once this returns.
    void on_due(std::function<bool(GroupId)> pay);
    // False: others can read the group, or soon will, or `may`, which is given the copy, says so.  True: `pay` is called before
    // they can.  Never blocks.
    bool owe(GroupId group, const std::function<bool(const Mirror&)>& may);

    // --- for operations over several objects (joint_change.h), which take X of them.  A group that was held is read from its copy
    // meanwhile, and is held again by the step that changes it, if that gives it the lease of wants().
    struct Lent;
    bool was_held(const ObjectName& group, const Lease& exclusive) const;
    std::shared_ptr<Lent> end_lending(const ObjectName& group);  // before the step goes; null: it was not held
    // lent: null if it is not certain that the step did it.
    void hold_again(const ObjectName& group, const std::shared_ptr<Lent>& lent, const Lease& lease,
                    const std::vector<Effect>& effects);

    // --- a directory that is removed: its only group dies in the batch that takes its name, or neither is written (held_deaths.cc).
    // `mutation` is of the group that names it and needs it to be held, as it was read; `child` was read under `lease`, without a
    // name in it.  ECANCELED: look again; EOPNOTSUPP: both are not held, or not so that it can be done in memory.
    // is_removed: it was, whatever the answer.
    Status remove_directory(const Mutation& mutation, const ObjectName& child, const Lease& lease, bool& is_removed);

    // What ask() would answer, looked at where it is.  False: it is not held, or `look` found that it is not all there: then ask.
    // `look` runs under the group's mutex.
    bool peek(const ObjectName& group, const std::function<bool(const Mirror&)>& look) const;

    // Names of it are read next, all of them: with the next look it is held for that, and its names come at once.
    void will_list(GroupId group);

    LeaseUsage usage() const;  // without directories

    // Of inodes that are read of held groups.  make_promise(): promises().make(), if that group is held.
    Promises& promises() { return promises_; }
    bool make_promise(GroupId group, Ino inode, uint64_t since);
    // Of names (held_names.cc): for how many ns the kernel may keep one that was read of that group; 0: it is asked each time.  Only
    // while this mount is, as far as it knows, the only one: who comes has to wait for it.
    int64_t keep_names(GroupId group, uint64_t since);
    void keep_no_names(const ObjectName& group);  // as long as it is held
    // Names went from one group to the other, and with them what the kernel keeps.  Under X on both, before the change.
    void names_went(GroupId from, GroupId to);
    // What the kernel keeps of that group now is over when it returns.
    void wait_for_names(const ObjectName& group);
    // How often others were heard of; nobody was but those, and there is nobody now.
    uint64_t others_heard() const { return others_heard_; }
    void note_others();
    void note_alone(uint64_t heard);
    bool is_alone() const { return is_alone_; }

    // All that was answered before this call is in the store, or why not.
    Status commit();
    Status write_all();  // the same, but that what was lost earlier is not told
    // A moment; was all that had been answered before it written since?  Never again once something was lost.
    uint64_t answered() const;
    bool is_written_since(uint64_t moment) const;
    void tend();    // what is due
    // What is not written will never be: the session is over.  True: there was something.
    bool give_up();
    void note_lost();  // the next commit() says that something was lost
    Status end();   // commits, lets go of everything; nothing is held from then on
    // Without end(), as if the process had died: before the session goes, which the thread looks at.
    void stop_thread();

    // --- Store
    Status apply(Mutation mutation) override;
    Result<Answer> ask(Query query) override;

private:
    struct Held;
    using HeldPtr = std::shared_ptr<Held>;
    struct Batch;

    HeldPtr find(const std::string& name) const;
    bool is_own(const Lease& lease) const;
    bool may_answer() const;

    // None: look again whether it is held.
    std::optional<Status> change(const HeldPtr& held, const Mutation& mutation);
    std::optional<Status> change_in_memory(const HeldPtr& held, const Mutation& mutation);
    std::optional<Status> do_in_memory(const HeldPtr& held, const Mutation& mutation, bool& is_done) NO_THREAD_SAFETY_ANALYSIS;
    std::optional<Status> pass_on(const HeldPtr& held, const Mutation& mutation);
    std::optional<Result<Answer>> look(const HeldPtr& held, const Query& query);
    std::optional<Status> fill(const HeldPtr& held, const Query& query) NO_THREAD_SAFETY_ANALYSIS;  // lets go of a mutex

    // How a group becomes held.
    HeldPtr reserve(const ObjectName& group);  // null: it is by now, or is about to be
    Status take(const Mutation& mutation, const Lease& lease);
    void note_read(const ObjectName& group, const Lease& free);
    void note_recall();
    void lend(const HeldPtr& held, const Lease& lease);
    std::optional<Answer> answer_of_lent(const Query& query) const;
    void forget_lent(const std::string& group);
    // False: it cannot be held now, and the answer is the store's.
    bool enter_found(const ObjectName& group, const Lease& lease, const Query& query, const Answer& answer);
    std::optional<Status> change_flags(const HeldPtr& held, uint8_t flags);
    std::optional<Status> change_through(const HeldPtr& held, const Mutation& mutation);
    // And how that ends.
    void let_go(const std::string& group, SessionId next = kNobody);  // nobody: it is free
    bool is_gone(const HeldPtr& held) const;
    void give_names_up(const Mutation& mutation);
    void answer_recalls();
    int64_t hand_over_at(const HeldPtr& held, std::vector<Recall>& recalls);
    void hand_over(const HeldPtr& held, std::vector<Recall>& recalls);
    void write_for_readers(const HeldPtr& held, std::vector<Recall>& recalls);
    void cool(const std::string& group, bool is_crowded);
    void lose(const HeldPtr& held, const Status& why);
    void leave_table(const HeldPtr& held);

    // There is nothing to pay of it afterwards, nor will be until the lease was changed, or is not.
    void pay(const HeldPtr& held);
    bool is_unpaid() const;
    void start_paying(const HeldPtr& held);
    void want(const HeldPtr& held);
    void want(const std::set<std::string>& groups);  // so that all are paid at once, and waited for but once

    // Of deaths.
    std::optional<Status> remove_now(const HeldPtr& parent, const Mutation& mutation, const HeldPtr& child,
                                     const Lease& lease) NO_THREAD_SAFETY_ANALYSIS;  // locks both, if it can
    Status make_room(const HeldPtr& held);
    std::vector<HeldPtr> with_parents(const std::vector<HeldPtr>& wanted);
    struct Announced;
    Status send_trees(std::vector<std::vector<Batch>> trees);
    Status send_announced(std::vector<Batch> batches);
    static HeldPtr under_way_above(HeldPtr held);  // null: none is
    Status go_on();
    Status go_on(Announced& announced);
    Status raise_lease(Batch& batch);

    // Writes what these have not written, or all; before it everything unborn.
    Status flush(const HeldPtr& only);
    Status flush_all();
    Status flush_births();  // before a mutation that is not held back may name them
    Status flush_one_turn(const std::vector<HeldPtr>& wanted);
    Status flush_in_turn(const std::vector<HeldPtr>& wanted);
    void freeze_changes(const HeldPtr& held, std::vector<Batch>& batches, bool with_its_name);
    std::optional<Batch> freeze(const HeldPtr& held, bool is_birth, bool with_its_name = false);
    Status send(std::vector<Batch>& batches);
    Status insist(Batch& batch, Status status);
    std::vector<Status> deliver(std::vector<Batch>& batches);
    Status finish(const Batch& batch, const Status& status, bool was_sent = true);
    void note_dirty(const HeldPtr& held, bool may_be_urgent = true);

    void run();
    void wake();
    void open_quiet();
    void forget_unused();

    Clock& clock_;
    const Options options_;
    std::atomic<int64_t> commit_ns_;
    std::atomic<bool> is_synchronous_;
    std::atomic<Session*> session_{nullptr};
    Intents* intents_ = nullptr;  // constant while there is a session
    Promises promises_;

    // Taken inside a Held's mutex, never around it.
    mutable Mutex mutex_;
    std::unordered_map<std::string, HeldPtr> table_ GUARDED_BY(mutex_);
    std::map<std::string, HeldPtr> unborn_ GUARDED_BY(mutex_), dirty_ GUARDED_BY(mutex_);
    std::map<std::string, HeldPtr> quiet_ GUARDED_BY(mutex_);  // written, and nobody else may read them
    int64_t dirty_since_ GUARDED_BY(mutex_) = 0;  // the first of them, by boot_ns(); 0: there is none
    bool is_urgent_ GUARDED_BY(mutex_) = false;
    static constexpr size_t kRecalledMax = 4096, kAskersMax = 64;  // groups; of one: past them who wants one asks again
    std::map<std::string, std::vector<Recall>> recalled_ GUARDED_BY(mutex_);
    int64_t recall_due_ GUARDED_BY(mutex_) = 0;  // the first that is not answered yet, by boot_ns(); 0: there is none
    std::deque<int64_t> recalls_at_ GUARDED_BY(mutex_);  // lately
    uint64_t recalls_ GUARDED_BY(mutex_) = 0;
    Status lost_ GUARDED_BY(mutex_);
    std::atomic<bool> has_lost_{false};
    std::atomic<bool> is_alone_{false};
    std::atomic<uint64_t> others_heard_{0};

    // Groups fought over, and groups read.
    static constexpr size_t kHeldMax = 16'384;
    static constexpr size_t kRememberedMax = 4096;
    struct Cooling {
        int64_t until = 0, pause = 0;  // it stays free
        bool is_crowded = false;       // whatever is done here
        int64_t busy_since = 0, noted = 0;
        unsigned changes = 0;          // wanted since then
        uint64_t times = 0;
    };
    struct Reads {
        int64_t since = 0;
        unsigned count = 0;
        bool is_to_list = false;
    };
    std::unordered_map<std::string, Cooling> cooling_ GUARDED_BY(mutex_);
    std::unordered_map<std::string, Reads> reads_ GUARDED_BY(mutex_);
    std::unordered_map<std::string, Reads> asked_to_read_ GUARDED_BY(mutex_);
    static constexpr size_t kLentMax = 256;
    std::unordered_map<std::string, std::shared_ptr<Lent>> lent_ GUARDED_BY(mutex_);

    // One flush at a time; who comes meanwhile shares the next.
    mutable Mutex turn_mutex_;
    CondVar turn_over_;
    bool is_flushing_ GUARDED_BY(turn_mutex_) = false;
    uint64_t turns_begun_ GUARDED_BY(turn_mutex_) = 0, turns_done_ GUARDED_BY(turn_mutex_) = 0;  // of flush_all()
    uint64_t last_good_turn_ GUARDED_BY(turn_mutex_) = 0;  // of flush_all()
    Status turn_status_ GUARDED_BY(turn_mutex_);
    // Intents whose batches are not all in the store: theirs whose turn it is.
    std::vector<std::shared_ptr<Announced>> announced_;
    std::atomic<bool> is_freezing_{false};  // nothing begins to die: what was listed must all be frozen
    std::atomic<size_t> to_announce_{0};    // bytes, about, of what is dying and in no intent yet

    std::atomic<uint64_t> bytes_{0};  // of all copies
    std::atomic<uint64_t> batches_{0}, records_{0};  // written

    // Of debts (held_debts.cc).
    static constexpr size_t kPayers = 4, kPayersQueueMax = 65536;
    Mutex pay_mutex_;
    std::function<bool(GroupId)> pay_ GUARDED_BY(pay_mutex_);
    std::shared_ptr<Executor> payers_ GUARDED_BY(pay_mutex_);
    std::atomic<int64_t> unpaid_until_{0};  // by boot_ns(): one went so lately, and none was paid since

    Mutex wake_mutex_;
    CondVar woken_;
    bool is_woken_ GUARDED_BY(wake_mutex_) = false, is_ending_ GUARDED_BY(wake_mutex_) = false;
    Thread thread_;
};

}  // namespace meshfs
