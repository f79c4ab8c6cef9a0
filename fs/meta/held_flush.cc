// How HeldGroups writes: what is unborn first, then a batch of each group.
#include <algorithm>

#include "fs/base/log.h"
#include "fs/meta/held_group.h"
#include "fs/store/io_batch.h"

namespace meshfs {
namespace {

constexpr size_t kInFlightMax = 64;
constexpr int kInsistMax = 16;

Mutation mutation_of(const ObjectName& object, const Mirror::Changes& changes, bool is_birth, const Lease& before,
                     const Lease& next) {
    Mutation m(object);
    if (is_birth) m.absent().create();
    else m.xattr_is(kLeaseXattr, encode(before));
    m.set_xattr(kLeaseXattr, encode(next));
    if (changes.about) m.set_xattr(kAboutXattr, *changes.about);
    if (!is_birth && !changes.removed.empty()) m.remove_keys(changes.removed);
    if (!changes.set.empty()) m.set_keys(changes.set);
    return m;
}

}  // namespace

Status HeldGroups::flush(const HeldPtr& only) {
    {
        MutexLock lock(only->mutex);
        if (only->state == Held::State::gone) return only->is_lost ? lost_to_another() : Status();
        if (only->is_written()) return {};
    }
    TRY(flush_one_turn({only}));
    bool is_dying;
    {
        MutexLock lock(only->mutex);
        if (only->state == Held::State::gone) return only->is_lost ? lost_to_another() : Status();
        is_dying = only->is_dying;
    }
    // What was announced of it, or of a group above, may not be in yet.  Who is told to try again would, for as long as that is so.
    if (HeldPtr stuck = under_way_above(only)) {
        MutexLock lock(stuck->mutex);
        if (stuck->is_under_way && stuck->error.code() == EAGAIN) return fail(ETIMEDOUT);
        if (stuck->is_under_way && !stuck->error.ok()) return stuck->error;
    }
    return is_dying ? Status(fail(EAGAIN)) : Status();
}

Status HeldGroups::flush_births() {
    {
        MutexLock lock(mutex_);
        if (unborn_.empty()) return {};
    }
    return flush_one_turn({});
}

Status HeldGroups::flush_one_turn(const std::vector<HeldPtr>& wanted) {
    {
        MutexLock lock(turn_mutex_);
        while (is_flushing_) turn_over_.wait(turn_mutex_);
        is_flushing_ = true;
    }
    // In a turn, what is under way was announced.  Whose that is, sees what becomes of it.
    if (std::ranges::any_of(wanted, [](const HeldPtr& held) { return under_way_above(held) != nullptr; })) (void)go_on();
    Status status = flush_in_turn(wanted);
    MutexLock lock(turn_mutex_);
    is_flushing_ = false;
    turn_over_.notify_all();
    return status;
}

Status HeldGroups::flush_all() {
    uint64_t turn;
    {
        MutexLock lock(turn_mutex_);
        const uint64_t begun_before = turns_begun_;
        while (is_flushing_) {
            turn_over_.wait(turn_mutex_);
            if (turns_done_ > begun_before) return turn_status_;
        }
        is_flushing_ = true;
        turn = ++turns_begun_;
    }
    std::vector<HeldPtr> all;
    {
        MutexLock lock(mutex_);
        for (const auto& [name, held] : dirty_) all.push_back(held);
        dirty_since_ = 0;
        is_urgent_ = false;
    }
    const Status earlier = go_on();
    Status status = flush_in_turn(all);
    if (status.ok()) status = earlier;
    MutexLock lock(turn_mutex_);
    is_flushing_ = false;
    turns_done_ = turn;
    turn_status_ = status;
    if (status.ok()) last_good_turn_ = turn;
    turn_over_.notify_all();
    return status;
}

// Whatever a frozen batch names was there when it was frozen: it is born, or among what is unborn afterwards.
Status HeldGroups::flush_in_turn(const std::vector<HeldPtr>& wanted) {
    std::vector<Batch> changes, births;
    std::vector<std::vector<Batch>> trees;
    is_freezing_ = true;
    for (const HeldPtr& held : with_parents(wanted)) {
        std::vector<Batch> tree;
        freeze_changes(held, tree, false);
        if (tree.size() > 1) trees.push_back(std::move(tree));
        else if (!tree.empty()) changes.push_back(std::move(tree.front()));
    }
    is_freezing_ = false;
    for (std::set<std::string> seen;;) {
        std::vector<HeldPtr> unborn;
        {
            MutexLock lock(mutex_);
            for (const auto& [name, held] : unborn_)
                if (seen.insert(name).second) unborn.push_back(held);
        }
        if (unborn.empty()) break;
        for (const HeldPtr& held : unborn)
            if (auto batch = freeze(held, true)) births.push_back(std::move(*batch));
    }
    Status status = send(births);
    if (!status.ok()) {
        for (const Batch& batch : changes) (void)finish(batch, fail(EAGAIN), false);
        for (const auto& tree : trees)
            for (const Batch& batch : tree) (void)finish(batch, fail(EAGAIN), false);
        return status;
    }
    status = send(changes);
    const Status of_trees = send_trees(std::move(trees));
    if (!announced_.empty()) {  // they are sent again
        {
            MutexLock lock(mutex_);
            if (dirty_since_ == 0) dirty_since_ = clock_.boot_ns();
        }
        wake();
    }
    return status.ok() ? of_trees : status;
}

// With what dies by it.  What is dying is frozen with the batch that takes its name, or once that is in the store.
void HeldGroups::freeze_changes(const HeldPtr& held, std::vector<Batch>& batches, bool with_its_name) {
    auto batch = freeze(held, false, with_its_name);
    if (!batch) return;
    batches.push_back(std::move(*batch));
    for (const HeldPtr& child : std::vector<HeldPtr>(batches.back().dying)) freeze_changes(child, batches, true);
}

std::optional<HeldGroups::Batch> HeldGroups::freeze(const HeldPtr& held, bool is_birth, bool with_its_name) {
    MutexLock lock(held->mutex);
    if (held->is_under_way || (held->named_in && !with_its_name)) return {};
    {
        MutexLock table(mutex_);
        if (!is_birth) dirty_.erase(held->object.name);
    }
    if (held->state == Held::State::gone || held->is_unborn != is_birth) return {};
    if (!is_birth && !held->mirror.is_dirty() && !held->is_dying) return {};
    Batch batch{.held = held, .is_birth = is_birth, .before = held->lease, .next = held->lease, .dying = held->dying};
    if (held->is_dying) batch.next = {.kind = Lease::Kind::dead, .epoch = held->lease.epoch};
    batch.to_announce = std::exchange(held->to_announce, 0);
    to_announce_ -= batch.to_announce;
    batch.changes = is_birth ? held->mirror.take_all() : held->mirror.take_changes();
    if (!is_birth) ++batch.next.epoch;
    if (held->next_flags) batch.next.flags = *held->next_flags;
    held->is_under_way = true;
    held->was_sent = true;
    return batch;
}

std::vector<Status> HeldGroups::deliver(std::vector<Batch>& batches) {
    std::vector<Status> statuses(batches.size());
    {
        IoBatch under_way(inner_, kInFlightMax);
        for (size_t i = 0; i < batches.size(); ++i) {
            const Batch& b = batches[i];
            under_way.add(mutation_of(b.held->object, b.changes, b.is_birth, b.before, b.next),
                          [&status = statuses[i]](Status answer) { status = std::move(answer); });
        }
    }  // all are answered
    for (size_t i = 0; i < batches.size(); ++i) statuses[i] = insist(batches[i], statuses[i]);
    return statuses;
}

Status HeldGroups::send(std::vector<Batch>& batches) {
    const std::vector<Status> statuses = deliver(batches);
    Status first_error;
    for (size_t i = 0; i < batches.size(); ++i) {
        Status status = finish(batches[i], statuses[i]);
        if (first_error.ok()) first_error = status;
    }
    return first_error;
}

// While the lease says that the object is ours, the batch is sent again, under the next epoch: then none sent before can
// take effect any more, and one that did is overwritten with the same.
Status HeldGroups::insist(Batch& batch, Status status) {
    auto is_doubtful = [](int code) {
        return code == ETIMEDOUT || code == EAGAIN || code == ECANCELED || code == EEXIST;
    };
    for (int tries = 0; is_doubtful(status.code()) && tries < kInsistMax; ++tries) {
        if (tries > 0) clock_.sleep_ns(kNsPerMs << std::min(tries, 6));
        auto now = inner_.ask(std::move(Query(batch.held->object).xattrs()));
        if (now.code() == ENOENT) {
            if (!batch.is_birth) return fail(ENOENT);
        } else if (now.ok()) {
            auto lease = decode_lease(now->xattrs[kLeaseXattr]);
            if (lease.ok() && *lease == batch.next && lease->kind == Lease::Kind::dead) return {};
            if (!lease.ok() || !is_own(*lease)) return fail(ECANCELED);
            {
                MutexLock lock(batch.held->mutex);
                // Of another tenure: that begins with a lease like the one this batch should leave.
                if (batch.held->state == Held::State::gone) return fail(ECANCELED);
            }
            batch.is_birth = false;
            batch.before = *lease;
            batch.next.epoch = lease->epoch + 1;
        } else {
            status = now.error();  // whose it is, is not known: it is sent again later
            continue;
        }
        status = inner_.apply(mutation_of(batch.held->object, batch.changes, batch.is_birth, batch.before, batch.next));
    }
    return status;
}

Status HeldGroups::finish(const Batch& batch, const Status& status, bool was_sent) {
    const HeldPtr& held = batch.held;
    if (status.ok())
        for (const HeldPtr& child : batch.dying) {
            MutexLock lock(child->mutex);
            child->named_in.reset();
        }
    MutexLock lock(held->mutex);
    if (status.ok()) {
        held->error = {};
        held->is_in_doubt = false;
        std::erase_if(held->dying, [&](auto& child) { return std::ranges::find(batch.dying, child) != batch.dying.end(); });
    }
    if (held->state == Held::State::gone) {  // since the batch left: whether that was a loss, has been told
        held->is_under_way = false;
        return held->is_lost && !status.ok() ? lost_to_another() : Status();
    }
    if (is_lost_for_good(status.code())) {
        lose(held, status);
        held->is_under_way = false;
        return lost_to_another();
    }
    held->is_under_way = false;
    if (!status.ok()) {
        held->is_in_doubt |= was_sent;
        held->to_announce += batch.to_announce;  // it has room in the next intent, or nothing more begins to die
        to_announce_ += batch.to_announce;
        if (held->next_flags) {  // others may read the group as it is: nothing of what is not there stays to be answered
            held->error = status;
            leave_table(held);
            return status;
        }
        if (!held->is_unborn) held->mirror.put_back(batch.changes);
        if (was_sent) held->error = status.code() == EAGAIN ? Status() : status;
        note_dirty(held, false);  // a store that refuses at once is not asked again at once
        return status;
    }
    ++batches_;
    records_ += batch.changes.set.size() + batch.changes.removed.size();
    if (held->is_dying) {
        leave_table(held);
        return {};
    }
    held->lease = batch.next;
    held->mirror.set_lease(encode(batch.next));
    if (held->is_unborn) {
        held->is_unborn = false;
        MutexLock table(mutex_);
        unborn_.erase(held->object.name);
        if (held->mirror.is_dirty()) dirty_.emplace(held->object.name, held);
    }
    if (held->fills == 0) held->mirror.forget_removed(batch.changes);
    bytes_ += held->count();
    held->written_at = clock_.boot_ns();
    if (held->is_written()) {
        MutexLock table(mutex_);
        quiet_.emplace(held->object.name, held);
    }
    return {};
}

}  // namespace meshfs
