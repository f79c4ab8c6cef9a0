#include "fs/meta/held_groups.h"

#include <algorithm>

#include "fs/base/log.h"
#include "fs/meta/held_group.h"
#include "fs/meta/lease.h"

namespace meshfs {
namespace {

constexpr size_t kHeldMax = 16'384;
constexpr int64_t kCoolMinNs = kNsPerSecond, kCoolMaxNs = 60 * kNsPerSecond;
constexpr unsigned kReadsToTake = 4;
constexpr int64_t kReadsWithinNs = 15 * kNsPerSecond;
constexpr size_t kUrgentKeys = 2000, kUrgentBytes = 1u << 20;
// What is not written of one group: a batch is within kMutationMax.
constexpr size_t kUnwrittenMax = 3u << 20;
constexpr size_t kPageMax = 1024;

bool is_group(const ObjectName& object) { return object.pool == kMetaPool && object.name.starts_with("g."); }

std::optional<Lease> lease_given(const Mutation& mutation) {
    for (const Effect& effect : mutation.effects())
        if (effect.kind == Effect::Kind::set_xattr && effect.name == kLeaseXattr)
            if (auto lease = decode_lease(effect.value); lease.ok()) return *lease;
    return {};
}

std::optional<Lease> lease_guarded(const Mutation& mutation) {
    for (const Guard& guard : mutation.guards())
        if (guard.kind == Guard::Kind::xattr_is && guard.name == kLeaseXattr && guard.value)
            if (auto lease = decode_lease(*guard.value); lease.ok()) return *lease;
    return {};
}

bool has(const Mutation& mutation, Effect::Kind kind) {
    return std::any_of(mutation.effects().begin(), mutation.effects().end(), [&](auto& e) { return e.kind == kind; });
}

// Of records and `about`, under a lease that stays.
bool is_of_records(const Mutation& mutation) {
    for (const Effect& e : mutation.effects()) {
        bool fits = e.kind == Effect::Kind::set_keys || e.kind == Effect::Kind::remove_keys ||
                    (e.kind == Effect::Kind::set_xattr && e.name == kAboutXattr);
        if (!fits) return false;
    }
    return true;
}

bool is_of_names(const Mutation& mutation) {
    static constexpr std::string_view kOfDirectory = "dmz";  // its inode, sums, lanes
    auto is_of_name = [](std::string_view key) { return kOfDirectory.find(key.substr(0, 1)) == std::string_view::npos; };
    return std::any_of(mutation.effects().begin(), mutation.effects().end(), [&](const Effect& e) {
        if (e.kind == Effect::Kind::remove_keys) return true;
        if (e.kind != Effect::Kind::set_keys) return true;
        return std::any_of(e.keys.begin(), e.keys.end(), [&](const Key& key) { return is_of_name(key.first); });
    });
}

// What became of a mutation of the lease.
bool is_told_by_looking(int code) { return code == ECANCELED || code == ENOENT || code == ETIMEDOUT; }
bool has_not_happened(int code) { return code == ENOSPC || code == EDQUOT || code == EAGAIN; }

bool is_of_records(const Query& query) {
    return query.at() == SnapId::head && query.guards().empty() && !query.wants_stat() && query.byte_ranges().empty();
}

}  // namespace

HeldGroups::~HeldGroups() {
    stop_thread();
    on_due(nullptr);
}

void HeldGroups::stop_thread() {
    {
        MutexLock lock(wake_mutex_);
        is_ending_ = true;
        woken_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
}

void HeldGroups::begin(Session& session, bool in_background) {
    if (!options_.is_on) return;
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

std::optional<Lease> HeldGroups::wants(const ObjectName& group, uint64_t epoch) const {
    const Session* session = session_;
    if (session == nullptr || !is_group(group) || !session->is_in_window()) return {};
    MutexLock lock(mutex_);
    if (table_.size() >= kHeldMax) return {};
    auto cooling = cooling_.find(group.name);
    if (cooling != cooling_.end() && clock_.boot_ns() < cooling->second.until) return {};
    Lease lease = exclusive_lease(session->id(), epoch);
    lease.flags = Lease::kept;
    return lease;
}

void HeldGroups::was_contended(const std::string& group) {
    if (session_ == nullptr) return;
    int64_t now = clock_.boot_ns();
    MutexLock lock(mutex_);
    if (cooling_.size() >= kRememberedMax && !cooling_.contains(group)) cooling_.clear();
    Cooling& cooling = cooling_[group];
    if (now < cooling.until) return;
    ++cooling.times;
    bool is_long_ago = now - cooling.until > kCoolMaxNs;
    cooling.pause = is_long_ago ? kCoolMinNs : std::clamp(2 * cooling.pause, kCoolMinNs, kCoolMaxNs);
    cooling.until = now + cooling.pause;
    reads_.erase(group);
}

HeldGroups::HeldPtr HeldGroups::reserve(const ObjectName& group) {
    auto held = std::make_shared<Held>();
    held->object = group;
    held->used = clock_.boot_ns();
    MutexLock lock(mutex_);
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
    held->hold(lease);
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
    lease->flags |= Lease::write_through;
    HeldPtr held = reserve(group);
    if (!held) return;
    auto status = inner_.apply(lease_change(group, free, *lease));
    MutexLock lock(held->mutex);
    // What was read before may have changed: the copy begins empty.
    if (status.ok()) held->hold(*lease), promises_.taken();
    else leave_table(held);
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
        held->hold(next);
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
    bool is_loss = held->mirror.is_dirty() || held->is_unborn || held->is_under_way;
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

void HeldGroups::note_recall() {
    constexpr size_t kTimesMax = 10'000;
    MutexLock lock(mutex_);
    ++recalls_;
    recalls_at_.push_back(clock_.boot_ns());
    if (recalls_at_.size() > kTimesMax) recalls_at_.pop_front();
}

LeaseUsage HeldGroups::usage() const {
    constexpr int64_t kLately = 10 * kNsPerSecond;
    constexpr size_t kShown = 8;
    LeaseUsage usage;
    usage.bytes = bytes_;
    usage.batches = batches_;
    usage.records = records_;
    MutexLock lock(mutex_);
    usage.held = table_.size();
    usage.unwritten = dirty_.size() + unborn_.size();
    usage.recalls = recalls_;
    const int64_t since = clock_.boot_ns() - kLately;
    auto recent = std::count_if(recalls_at_.begin(), recalls_at_.end(), [&](int64_t at) { return at >= since; });
    usage.recalls_a_second = static_cast<double>(recent) * kNsPerSecond / kLately;
    using Entry = std::pair<const std::string, Cooling>;
    std::vector<const Entry*> worst;
    for (const Entry& entry : cooling_) worst.push_back(&entry);
    // Of those that were fought over as often, the latest first.
    auto is_worse = [](const Entry* a, const Entry* b) {
        return std::pair(a->second.times, a->second.until) > std::pair(b->second.times, b->second.until);
    };
    auto shown = worst.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, worst.size()));
    std::partial_sort(worst.begin(), shown, worst.end(), is_worse);
    for (auto entry = worst.begin(); entry != shown; ++entry)
        usage.contended.push_back({.group = (*entry)->first, .times = (*entry)->second.times});
    return usage;
}

bool HeldGroups::recall(const std::string& group) {
    {
        MutexLock lock(mutex_);
        if (!table_.contains(group)) return false;
        recalled_.insert(group);
    }
    wake();
    return true;
}

void HeldGroups::let_go(const std::string& group) {
    constexpr int kTriesMax = 64;  // it is written meanwhile, and has another epoch
    for (int tries = 0; tries < kTriesMax; ++tries) {
        HeldPtr held = find(group);
        if (!held) return;
        Lease lease;
        {
            MutexLock lock(held->mutex);
            while (held->state == Held::State::changing) held->changed.wait(held->mutex);
            if (held->state == Held::State::gone) return;
            lease = held->lease;
        }
        auto status = change(held, lease_change(held->object, lease, free_lease(lease.epoch + 1)));
        if (status && status->code() != ECANCELED) return;
    }
}

// --- changing

Status HeldGroups::apply(Mutation mutation) {
    if (session_ == nullptr || !is_group(mutation.object())) return inner_.apply(std::move(mutation));
    for (;;) {
        HeldPtr held = find(mutation.object().name);
        if (held) {
            if (auto status = change(held, mutation)) return *status;
            continue;
        }
        if (auto lease = lease_given(mutation); lease && is_own(*lease)) return take(mutation, *lease);
        forget_lent(mutation.object().name);
        // It was let go of since it was read.
        if (auto lease = lease_guarded(mutation); lease && is_own(*lease)) return fail(ECANCELED);
        TRY(flush_births());
        return inner_.apply(std::move(mutation));
    }
}

std::optional<Status> HeldGroups::change(const HeldPtr& held, const Mutation& mutation) {
    return is_of_records(mutation) ? change_in_memory(held, mutation) : pass_on(held, mutation);
}

std::optional<Status> HeldGroups::change_in_memory(const HeldPtr& held, const Mutation& mutation) {
    bool is_plain, is_full;
    {
        MutexLock lock(held->mutex);
        while (held->state == Held::State::changing) held->changed.wait(held->mutex);
        if (held->state == Held::State::gone) return {};
        is_plain = (held->lease.flags & Lease::write_through) == 0;
        is_full = held->unwritten() + mutation.bytes() > kUnwrittenMax || !held->error.ok();
    }
    if (!is_plain) return change_through(held, mutation);
    if (is_full) {
        Status written = flush(held);
        if (!written.ok()) return written;
    }
    bool is_now;
    {
        MutexLock lock(held->mutex);
        while (held->state == Held::State::changing) held->changed.wait(held->mutex);
        if (held->state == Held::State::gone) return {};
        if ((held->lease.flags & Lease::write_through) != 0) return {};
        bool is_done = false;
        if (auto refused = do_in_memory(held, mutation, is_done); !is_done) return refused;
        is_now = is_synchronous_ || !may_answer();
    }
    if (is_now) return flush(held);
    return Status();
}

// With the Held's mutex.  Not done: the answer, or none: look again.
std::optional<Status> HeldGroups::do_in_memory(const HeldPtr& held, const Mutation& mutation, bool& is_done) {
    std::vector<std::string> unknown;
    for (const Guard& guard : mutation.guards()) {
        if (guard.kind == Guard::Kind::xattr_is && guard.name == kLeaseXattr) {
            if (!held->is_of_tenure(guard.value)) return fail(ECANCELED);
            continue;
        }
        auto holds = held->mirror.holds(guard);
        if (!holds) unknown.push_back(guard.name);
        else if (!*holds) return fail(guard.kind == Guard::Kind::absent ? EEXIST : ECANCELED);
    }
    if (!unknown.empty()) return fill(held, std::move(Query(held->object).xattrs().keys(unknown)));
    held->mirror.apply(mutation.effects(), false);
    held->used = clock_.boot_ns();
    bytes_ += held->count();
    note_dirty(held);
    is_done = true;
    return {};
}

// The first change, after a while, of what others may read: written before it is answered, in the same mutation that shuts
// them out.  One of the directory alone (its atime, its mode) rarely has a second behind it: they may read on.
std::optional<Status> HeldGroups::change_through(const HeldPtr& held, const Mutation& mutation) {
    {
        MutexLock lock(held->mutex);
        while (held->state == Held::State::changing) held->changed.wait(held->mutex);
        bool is_it = held->state == Held::State::held && (held->lease.flags & Lease::write_through) != 0 && held->is_written();
        if (!is_it) return {};
        bool is_done = false;
        if (auto refused = do_in_memory(held, mutation, is_done); !is_done) return refused;
        held->state = Held::State::changing;
        held->next_flags = is_of_names(mutation) ? uint8_t{Lease::kept} : held->lease.flags;
    }
    Status written = flush(held);
    MutexLock lock(held->mutex);
    held->next_flags.reset();
    if (held->state == Held::State::gone) return written;
    held->state = Held::State::held;
    if (!written.ok()) leave_table(held);  // others may read what is not as it would be answered here: who looks next sees what is
    held->changed.notify_all();
    return written;
}

// What changes the lease, or more than records: after what is not written, and it ends the tenure.
std::optional<Status> HeldGroups::pass_on(const HeldPtr& held, const Mutation& mutation) {
    for (bool is_mine = false; !is_mine;) {
        pay(held);
        MutexLock lock(held->mutex);
        while (held->state == Held::State::changing) held->changed.wait(held->mutex);
        if (held->state == Held::State::gone) return {};
        if (held->owes) continue;  // since
        auto guarded = lease_guarded(mutation);
        bool is_never_made = held->is_unborn && !held->was_sent && has(mutation, Effect::Kind::remove);
        if (is_never_made && guarded && held->is_of_tenure(encode(*guarded))) {
            leave_table(held);
            return Status();
        }
        held->state = Held::State::changing;
        is_mine = true;
    }
    Status written = flush(held);
    {
        MutexLock lock(held->mutex);
        if (held->state == Held::State::gone) return {};
        auto guarded = lease_guarded(mutation);
        bool is_refused = !written.ok() || (guarded && *guarded != held->lease);
        if (is_refused) {
            held->state = Held::State::held;
            held->is_wanted = false;
            held->changed.notify_all();
            return written.ok() ? Status(fail(ECANCELED)) : written;
        }
    }
    promises_.let_go(held->object.name);
    auto status = inner_.apply(mutation);
    // Not heard of, or refused: who looks next sees what is.
    MutexLock lock(held->mutex);
    auto lease = lease_given(mutation);
    const Session* session = session_;
    if (status.ok() && lease && session && lease->is_exclusive_of(session->id()) && !is_own(*lease)) lend(held, *lease);
    leave_table(held);
    return status;
}

// --- reading

Result<Answer> HeldGroups::ask(Query query) {
    if (session_ == nullptr || !is_group(query.object())) return inner_.ask(std::move(query));
    for (;;) {
        if (HeldPtr held = find(query.object().name)) {
            if (auto answer = look(held, query)) return std::move(*answer);
            continue;
        }
        if (is_of_records(query))
            if (auto answer = answer_of_lent(query)) return std::move(*answer);
        auto answer = inner_.ask(query);
        if (!answer.ok()) return answer;
        auto value = answer->xattrs.find(kLeaseXattr);
        if (value == answer->xattrs.end()) return answer;
        auto lease = decode_lease(value->second);
        if (!lease.ok()) return answer;
        if (is_own(*lease)) {
            if (!may_answer()) return answer;
            if (!enter_found(query.object(), *lease, query, *answer)) return answer;
            continue;
        }
        // Taken while this was under way: then the answer is from before.
        if (lease->is_free() && find(query.object().name) == nullptr) note_read(query.object(), *lease);
        return answer;
    }
}

std::optional<Result<Answer>> HeldGroups::look(const HeldPtr& held, const Query& query) {
    bool is_simple = is_of_records(query);
    for (;;) {
        {
            MutexLock lock(held->mutex);
            while (held->state == Held::State::changing) held->changed.wait(held->mutex);
            if (held->state == Held::State::gone) return {};
            held->used = clock_.boot_ns();
            if (is_simple && may_answer()) {  // now: that wait may have been long
                if (auto answer = held->mirror.answer(query)) return Result<Answer>(std::move(*answer));
                if (auto status = fill(held, query)) return Result<Answer>(status->error());
                continue;
            }
        }
        Status written = flush(held);
        if (written.ok()) return inner_.ask(query);
        MutexLock lock(held->mutex);
        if (held->state == Held::State::gone) return {};
        return Result<Answer>(written.error());
    }
}

// With the Held's mutex, which it lets go of.  None: look again.
std::optional<Status> HeldGroups::fill(const HeldPtr& held, const Query& query) {
    Query missing = held->mirror.missing(query);
    // Names are asked for one after the other: ever longer pages come with them.
    const auto& keys = missing.wanted_keys();
    if (!keys.empty() && keys.front().starts_with("n") && ++held->misses > 1)
        missing.range(keys.front(), "n", std::min<size_t>(kPageMax, size_t{4} << std::min(held->misses, 8u)), 1u << 20);
    if (std::exchange(held->is_to_list, false)) missing.range("", "", kPageMax, 1u << 20);
    ++held->fills;
    held->mutex.unlock();
    auto answer = inner_.ask(missing);
    held->mutex.lock();
    --held->fills;
    if (held->state == Held::State::gone) return {};
    if (!answer.ok()) {
        if (answer.code() != ENOENT) return answer.error();
        lose(held, answer.error());
        return {};
    }
    if (!held->is_of_tenure(answer->xattrs[kLeaseXattr])) {
        lose(held, fail(ESTALE));
        return {};
    }
    held->mirror.learn(missing, *answer);
    bytes_ += held->count();
    return {};
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
    std::set<std::string> recalled;
    bool is_due;
    {
        MutexLock lock(mutex_);
        recalled.swap(recalled_);
        is_due = is_urgent_ || (dirty_since_ != 0 && clock_.boot_ns() - dirty_since_ >= commit_ns_);
    }
    want(recalled);
    for (const auto& group : recalled) {
        note_recall();
        was_contended(group);
        let_go(group);
    }
    if (is_due) {
        auto status = flush_all();
        if (!status.ok()) log_warning("names and attributes could not be written yet", {{"error", status.error().text()}});
    }
    open_quiet();
    forget_unused();
}

// What was all written and not changed for a while is for everybody to read, and who died with it keeps no reader waiting.
void HeldGroups::open_quiet() {
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
            let_go(held->object.name);
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
    bool was_lost;
    {
        MutexLock lock(mutex_);
        was_lost = !lost_.ok();
        for (const auto* list : {&unborn_, &dirty_})
            for (const auto& [name, held] : *list) unwritten.insert(held);
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
        int64_t due = clock_.boot_ns() + kCoolMaxNs;
        {
            MutexLock lock(mutex_);
            if (dirty_since_ != 0) due = dirty_since_ + commit_ns_;
            else if (!quiet_.empty()) due = clock_.boot_ns() + commit_ns_;
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
void HeldGroups::note_dirty(const HeldPtr& held) {
    bool is_first, is_urgent;
    {
        MutexLock lock(mutex_);
        is_first = dirty_since_ == 0;
        if (is_first) dirty_since_ = clock_.boot_ns();
        if (held->is_unborn) unborn_.emplace(held->object.name, held);
        else dirty_.emplace(held->object.name, held);
        is_urgent = !is_urgent_ && (held->mirror.dirty_keys() >= kUrgentKeys || held->unwritten() >= kUrgentBytes);
        is_urgent_ |= is_urgent;
    }
    if (is_first || is_urgent) wake();
}

}  // namespace meshfs
