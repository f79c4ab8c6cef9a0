// What becomes of groups that several mounts want.
//
// Who changes such a group in bulk keeps it for a *slice*, then gives it to who asked first, who does the same: each works from
// memory and writes a batch a slice.  Who is idle gives it at once.  That pays only if much is done in a slice: who did little
// leaves the group free, and for a while it stays so, changed by mutations of everybody, until somebody has much to do.  So it
// stays, too, where more than a few ask.  Who only reads takes nothing away: it is written for him what was answered before.
//
// The lease is given by the mutation that ends the tenure: from `X a e` to `X b e+1`.  For b that is as a lease which a lost answer
// left: he raises the epoch before he uses it.  If he does not want it any more, he finds that out when it is wanted of him.
#include <algorithm>

#include "fs/base/log.h"
#include "fs/meta/held_group.h"
#include "fs/meta/lease.h"
#include "fs/meta/recall_message.h"

namespace meshfs {
namespace {

constexpr int64_t kCoolMinNs = kNsPerSecond, kCoolMaxNs = 60 * kNsPerSecond;
constexpr int64_t kSliceNs = 50 * kNsPerMs, kIdleNs = 5 * kNsPerMs;
constexpr unsigned kUsesWorthIt = 32;          // of a slice
constexpr unsigned kBusyChanges = 16;          // of a free group, within
constexpr int64_t kBusyWithinNs = kNsPerSecond;
constexpr unsigned kOftenReads = 8;            // within a second
constexpr size_t kTakingTurnsMax = 3;          // that wait; a slice each

void answer(Recall& recall, uint64_t written = 0) {
    if (auto told = std::exchange(recall.answer, nullptr)) told(encode_recall_answer(written));
}

bool is_to_read(const Recall& recall) { return recall.is_to_read; }

}  // namespace

std::optional<Lease> HeldGroups::wants(const ObjectName& group, uint64_t epoch) {
    const Session* session = session_;
    if (session == nullptr || !is_group(group) || !session->is_in_window()) return {};
    MutexLock lock(mutex_);
    if (table_.size() >= kHeldMax) return {};
    auto found = cooling_.find(group.name);
    if (int64_t now = clock_.boot_ns(); found != cooling_.end() && now < found->second.until) {
        Cooling& cooling = found->second;
        if (now - cooling.busy_since > kBusyWithinNs) cooling.busy_since = now, cooling.changes = 0;
        if (cooling.is_crowded || ++cooling.changes < kBusyChanges) return {};
    }
    Lease lease = exclusive_lease(session->id(), epoch);
    lease.flags = Lease::kept;
    return lease;
}

bool HeldGroups::takes_over(const ObjectName& object) const { return session_ != nullptr && is_group(object); }

bool HeldGroups::is_read_often(const ObjectName& group) {
    const int64_t now = clock_.boot_ns();
    MutexLock lock(mutex_);
    if (asked_to_read_.size() >= kRememberedMax && !asked_to_read_.contains(group.name)) asked_to_read_.clear();
    Reads& reads = asked_to_read_[group.name];
    if (reads.count == 0 || now - reads.since > kNsPerSecond) reads = {.since = now};
    return ++reads.count > kOftenReads;
}

void HeldGroups::note_contended(const std::string& group) {
    if (session_ == nullptr) return;
    const int64_t now = clock_.boot_ns();
    MutexLock lock(mutex_);
    if (cooling_.size() >= kRememberedMax && !cooling_.contains(group)) cooling_.clear();
    Cooling& cooling = cooling_[group];
    if (cooling.noted != 0 && now - cooling.noted < kSliceNs) return;
    cooling.noted = now;
    ++cooling.times;
}

// It stays free here, ever longer if that goes on.
void HeldGroups::cool(const std::string& group, bool is_crowded) {
    const int64_t now = clock_.boot_ns();
    MutexLock lock(mutex_);
    Cooling& cooling = cooling_[group];
    cooling.is_crowded = is_crowded;
    cooling.changes = 0;
    if (now < cooling.until) return;
    bool is_long_ago = now - cooling.until > kCoolMaxNs;
    cooling.pause = is_long_ago ? kCoolMinNs : std::clamp(2 * cooling.pause, kCoolMinNs, kCoolMaxNs);
    cooling.until = now + cooling.pause;
    reads_.erase(group);
}

// One of a group that is not held may have been given to this session, which did not look since.
bool HeldGroups::recall(Recall recall) {
    if (session_ == nullptr || !is_group({kMetaPool, recall.object})) return false;
    note_others();
    bool is_held;
    {
        MutexLock lock(mutex_);
        is_held = table_.contains(recall.object);
        if (!is_held && recall.asker == kNobody) return false;
        if (recalled_.size() >= kRecalledMax && !recalled_.contains(recall.object)) return is_held;
        auto& recalls = recalled_[recall.object];
        if (recalls.size() < kAskersMax) recalls.push_back(std::move(recall));
    }
    wake();
    return is_held;
}

void HeldGroups::answer_recalls() {
    std::map<std::string, std::vector<Recall>> all;
    {
        MutexLock lock(mutex_);
        all.swap(recalled_);
        recall_due_ = 0;
    }
    struct Wanted {
        HeldPtr held;
        std::vector<Recall> recalls;
        int64_t due;
    };
    std::vector<Wanted> held_ones;
    std::set<std::string> to_pay;
    const int64_t now = clock_.boot_ns();
    for (auto& [group, recalls] : all) {
        HeldPtr held = find(group);
        if (!held) {
            (void)ask(std::move(Query({kMetaPool, group}).xattrs()));
            held = find(group);
        }
        if (!held) continue;
        int64_t due = hand_over_at(held, recalls);
        if (due <= now || std::any_of(recalls.begin(), recalls.end(), is_to_read)) to_pay.insert(group);
        held_ones.push_back({held, std::move(recalls), due});
    }
    want(to_pay);
    for (auto& [held, recalls, due] : held_ones) {
        if (due <= now) {
            hand_over(held, recalls);
            continue;
        }
        // What somebody reads there must not be older in this mount's kernel.
        const int64_t kept = promises_.names_kept_until(held->object.name);
        if (kept <= now) write_for_readers(held, recalls);
        else if (std::any_of(recalls.begin(), recalls.end(), is_to_read)) due = std::min(due, kept);
        if (recalls.empty()) continue;
        MutexLock lock(mutex_);
        auto& later = recalled_[held->object.name];
        later.insert(later.begin(), std::make_move_iterator(recalls.begin()), std::make_move_iterator(recalls.end()));
        if (recall_due_ == 0 || due < recall_due_) recall_due_ = due;
    }
}

// INT64_MAX: nobody wants to have it.  Left are those asked of this tenure; each session once, in order, with its latest answer.
int64_t HeldGroups::hand_over_at(const HeldPtr& held, std::vector<Recall>& recalls) {
    uint64_t first_epoch;
    int64_t due;
    {
        MutexLock lock(held->mutex);
        first_epoch = held->state == Held::State::held ? held->first_epoch : 0;
        held->keeps_no_names = true;
        due = std::min(held->taken_at + kSliceNs, held->used + kIdleNs);
    }
    std::vector<Recall> left;
    std::map<SessionId, size_t> askers;
    for (Recall& recall : recalls) {
        if (recall.epoch != 0 && recall.epoch < first_epoch) {
            answer(recall);
            continue;
        }
        bool is_first = recall.is_to_read || askers.emplace(recall.asker, left.size()).second;
        if (is_first) left.push_back(std::move(recall));
        else if (recall.answer) left[askers[recall.asker]].answer = std::move(recall.answer);
    }
    recalls = std::move(left);
    if (askers.empty()) return INT64_MAX;
    return std::max(askers.contains(kNobody) ? 0 : due, promises_.names_kept_until(held->object.name));
}

void HeldGroups::hand_over(const HeldPtr& held, std::vector<Recall>& recalls) {
    const std::string& group = held->object.name;
    std::set<SessionId> askers;
    SessionId first = kNobody;
    for (const Recall& recall : recalls) {
        if (recall.is_to_read) continue;
        if (askers.empty()) first = recall.asker;
        askers.insert(recall.asker);
    }
    bool is_worth_it;
    {
        MutexLock lock(held->mutex);
        is_worth_it = held->uses >= kUsesWorthIt;
    }
    const bool is_crowded = askers.size() > kTakingTurnsMax;
    note_recall();
    note_contended(group);
    if (askers.contains(kNobody) || is_crowded || !is_worth_it) {
        cool(group, is_crowded);
        first = kNobody;
    }
    let_go(group, first);
    if (!is_gone(held)) return;
    for (Recall& recall : recalls) answer(recall);
}

bool HeldGroups::is_gone(const HeldPtr& held) const {
    MutexLock lock(held->mutex);
    return held->state == Held::State::gone;
}

// Who changes the group goes on meanwhile.
void HeldGroups::write_for_readers(const HeldPtr& held, std::vector<Recall>& recalls) {
    if (std::none_of(recalls.begin(), recalls.end(), is_to_read)) return;
    pay(held);
    Status written = flush(held);
    uint64_t epoch = 0;  // gone: look again
    {
        MutexLock lock(held->mutex);
        held->is_wanted = false;  // what is owed from now on, is owed to others
        if (held->state != Held::State::gone) epoch = held->lease.epoch;
    }
    for (Recall& recall : recalls)
        if (written.ok() && recall.is_to_read) answer(recall, epoch);
    std::erase_if(recalls, is_to_read);
}

// Nobody: it is free.
void HeldGroups::let_go(const std::string& group, SessionId next) {
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
        Lease given = free_lease(lease.epoch + 1);
        if (next != kNobody) {
            given = exclusive_lease(next, lease.epoch + 1);
            given.flags = Lease::kept;
        }
        auto status = change(held, lease_change(held->object, lease, given));
        if (status && status->code() != ECANCELED) return;
    }
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

}  // namespace meshfs
