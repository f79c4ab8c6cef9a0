// What is owed of groups that are held: their holder pays before anybody else can read them.
#include "fs/base/log.h"
#include "fs/base/wire.h"
#include "fs/meta/held_group.h"

namespace meshfs {

void HeldGroups::on_due(std::function<void(GroupId)> pay) {
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
    if (is_synchronous_ || !may_answer()) return false;
    HeldPtr held = find(group_object(group).name);
    if (!held) return false;
    MutexLock lock(held->mutex);
    bool is_closed_to_others = held->state == Held::State::held && (held->lease.flags & Lease::write_through) == 0;
    if (!is_closed_to_others || held->is_paying || held->is_wanted || !may(held->mirror)) return false;
    return held->owes = true;
}

void HeldGroups::pay(const HeldPtr& held) {
    std::shared_ptr<Executor> payers;
    std::function<void(GroupId)> pay;
    {
        MutexLock lock(pay_mutex_);
        payers = payers_;
        pay = pay_;
    }
    auto number = parse_hex(std::string_view(held->object.name).substr(2));
    MutexLock lock(held->mutex);
    held->is_wanted = true;
    if (!held->owes || held->state == Held::State::gone) return;
    if (!held->is_paying) {
        auto task = [this, held, pay, group = GroupId{number.ok() ? *number : 0}] {
            pay(group);
            is_unpaid_ = false;
            MutexLock paid(held->mutex);
            held->owes = held->is_paying = false;
            held->changed.notify_all();
        };
        held->is_paying = payers && payers->try_post(std::move(task));
        if (!held->is_paying) held->owes = false;
    }
    // One wait for all that go unpaid, one after the other.
    const int64_t until = Clock::system().boot_ns() + (is_unpaid_ ? 0 : session_.load()->lease_ns());
    while (held->owes && held->changed.wait_until(held->mutex, until)) {
    }
    if (!std::exchange(held->owes, false)) return;
    is_unpaid_ = true;
    log_warning("files that were closed here could not be stored before others look at them; others see them later",
                {{"object", held->object.name}});
}

}  // namespace meshfs
