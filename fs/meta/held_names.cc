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
    if (!(is_alone_ || options_.names_among_others) || session == nullptr) return 0;
    // Who takes over from this session does so T/2 after the window, or later.
    const int64_t left = session->window_left_ns();
    if (left <= 0 || left + session->lease_ns() / 2 < kKeptNs + kLateNs) return 0;
    const std::string name = group_object(group).name;
    HeldPtr held = find(name);
    if (!held) return 0;
    MutexLock lock(held->mutex);
    if (held->state != Held::State::held || held->keeps_no_names) return 0;
    return promises_.keep_names(name, since, clock_.boot_ns() + kKeptNs + kLateNs) ? kKeptNs : 0;
}

void HeldGroups::keep_no_names(const ObjectName& group) {
    HeldPtr held = find(group.name);
    if (!held) return;
    MutexLock lock(held->mutex);
    held->keeps_no_names = true;
}

void HeldGroups::names_went(GroupId from, GroupId to) {
    if (from != to) promises_.names_went(group_object(from).name, group_object(to).name);
}

void HeldGroups::wait_for_names(const ObjectName& group) {
    const int64_t left = promises_.names_kept_until(group.name) - clock_.boot_ns();
    if (left > 0) clock_.sleep_ns(left);
}

// Of a group that is being let go of.  In what is dead there is no name.
void HeldGroups::give_names_up(const Mutation& mutation) {
    if (promises_.names_kept_until(mutation.object().name) <= clock_.boot_ns()) return;
    const Session* session = session_;
    auto lease = lease_given(mutation);
    if (!lease || lease->kind == Lease::Kind::dead || (session && lease->is_exclusive_of(session->id()))) return;
    wait_for_names(mutation.object());
}

void HeldGroups::note_others() {
    ++others_heard_;
    if (is_alone_.exchange(false)) wake();  // what is quiet is to be opened
}

void HeldGroups::note_alone(uint64_t heard) {
    is_alone_ = true;
    if (others_heard_ != heard) is_alone_ = false;
}

}  // namespace meshfs
