#include "fs/meta/held_groups.h"

#include <algorithm>

#include "fs/base/log.h"
#include "fs/meta/held_group.h"
#include "fs/meta/lease.h"

namespace meshfs {
namespace {

constexpr int64_t kPauseMaxNs = 60 * kNsPerSecond;
constexpr unsigned kReadsToTake = 4;
constexpr int64_t kReadsWithinNs = 15 * kNsPerSecond;
constexpr size_t kUrgentKeys = 2000, kUrgentBytes = 1u << 20;

// What became of a mutation of the lease.
bool is_told_by_looking(int code) { return code == ECANCELED || code == ENOENT || code == ETIMEDOUT; }
bool has_not_happened(int code) { return code == ENOSPC || code == EDQUOT || code == EAGAIN; }

}  // namespace

HeldGroups::~HeldGroups() {
    stop_thread();
    on_due(nullptr);
    MutexLock lock(mutex_);
    for (auto& [name, held] : table_) {  // they may have each other
        held->dying.clear();
        held->named_in.reset();
    }
}

void HeldGroups::stop_thread() {
    {
        MutexLock lock(wake_mutex_);
        is_ending_ = true;
        woken_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
}

void HeldGroups::begin(Session& session, Intents& intents, bool in_background) {
    if (!options_.is_on) return;
    intents_ = &intents;
    {
        MutexLock lock(mutex_);
        lent_.clear();
    }
    promises_.begin(session.id());
    session_ = &session;
    if (in_background) thread_ = Thread("held groups", [this] { run(); });
}

bool HeldGroups::is_own(const Lease& lease) const {
    const Session* session = session_;
    return session != nullptr && lease.is_kept_by(session->id());
}

bool HeldGroups::may_answer() const {
    const Session* session = session_;
    return session != nullptr && session->is_in_window();
}

HeldGroups::HeldPtr HeldGroups::find(const std::string& name) const {
    MutexLock lock(mutex_);
    auto found = table_.find(name);
    return found == table_.end() ? nullptr : found->second;
}

bool HeldGroups::make_promise(GroupId group, Ino inode, uint64_t since) {
    const std::string name = group_object(group).name;
    HeldPtr held = find(name);
    if (!held) return false;
    {
        MutexLock lock(held->mutex);
        if (held->state != Held::State::held) return false;
    }
    return promises_.make(name, inode, since);
}

// --- taking and leaving

HeldGroups::HeldPtr HeldGroups::reserve(const ObjectName& group) {
    auto held = std::make_shared<Held>();
    held->object = group;
    held->used = clock_.boot_ns();
    MutexLock lock(mutex_);
    lent_.erase(group.name);
    return table_.emplace(group.name, held).second ? held : nullptr;
}

// Until the store has answered, everybody else waits for the entry: nobody reads past what is being taken.
Status HeldGroups::take(const Mutation& mutation, const Lease& lease) {
    const bool is_birth = has(mutation, Effect::Kind::create);
    if (!is_birth) TRY(flush_births());
    HeldPtr held = reserve(mutation.object());
    if (!held) return fail(ECANCELED);
    const bool is_now = !is_birth || is_synchronous_ || !may_answer();
    Status status;
    if (is_now) status = inner_.apply(mutation);
    MutexLock lock(held->mutex);
    if (!status.ok()) {
        leave_table(held);
        return status;
    }
    held->hold(lease, clock_.boot_ns());
    if (is_birth) {
        held->mirror.know_all();
    } else {
        promises_.taken();
        for (const Guard& guard : mutation.guards()) held->mirror.learn(guard);
    }
    held->mirror.apply(mutation.effects(), true);
    if (!is_now) {
        held->is_unborn = true;
        note_dirty(held);
    } else {
        held->written_at = clock_.boot_ns();
        MutexLock table(mutex_);
        quiet_.emplace(held->object.name, held);
    }
    bytes_ += held->count();
    held->changed.notify_all();
    return {};
}

void HeldGroups::will_list(GroupId group) {
    const std::string name = group_object(group).name;
    if (session_ == nullptr) return;
    if (HeldPtr held = find(name)) {
        MutexLock lock(held->mutex);
        held->is_to_list = true;
        return;
    }
    MutexLock lock(mutex_);
    if (reads_.size() >= kRememberedMax && !reads_.contains(name)) reads_.clear();
    reads_[name] = {.since = clock_.boot_ns(), .count = kReadsToTake - 1, .is_to_list = true};
}

// For its readers: others read it as it is in the store.
void HeldGroups::note_read(const ObjectName& group, const Lease& free) {
    {
        MutexLock lock(mutex_);
        auto cooling = cooling_.find(group.name);
        if (cooling != cooling_.end() && clock_.boot_ns() < cooling->second.until) return;  // only changes end that
    }
    auto lease = wants(group, free.epoch + 1);
    if (!lease) return;
    bool is_to_list;
    {
        int64_t now = clock_.boot_ns();
        MutexLock lock(mutex_);
        if (reads_.size() >= kRememberedMax && !reads_.contains(group.name)) reads_.clear();
        Reads& reads = reads_[group.name];
        if (reads.count == 0 || now - reads.since > kReadsWithinNs) reads = {.since = now};
        if (++reads.count < kReadsToTake) return;
        is_to_list = reads.is_to_list;
        reads_.erase(group.name);
    }
    const bool is_open = !is_alone_;  // else the first change would have to shut out others who are not there
    if (is_open) lease->flags |= Lease::write_through;
    HeldPtr held = reserve(group);
    if (!held) return;
    auto status = inner_.apply(lease_change(group, free, *lease));
    MutexLock lock(held->mutex);
    // What was read before may have changed: the copy begins empty.
    if (status.ok()) {
        held->hold(*lease, clock_.boot_ns());
        promises_.taken();
        held->written_at = clock_.boot_ns();
        MutexLock table(mutex_);
        if (!is_open) quiet_.emplace(group.name, held);
    } else {
        leave_table(held);
    }
    held->is_to_list = is_to_list;
    held->changed.notify_all();
}

// A lease that a lost answer left.  Raised, so that whatever was sent under it comes too late.
bool HeldGroups::enter_found(const ObjectName& group, const Lease& lease, const Query& query, const Answer& answer) {
    HeldPtr held = reserve(group);
    if (!held) return true;
    Lease next = lease;
    ++next.epoch;
    auto status = inner_.apply(lease_change(group, lease, next));
    MutexLock lock(held->mutex);
    if (status.ok()) {
        held->hold(next, clock_.boot_ns());
        promises_.taken();
        held->mirror.learn(query, answer);  // under this lease nothing was written since
        bytes_ += held->count();
    } else {
        leave_table(held);
    }
    held->changed.notify_all();
    return status.ok() || is_told_by_looking(status.code());
}

// Of a group that has nothing unwritten.
std::optional<Status> HeldGroups::change_flags(const HeldPtr& held, uint8_t flags) {
    Lease from, to;
    {
        MutexLock lock(held->mutex);
        bool is_it = held->state == Held::State::held && held->lease.flags != flags && held->is_written();
        if (!is_it || held->owes) return {};
        held->state = Held::State::changing;
        to = from = held->lease;
    }
    to.flags = flags;
    ++to.epoch;
    auto status = inner_.apply(lease_change(held->object, from, to));
    MutexLock lock(held->mutex);
    if (status.ok()) {
        held->lease = to;
        held->mirror.set_lease(encode(to));
        held->state = Held::State::held;
    } else if (has_not_happened(status.code())) {
        held->state = Held::State::held;
    } else {
        leave_table(held);
    }
    held->changed.notify_all();
    if (status.ok() || is_told_by_looking(status.code())) return {};
    return status;
}

// With the Held's mutex.
void HeldGroups::leave_table(const HeldPtr& held) {
    held->state = Held::State::gone;
    promises_.let_go(held->object.name);
    bytes_ -= held->counted;
    held->counted = 0;
    held->dying.clear();
    to_announce_ -= std::exchange(held->to_announce, 0);
    held->changed.notify_all();
    MutexLock lock(mutex_);
    auto found = table_.find(held->object.name);
    if (found != table_.end() && found->second == held) table_.erase(found);
    unborn_.erase(held->object.name);
    dirty_.erase(held->object.name);
    quiet_.erase(held->object.name);
}

// With the Held's mutex.
void HeldGroups::lose(const HeldPtr& held, const Status& why) {
    if (held->state == Held::State::gone) return;
    bool is_loss = held->mirror.is_dirty() || held->is_dying || held->is_unborn || held->is_under_way;
    if (is_loss) {
        held->is_lost = true;
        log_error("changes of names and attributes were lost: another mount took over what this one had not written",
                  {{"object", held->object.name}, {"error", why.error().text()}});
        MutexLock lock(mutex_);
        lost_ = lost_to_another();
        has_lost_ = true;
    }
    leave_table(held);
}

// --- what is due

Status HeldGroups::commit() {
    if (session_ == nullptr) return {};
    Status status = flush_all();
    MutexLock lock(mutex_);
    if (auto lost = std::exchange(lost_, Status()); !lost.ok()) return lost;
    return status;
}

Status HeldGroups::write_all() { return session_ == nullptr ? Status() : flush_all(); }

uint64_t HeldGroups::answered() const {
    MutexLock lock(turn_mutex_);
    return turns_begun_;
}

bool HeldGroups::is_written_since(uint64_t moment) const {
    if (has_lost_) return false;
    if (session_ == nullptr) return true;  // it holds nothing, or nothing any more
    MutexLock lock(turn_mutex_);
    return last_good_turn_ > moment;
}

void HeldGroups::tend() {
    if (session_ == nullptr) return;
    answer_recalls();
    bool is_due;
    {
        MutexLock lock(mutex_);
        is_due = is_urgent_ || (dirty_since_ != 0 && clock_.boot_ns() - dirty_since_ >= commit_ns_);
    }
    if (is_due) {
        auto status = flush_all();
        if (!status.ok()) log_warning("names and attributes could not be written yet", {{"error", status.error().text()}});
    }
    open_quiet();
    forget_unused();
    promises_.forget_names(clock_.boot_ns());
}

// What was all written and not changed for a while is for everybody to read, and who died with it keeps no reader waiting.
void HeldGroups::open_quiet() {
    if (is_alone_) return;
    std::vector<HeldPtr> quiet;
    {
        MutexLock lock(mutex_);
        for (const auto& [name, held] : quiet_) quiet.push_back(held);
    }
    int64_t before = clock_.boot_ns() - commit_ns_;
    for (const HeldPtr& held : quiet) {
        {
            MutexLock lock(held->mutex);
            if (held->written_at > before) continue;
            if (promises_.names_kept_until(held->object.name) > clock_.boot_ns()) continue;  // they may be of before
            if (held->owes) {
                start_paying(held);  // it is opened the next time
                continue;
            }
            MutexLock table(mutex_);
            quiet_.erase(held->object.name);
        }
        (void)change_flags(held, Lease::kept | Lease::write_through);
    }
}

void HeldGroups::forget_unused() {
    std::vector<HeldPtr> all;
    bool has_too_many;
    {
        MutexLock lock(mutex_);
        has_too_many = table_.size() >= kHeldMax;
        if (!has_too_many && bytes_ <= options_.bytes_max) return;
        for (const auto& [name, held] : table_) all.push_back(held);
    }
    std::vector<std::pair<int64_t, HeldPtr>> by_use;
    for (const auto& held : all) {
        MutexLock lock(held->mutex);
        by_use.emplace_back(held->used, held);
    }
    std::sort(by_use.begin(), by_use.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (size_t i = 0; i < by_use.size(); ++i) {
        const HeldPtr& held = by_use[i].second;
        if (has_too_many && i < by_use.size() / 4) {
            if (promises_.names_kept_until(held->object.name) <= clock_.boot_ns()) let_go(held->object.name);
        } else if (bytes_ > options_.bytes_max / 4 * 3) {
            MutexLock lock(held->mutex);
            if (!held->may_forget()) continue;
            held->mirror.forget_all();
            held->misses = 0;
            bytes_ += held->count();
        }
    }
}

bool HeldGroups::give_up() {
    std::set<HeldPtr> unwritten;
    std::vector<HeldPtr> held_ones;
    bool was_lost;
    {
        MutexLock lock(mutex_);
        was_lost = !lost_.ok();
        for (const auto* list : {&unborn_, &dirty_})
            for (const auto& [name, held] : *list) unwritten.insert(held);
        for (const auto& [name, held] : table_) held_ones.push_back(held);
    }
    for (const HeldPtr& held : held_ones) {  // what was announced is sent until it is in
        MutexLock lock(held->mutex);
        if (held->is_under_way && (held->is_dying || !held->dying.empty())) unwritten.insert(held);
    }
    for (const HeldPtr& held : unwritten) {
        MutexLock lock(held->mutex);
        lose(held, fail(ESHUTDOWN));
    }
    return was_lost || !unwritten.empty();
}

void HeldGroups::note_lost() {
    MutexLock lock(mutex_);
    lost_ = lost_to_another();
}

Status HeldGroups::end() {
    if (session_ == nullptr) return {};
    stop_thread();
    Status status = commit();
    std::set<std::string> names;
    {
        MutexLock lock(mutex_);
        for (const auto& [name, held] : table_) names.insert(name);
        recalled_.clear();
    }
    want(names);
    for (const auto& name : names) let_go(name);
    session_ = nullptr;
    return status;
}

void HeldGroups::wake() {
    MutexLock lock(wake_mutex_);
    is_woken_ = true;
    woken_.notify_all();
}

void HeldGroups::run() {
    for (;;) {
        int64_t due = clock_.boot_ns() + kPauseMaxNs;
        {
            MutexLock lock(mutex_);
            if (dirty_since_ != 0) due = dirty_since_ + commit_ns_;
            else if (!quiet_.empty() && !is_alone_) due = clock_.boot_ns() + commit_ns_;
            if (recall_due_ != 0) due = std::min(due, recall_due_);
        }
        {
            MutexLock lock(wake_mutex_);
            while (!is_woken_ && !is_ending_ && woken_.wait_until(wake_mutex_, due)) {
            }
            if (is_ending_) return;
            is_woken_ = false;
        }
        tend();
    }
}

// With the Held's mutex.
void HeldGroups::note_dirty(const HeldPtr& held, bool may_be_urgent) {
    bool is_first, is_urgent;
    {
        MutexLock lock(mutex_);
        is_first = dirty_since_ == 0;
        if (is_first) dirty_since_ = clock_.boot_ns();
        if (held->is_unborn) unborn_.emplace(held->object.name, held);
        else dirty_.emplace(held->object.name, held);
        is_urgent = may_be_urgent && !is_urgent_ &&
                    (held->mirror.dirty_keys() >= kUrgentKeys || held->unwritten() >= kUrgentBytes);
        is_urgent_ |= is_urgent;
    }
    if (is_first || is_urgent) wake();
}

}  // namespace meshfs
