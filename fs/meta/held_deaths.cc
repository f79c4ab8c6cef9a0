// Directories that are removed while their group and the one that names them are held: in memory, like any other change.
//
// The batch that takes the name and the one that makes the directory dead are of two objects.  So the flush says before, as one
// intent (intent.h), what all such batches of its turn shall do, each guarded on the lease under which it will be sent: a crash
// leaves both or neither, as if each directory had been removed by an operation of its own, for a fraction of the calls.
// What was announced is done as it was said: its batches are sent until they are in, and only then others of these groups.
#include <algorithm>
#include <unordered_set>

#include "fs/base/log.h"
#include "fs/meta/held_group.h"
#include "fs/meta/intent.h"

namespace meshfs {
namespace {

constexpr size_t kTakesPartMax = 128u << 10;   // of a group that takes part, at first
// Of what is dying at once, and of an intent but for its last tree: one of those, with the group at its top, fits into an intent.
constexpr size_t kToAnnounceMax = 2u << 20;
constexpr size_t kEachAtLeast = 2u << 10;      // so that their number is bounded as well
constexpr int kRemoveTriesMax = 64;

}  // namespace

Status HeldGroups::remove_directory(const Mutation& mutation, const ObjectName& child_object, const Lease& lease,
                                    bool& is_removed) {
    for (int tries = 0; tries < kRemoveTriesMax && session_ != nullptr; ++tries) {
        if (tries > 2) clock_.sleep_ns(kNsPerMs);
        HeldPtr parent = find(mutation.object().name), child = find(child_object.name);
        if (!parent || !child) break;
        TRY(make_room(parent));
        TRY(make_room(child));
        auto status = remove_now(parent, mutation, child, lease);
        if (!status) continue;
        if (!status->ok()) return *status;
        is_removed = true;
        promises_.let_go(child_object.name);
        return is_synchronous_ || !may_answer() ? flush(parent) : Status();
    }
    return fail(EOPNOTSUPP);
}

// Others must not read it as it was, and what an intent says again of it must be little.
Status HeldGroups::make_room(const HeldPtr& held) {
    bool is_open, is_full;
    {
        MutexLock lock(held->mutex);
        is_open = (held->lease.flags & Lease::write_through) != 0;
        is_full = held->unwritten() > kTakesPartMax || held->is_under_way;
    }
    if (to_announce_ > kToAnnounceMax) TRY(flush_all());
    if (is_full) TRY(flush(held));
    if (!is_open) return {};
    if (auto refused = change_flags(held, Lease::kept)) return *refused;
    MutexLock lock(held->mutex);
    if (held->state != Held::State::held) return {};
    held->written_at = clock_.boot_ns();
    MutexLock table(mutex_);
    quiet_.emplace(held->object.name, held);
    return {};
}

// None: look again.  Nowhere else are two of them locked.
std::optional<Status> HeldGroups::remove_now(const HeldPtr& parent, const Mutation& mutation, const HeldPtr& child,
                                             const Lease& lease) {
    if (parent == child) return fail(EOPNOTSUPP);
    struct Both {
        Mutex &first, &second;
        Both(Mutex& a, Mutex& b) NO_THREAD_SAFETY_ANALYSIS : first(&a < &b ? a : b), second(&a < &b ? b : a) {
            first.lock();
            second.lock();
        }
        ~Both() NO_THREAD_SAFETY_ANALYSIS {
            second.unlock();
            first.unlock();
        }
    } both(parent->mutex, child->mutex);
    if (!may_answer()) return fail(EOPNOTSUPP);
    for (const auto& held : {parent, child}) {
        if (held->state == Held::State::changing) return {};
        if (held->state == Held::State::gone || held->is_unborn || !held->error.ok()) return fail(EOPNOTSUPP);
        if (held->is_dying) return fail(ECANCELED);
        if ((held->lease.flags & Lease::write_through) != 0) return {};
    }
    if (child->owes || child->is_paying || child->is_wanted) return fail(EOPNOTSUPP);
    if (child->is_under_way || is_freezing_) return {};
    for (const Guard& guard : mutation.guards()) {
        bool is_lease = guard.kind == Guard::Kind::xattr_is && guard.name == kLeaseXattr;
        if (is_lease ? !parent->is_of_tenure(guard.value) : !parent->mirror.holds(guard).value_or(false)) return fail(ECANCELED);
    }
    if (!child->is_of_tenure(encode(lease))) return fail(ECANCELED);
    auto names = child->mirror.answer(std::move(Query(child->object).range("", "n", 1, 1)));
    if (!names) return fail(ECANCELED);
    if (!names->ranges.at(0).entries.empty()) return fail(ENOTEMPTY);

    parent->mirror.apply(mutation.effects(), false);
    parent->use(clock_.boot_ns());
    bytes_ += parent->count();
    child->to_announce = child->unwritten() + mutation.bytes() + kEachAtLeast;
    to_announce_ += child->to_announce;
    parent->dying.push_back(child);
    child->is_dying = true;
    child->named_in = parent;
    child->mirror.set_lease(encode(Lease{.kind = Lease::Kind::dead, .epoch = child->lease.epoch + 1}));
    note_dirty(parent);
    note_dirty(child);
    return Status();
}

// What is dying is written with what takes its name.
std::vector<HeldGroups::HeldPtr> HeldGroups::with_parents(const std::vector<HeldPtr>& wanted) {
    std::vector<HeldPtr> all;
    std::unordered_set<const Held*> seen;
    for (HeldPtr held : wanted) {
        for (;;) {
            HeldPtr parent;
            {
                MutexLock lock(held->mutex);
                parent = held->named_in;
            }
            if (!parent) break;
            {
                MutexLock lock(parent->mutex);
                if (parent->state == Held::State::gone) parent = nullptr;
            }
            if (!parent) {  // lost, with the change that took the name: so neither was done
                MutexLock lock(held->mutex);
                if (held->named_in && !held->is_under_way) lose(held, fail(ECANCELED));
                break;
            }
            held = std::move(parent);
        }
        if (seen.insert(held.get()).second) all.push_back(std::move(held));
    }
    return all;
}

// Several trees an intent.
Status HeldGroups::send_trees(std::vector<std::vector<Batch>> trees) {
    Status first_error;
    std::vector<Batch> together;
    size_t bytes = 0;
    auto send_them = [&] {
        if (together.empty()) return;
        Status status = send_announced(std::exchange(together, {}));
        if (first_error.ok()) first_error = status;
        bytes = 0;
    };
    for (auto& tree : trees) {
        size_t of_tree = 0;
        for (const Batch& b : tree) {
            of_tree += kEachAtLeast;
            for (const auto& [key, value] : b.changes.set) of_tree += key.size() + value.size();
        }
        if (bytes + of_tree > kToAnnounceMax) send_them();
        bytes += of_tree;
        together.insert(together.end(), std::make_move_iterator(tree.begin()), std::make_move_iterator(tree.end()));
    }
    send_them();
    return first_error;
}

Status HeldGroups::send_announced(std::vector<Batch> batches) {
    auto announced = std::make_shared<Announced>();
    Status doubtful;
    for (Batch& b : batches)
        if (doubtful.ok()) doubtful = raise_lease(b);
    if (!doubtful.ok()) {
        for (const Batch& b : batches) (void)finish(b, fail(EAGAIN), false);
        return doubtful;
    }
    for (const Batch& b : batches)
        announced->intent.push_back({.object = b.held->object, .held = b.before, .next = b.next, .about = b.changes.about,
                                     .read = {}, .set = b.changes.set, .removed = b.changes.removed});
    announced->left = std::move(batches);
    announced_.push_back(announced);
    Status status = go_on(*announced);
    if (announced->left.empty()) std::erase(announced_, announced);
    return status;
}

// Itself, or one above it that must be written with it.
HeldGroups::HeldPtr HeldGroups::under_way_above(HeldPtr held) {
    while (held) {
        HeldPtr parent;
        {
            MutexLock lock(held->mutex);
            if (held->is_under_way) break;
            parent = held->named_in;
        }
        held = std::move(parent);
    }
    return held;
}

Status HeldGroups::go_on() {
    Status first_error;
    for (const auto& announced : std::vector<std::shared_ptr<Announced>>(announced_)) {
        Status status = go_on(*announced);
        if (first_error.ok()) first_error = status;
        if (announced->left.empty()) std::erase(announced_, announced);
    }
    return first_error;
}

Status HeldGroups::go_on(Announced& announced) {
    if (!announced.is_written) {
        Status status = write_intent(*session_.load(), *intents_, announced.intent, announced.keys);
        announced.may_be_written |= status.code() == ETIMEDOUT || status.code() == EAGAIN;
        if (!status.ok() && status.code() != ESHUTDOWN && announced.may_be_written) {  // or will be: the same again
            for (const Batch& b : announced.left) {
                MutexLock lock(b.held->mutex);
                b.held->error = status;
            }
            return status;
        }
        if (!status.ok()) {
            const bool is_over = status.code() == ESHUTDOWN;
            for (const Batch& b : announced.left) (void)finish(b, is_over ? status : fail(EAGAIN), is_over);
            announced.left.clear();
            return is_over ? lost_to_another() : status;
        }
        announced.is_written = true;
    }
    const std::vector<Status> statuses = deliver(announced.left);
    std::vector<Batch> left;
    Status first_error;
    for (size_t i = 0; i < statuses.size(); ++i) {
        Batch& b = announced.left[i];
        Status status = statuses[i];
        if (status.ok() || is_lost_for_good(status.code())) {
            status = finish(b, status);
        } else {
            {
                MutexLock lock(b.held->mutex);
                b.held->error = status;
            }
            left.push_back(std::move(b));
        }
        if (first_error.ok()) first_error = status;
    }
    announced.left = std::move(left);
    if (announced.left.empty()) intents_->done(std::move(announced.keys));
    return first_error;
}

// A visitor takes a lease that is not the one announced for a step that was done.
Status HeldGroups::raise_lease(Batch& batch) {
    const HeldPtr& held = batch.held;
    {
        MutexLock lock(held->mutex);
        if (!held->is_in_doubt) return {};
    }
    auto now = inner_.ask(std::move(Query(held->object).xattrs()));
    if (!now.ok()) return now.error();
    auto lease = decode_lease(now->xattrs[kLeaseXattr]);
    if (!lease.ok() || !is_own(*lease)) return {};  // lost: sending it tells
    Lease raised = *lease;
    ++raised.epoch;
    TRY(inner_.apply(lease_change(held->object, *lease, raised)));
    batch.before = raised;
    batch.next.epoch = raised.epoch + 1;
    MutexLock lock(held->mutex);
    if (held->state == Held::State::gone) return {};
    held->lease = raised;
    held->is_in_doubt = false;
    if (!held->is_dying) held->mirror.set_lease(encode(raised));
    return {};
}

}  // namespace meshfs
