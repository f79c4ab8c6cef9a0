// What operations ask of held groups: changes and queries, done in their copies, or passed on.
#include <algorithm>

#include "fs/meta/held_group.h"

namespace meshfs {
namespace {

// What is not written of one group: a batch is within kMutationMax.
constexpr size_t kUnwrittenMax = 3u << 20;
constexpr size_t kPageMax = 1024, kLanesRead = 64;

std::optional<Lease> lease_guarded(const Mutation& mutation) {
    for (const Guard& guard : mutation.guards())
        if (guard.kind == Guard::Kind::xattr_is && guard.name == kLeaseXattr && guard.value)
            if (auto lease = decode_lease(*guard.value); lease.ok()) return *lease;
    return {};
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

bool is_of_records(const Query& query) {
    return query.at() == SnapId::head && query.guards().empty() && !query.wants_stat() && query.byte_ranges().empty();
}

}  // namespace

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
        give_names_up(mutation);
        return inner_.apply(std::move(mutation));
    }
}

std::optional<Status> HeldGroups::change(const HeldPtr& held, const Mutation& mutation) {
    bool is_dying;
    {
        MutexLock lock(held->mutex);
        is_dying = held->is_dying;
    }
    if (is_dying) {  // what is still changed in it, is so in the store
        Status written = flush(held);
        return written.ok() ? std::optional<Status>() : written;
    }
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
    if (held->is_dying) return fail(ECANCELED);
    std::vector<std::string> unknown;
    for (const Guard& guard : mutation.guards()) {
        if (guard.kind == Guard::Kind::xattr_is && guard.name == kLeaseXattr) {
            // That of now, nearly always: then it need not be taken apart.
            if (!held->mirror.holds(guard).value_or(false) && !held->is_of_tenure(guard.value)) return fail(ECANCELED);
            continue;
        }
        auto holds = held->mirror.holds(guard);
        if (!holds) unknown.push_back(guard.name);
        else if (!*holds) return fail(guard.kind == Guard::Kind::absent ? EEXIST : ECANCELED);
    }
    if (!unknown.empty()) return fill(held, std::move(Query(held->object).xattrs().keys(unknown)));
    held->mirror.apply(mutation.effects(), false);
    held->use(clock_.boot_ns());
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
    if (held->state == Held::State::gone) {
        if (held->is_lost) return lost_to_another();
        return held->error.ok() ? written : held->error;
    }
    held->state = Held::State::held;
    if (!written.ok()) leave_table(held);
    held->changed.notify_all();
    return written;
}

// What changes the lease, or more than records: after what is not written, and it ends the tenure.
std::optional<Status> HeldGroups::pass_on(const HeldPtr& held, const Mutation& mutation) {
    for (bool is_mine = false; !is_mine;) {
        pay(held);
        MutexLock lock(held->mutex);
        while (held->state == Held::State::changing) held->changed.wait(held->mutex);
        if (held->state == Held::State::gone || held->is_dying) return {};
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
    give_names_up(mutation);
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

bool HeldGroups::peek(const ObjectName& group, const std::function<bool(const Mirror&)>& look) const {
    if (session_ == nullptr || !is_group(group)) return false;
    HeldPtr held = find(group.name);
    if (!held) return false;
    MutexLock lock(held->mutex);
    if (held->state != Held::State::held || held->is_dying || !may_answer() || !look(held->mirror)) return false;
    held->use(clock_.boot_ns());
    return true;
}

std::optional<Result<Answer>> HeldGroups::look(const HeldPtr& held, const Query& query) {
    bool is_simple = is_of_records(query);
    for (;;) {
        {
            MutexLock lock(held->mutex);
            while (held->state == Held::State::changing) held->changed.wait(held->mutex);
            if (held->state == Held::State::gone) return {};
            held->use(clock_.boot_ns());
            if (is_simple && may_answer()) {  // now: that wait may have been long
                if (auto answer = held->mirror.answer(query)) return Result<Answer>(std::move(*answer));
                if (auto status = fill(held, query)) return Result<Answer>(status->error());
                continue;
            }
        }
        Status written = flush(held);
        if (!written.ok()) {
            MutexLock lock(held->mutex);
            if (held->state == Held::State::gone) return {};
            return Result<Answer>(written.error());
        }
        auto answer = inner_.ask(query);
        if (!is_simple || !answer.ok() || !answer->xattrs.contains(kLeaseXattr)) return answer;
        // Who goes on believing that it is his cannot take it over from whoever has it now.
        MutexLock lock(held->mutex);
        bool is_it = held->state != Held::State::held || held->is_of_tenure(answer->xattrs[kLeaseXattr]);
        if (is_it) return answer;
        if (!held->is_dying) lose(held, fail(ESTALE));  // it may be dead by now, by a batch whose answer is on its way
        return {};
    }
}

// With the Held's mutex, which it lets go of.  None: look again.
std::optional<Status> HeldGroups::fill(const HeldPtr& held, const Query& query) {
    Query missing = held->mirror.missing(query);
    // Names are asked for one after the other: ever longer pages come with them.
    const auto& keys = missing.wanted_keys();
    if (!keys.empty() && keys.front().starts_with("n") && ++held->misses > 1)
        missing.range(keys.front(), "n", std::min<size_t>(kPageMax, size_t{4} << std::min(held->misses, 8u)), 1u << 20);
    if (std::exchange(held->is_to_list, false))  // with what a change of the directory looks at
        missing.range("", "n", kPageMax, 1u << 20).range("", "m", kLanesRead, 1u << 16).range("", "z", kLanesRead, 1u << 16);
    ++held->fills;
    held->mutex.unlock();
    auto answer = inner_.ask(missing);
    held->mutex.lock();
    --held->fills;
    if (held->state == Held::State::gone) return {};
    if (held->is_dying && !(answer.ok() && held->is_of_tenure(answer->xattrs[kLeaseXattr]))) {  // it may be dead by now
        held->mutex.unlock();
        Status written = flush(held);
        held->mutex.lock();
        return written.ok() ? std::optional<Status>() : written;
    }
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

}  // namespace meshfs
