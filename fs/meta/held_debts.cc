// What is owed of groups that are held: their holder pays before anybody else can read them.
#include "fs/base/wire.h"
#include "fs/meta/held_group.h"

namespace meshfs {

void HeldGroups::on_due(std::function<void(GroupId)> pay) {
    paying_.close();
    {
        MutexLock lock(pay_mutex_);
        pay_ = std::move(pay);
    }
    paying_.open();
}

bool HeldGroups::owe(GroupId group) {
    if (is_synchronous_ || !may_answer()) return false;
    HeldPtr held = find(group_object(group).name);
    if (!held) return false;
    MutexLock lock(held->mutex);
    bool is_closed_to_others = held->state == Held::State::held && (held->lease.flags & Lease::write_through) == 0;
    if (!is_closed_to_others || held->is_paying || held->is_wanted) return false;
    return held->owes = true;
}

void HeldGroups::pay(const HeldPtr& held) {
    {
        MutexLock lock(held->mutex);
        held->is_wanted = true;
        while (held->is_paying) held->changed.wait(held->mutex);
        if (!held->owes || held->state == Held::State::gone) return;
        held->is_paying = true;
    }
    if (paying_.enter()) {
        std::function<void(GroupId)> pay;
        {
            MutexLock lock(pay_mutex_);
            pay = pay_;
        }
        auto number = parse_hex(std::string_view(held->object.name).substr(2));
        if (pay && number.ok()) pay(GroupId{*number});
        paying_.leave();
    }
    MutexLock lock(held->mutex);
    held->owes = held->is_paying = false;
    held->changed.notify_all();
}

}  // namespace meshfs
