// Names that the kernel keeps, of groups that are held.
//
// It keeps each for kKeptNs from when the thread that asked goes on with the answer: how late that is, nobody hears.  So it is given
// kLateNs, and a group of which names were told is given up only once all of that is over.  As nobody likes to wait for that,
// names are told only while there is nobody.
#include "fs/meta/held_group.h"
#include "fs/meta/lease.h"

namespace meshfs {
namespace {

constexpr int64_t kKeptNs = 500 * kNsPerMs, kLateNs = 1500 * kNsPerMs;

}  // namespace

int64_t HeldGroups::keep_names(GroupId group, uint64_t since) {
    const Session* session = session_;
    if (!(is_alone_ || options_.names_among_others) || session == nullptr || session->window_left_ns() < kKeptNs) return 0;
    const std::string name = group_object(group).name;
    HeldPtr held = find(name);
    if (!held) return 0;
    {
        MutexLock lock(held->mutex);
        if (held->state != Held::State::held || held->keeps_no_names) return 0;
    }
    return promises_.keep_names(name, since, clock_.boot_ns() + kKeptNs + kLateNs) ? kKeptNs : 0;
}

void HeldGroups::keep_no_names(const ObjectName& group) {
    HeldPtr held = find(group.name);
    if (!held) return;
    MutexLock lock(held->mutex);
    held->keeps_no_names = true;
}

void HeldGroups::moved_name(GroupId from, GroupId to) {
    promises_.taken();  // of what is looked at now, before the name had gone, nothing more is kept
    const ObjectName left = group_object(from), reached = group_object(to);
    const int64_t until = promises_.names_kept_until(left.name);
    if (until <= clock_.boot_ns()) return;
    const uint64_t since = promises_.moment();
    if (HeldPtr held = find(reached.name)) {
        bool is_held;
        {
            MutexLock lock(held->mutex);
            is_held = held->state == Held::State::held;
        }
        if (is_held && promises_.keep_names(reached.name, since, until)) return;
    }
    wait_for_names(left);
}

void HeldGroups::wait_for_names(const ObjectName& group) {
    for (;;) {
        const int64_t left = promises_.names_kept_until(group.name) - clock_.boot_ns();
        if (left <= 0) return;
        clock_.sleep_ns(left);
    }
}

// Of a group that is not held, or being changed: nothing more is told of it.  In what is dead there is no name.
void HeldGroups::give_names_up(const Mutation& mutation) {
    if (promises_.names_kept_until(mutation.object().name) <= clock_.boot_ns()) return;
    const Session* session = session_;
    for (const Effect& effect : mutation.effects()) {
        if (effect.kind != Effect::Kind::set_xattr || effect.name != kLeaseXattr) continue;
        auto lease = decode_lease(effect.value);
        bool is_kept = lease.ok() && (lease->kind == Lease::Kind::dead || (session && lease->is_exclusive_of(session->id())));
        if (!is_kept) wait_for_names(mutation.object());
    }
}

}  // namespace meshfs
