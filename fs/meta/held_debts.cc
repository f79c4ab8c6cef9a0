// What is owed of groups that are held: their holder pays before anybody else can read them.
#include "fs/base/log.h"
#include "fs/base/wire.h"
#include "fs/meta/held_group.h"

namespace meshfs {
namespace {

constexpr int64_t kUnpaidNs = 60 * kNsPerSecond;

}  // namespace

bool HeldGroups::is_unpaid() const { return Clock::system().boot_ns() < unpaid_until_; }

void HeldGroups::on_due(std::function<bool(GroupId)> pay) {
    std::shared_ptr<Executor> old;
    {
        MutexLock lock(pay_mutex_);
        old.swap(payers_);
        pay_ = std::move(pay);
        if (pay_) payers_ = std::make_shared<Executor>("payer", kPayers, kPayersQueueMax);
    }
    if (old) old->stop();
}

bool HeldGroups::owe(GroupId group, const std::function<bool(const Mirror&)>& may) {
    if (is_synchronous_ || is_unpaid() || !may_answer()) return false;
    HeldPtr held = find(group_object(group).name);
    if (!held) return false;
    MutexLock lock(held->mutex);
    bool is_closed_to_others = held->state == Held::State::held && (held->lease.flags & Lease::write_through) == 0;
    if (!is_closed_to_others || held->is_dying || held->is_paying || held->is_wanted || !may(held->mirror)) return false;
    return held->owes = true;
}

// With the Held's mutex.  What is owed may have been stored since in the usual way, which nobody tells: that is found now.
void HeldGroups::start_paying(const HeldPtr& held) {
    if (held->is_paying || !held->owes) return;
    const GroupId group{*parse_hex(std::string_view(held->object.name).substr(2))};
    MutexLock lock(pay_mutex_);
    auto task = [this, held, pay = pay_, group] {
        const bool was_stored = pay(group);
        MutexLock paid(held->mutex);
        if (was_stored) unpaid_until_ = 0;
        held->owes = held->is_paying = false;
        held->changed.notify_all();
    };
    held->is_paying = payers_ && payers_->try_post(std::move(task));
    if (held->is_paying) return;
    held->owes = false;
    if (payers_) log_warning("too much is to be stored before others look at it", {{"object", held->object.name}});
}

// With the Held's mutex.
void HeldGroups::want(const HeldPtr& held) {
    if (!std::exchange(held->is_wanted, true)) held->pay_by = Clock::system().boot_ns() + session_.load()->lease_ns();
    if (held->state != Held::State::gone) start_paying(held);
}

void HeldGroups::want(const std::set<std::string>& groups) {
    for (const auto& group : groups) {
        HeldPtr held = find(group);
        if (!held) continue;
        MutexLock lock(held->mutex);
        want(held);
    }
}

void HeldGroups::pay(const HeldPtr& held) {
    MutexLock lock(held->mutex);
    want(held);
    if (held->state == Held::State::gone) return;
    while (held->owes && !is_unpaid() && held->changed.wait_until(held->mutex, held->pay_by)) {
    }
    if (!std::exchange(held->owes, false)) return;
    unpaid_until_ = Clock::system().boot_ns() + kUnpaidNs;
    log_warning("files that were closed here could not be stored before others look at them; others see them later",
                {{"object", held->object.name}});
}

}  // namespace meshfs
