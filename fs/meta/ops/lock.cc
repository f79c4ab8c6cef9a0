// Locks across mounts: the list of a file's locks is one value in l.<ino>, changed under the guard that it still is
// what was read.
//
// Each value carries who wrote it and a number, so none comes twice and a try whose answer was lost knows its own
// work.  A lock of a session that ended or died does not count: who is in its way takes it out.  The object stays
// when the list is empty, so that who waits for the file stays told; it goes with the file.
#include <algorithm>

#include "fs/meta/lock_list.h"
#include "fs/meta/ops/ops.h"
#include "fs/meta/patience.h"

namespace meshfs::ops {
namespace {

constexpr int kTriesMax = 1000;  // of losing races

struct View {
    LocksRecord record;
    std::optional<std::string> value;  // as read: a guard
};

Result<View> read_locks(MetaCore& core, Ino ino) {
    View view;
    auto answer = ask_patiently(core.store, core.clock, Query(locks_object(ino)).keys({kLocksKey}));
    if (answer.code() == ENOENT) return view;
    if (!answer.ok()) return answer.error();
    auto found = answer->keys.find(kLocksKey);
    if (found == answer->keys.end()) return view;
    view.record = TRY(decode_at(decode_locks, locks_object(ino), kLocksKey, found->second));
    view.value = std::move(found->second);
    return view;
}

// In the store before l.<ino> is: so that a removal of each file that never had a lock needs no look.
Status note_had_locks(MetaCore& core, Ino ino) {
    bool is_new = false;
    TRY(change(core, ino, [&](InodeChange& change) -> Status {
        is_new = (change.inode.flags & kHadLocks) == 0;
        change.inode.flags |= kHadLocks;
        return {};
    }));
    return is_new ? core.held.write_all() : Status();
}

// Reads, lets `edit` change the list, writes it if it did.
Status change_locks(MetaCore& core, Ino ino, const std::function<Status(LockList&)>& edit) {
    uint64_t number = 0;  // of the last try
    for (int tries = 0; tries < kTriesMax; ++tries) {
        if (tries > 2) core.clock.sleep_ns(kNsPerMs << std::min(tries - 3, 5));
        View view = TRY(read_locks(core, ino));
        if (number != 0 && view.record.session == core.session_id() && view.record.number == number) return {};
        LocksRecord next = view.record;
        TRY(edit(next.locks));
        if (next.locks == view.record.locks) return {};
        if (next.locks.size() > kLocksMax) return fail(ENOLCK, "too many locks of one file");
        next.session = core.session_id();
        next.number = number = core.lanes.next_number();
        if (!view.value) TRY(note_had_locks(core, ino));
        Mutation m(locks_object(ino));
        m.create().key_is(kLocksKey, view.value).set_keys({{kLocksKey, encode(next)}});
        auto status = apply_patiently(core.store, core.clock, m);
        if (status.code() != ECANCELED) return status;
    }
    return fail(EBUSY, "the locks of a file changed under every one of 1,000 tries");
}

// The first that counts; those that do not are taken out of the list.
Result<std::optional<FileLock>> find_living_conflict(MetaCore& core, LockList& locks, const FileLock& wanted) {
    while (auto held = find_conflict(locks, wanted)) {
        if (TRY(core.session->look_at(held->session)) == SessionState::alive) return held;
        std::erase_if(locks, [&](const FileLock& l) { return l.session == held->session; });
    }
    return std::optional<FileLock>();
}

// What was just written counts only if nobody could have judged this session before: a beat after it tells.
Status check_still_alive(MetaCore& core) {
    if (!core.session->is_in_window()) core.session->tick();
    return core.session->check_alive();
}

FileLock of_this_session(MetaCore& core, FileLock lock) {
    lock.session = core.session_id();
    return lock;
}

}  // namespace

Status lock(MetaCore& core, Ino ino, const FileLock& asked, FileLock* conflict) {
    TRY(core.check_may_change());
    const FileLock wanted = of_this_session(core, asked);
    TRY(change_locks(core, ino, [&](LockList& locks) -> Status {
        if (auto held = TRY(find_living_conflict(core, locks, wanted))) {
            if (conflict != nullptr) *conflict = *held;
            return fail(EAGAIN);
        }
        take_lock(locks, wanted);
        return {};
    }));
    return check_still_alive(core);
}

Result<std::optional<FileLock>> test_lock(MetaCore& core, Ino ino, const FileLock& wanted) {
    TRY(core.check_may_change());
    View view = TRY(read_locks(core, ino));
    return find_living_conflict(core, view.record.locks, of_this_session(core, wanted));
}

Status unlock(MetaCore& core, Ino ino, const FileLock& range) {
    TRY(core.check_may_change());
    bool has_any = false;
    TRY(change_locks(core, ino, [&](LockList& locks) -> Status {
        LockList before = locks;
        drop_lock(locks, of_this_session(core, range));
        has_any |= locks != before;
        return {};
    }));
    if (has_any) core.store.notify(locks_object(ino), {}, 1, [](Result<Acks>) {});  // who waits, looks again
    return {};
}

}  // namespace meshfs::ops
