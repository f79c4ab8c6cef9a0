// flock(2) and fcntl(2) locks: this mount's table on stores of our own, Meta's across mounts.
#include "fs/vfs/core.h"

namespace meshfs {
namespace {

constexpr uint64_t kOffsetMax = (uint64_t{1} << 63) - 1;

// The kernel names the owner of a flock by the address of its open file, and releases that later than
// close(2) returns: by then the next open file can have the same.  So it is the handle, which is told with
// both and never comes twice.
uint64_t owner_of(const Vfs::LockRequest& request) { return request.flock ? request.handle : request.owner; }

Result<FileLock> lock_of(const VfsCore& core, const Vfs::LockRequest& request) {
    FileLock lock;
    lock.family = request.flock ? FileLock::Family::flock : FileLock::Family::posix;
    switch (request.type) {
        case F_RDLCK: lock.type = FileLock::Type::read; break;
        case F_WRLCK:
        case F_UNLCK: lock.type = FileLock::Type::write; break;
        default: return fail(EINVAL);
    }
    lock.session = core.meta.session();
    lock.owner = owner_of(request);
    lock.pid = request.pid;
    lock.first = request.flock ? 0 : request.first;
    lock.last = request.flock ? kOffsetMax : std::min(request.last, kOffsetMax);
    if (lock.first > lock.last) return fail(EINVAL);
    return lock;
}

// The handle drops at its end what was locked through it; the file's close must be told of from now on.
void remember(VfsCore& core, Ino ino, const Vfs::LockRequest& request) {
    if (auto file = core.open_inodes->find(ino); file != nullptr && !request.flock) file->had_posix_lock = true;
    auto handle = core.handles.find(request.handle);
    if (!handle) return;
    MutexLock lock((*handle)->mutex);
    (*handle)->lock_owners.insert({request.flock, owner_of(request)});
}

// The same for what it unlocked as a whole: it has nothing to lose any more with a session that dies.
void forget_owner(VfsCore& core, const Vfs::LockRequest& request) {
    bool is_all = request.flock || (request.first == 0 && request.last >= kOffsetMax);
    auto handle = core.handles.find(request.handle);
    if (!is_all || !handle) return;
    MutexLock lock((*handle)->mutex);
    (*handle)->lock_owners.erase({request.flock, owner_of(request)});
}

// Who gets a lock sees what was written under it before: bytes are published before it is let go, and looked up anew
// once it is there; the kernel forgets older ones before the lock is answered.
void publish_before_unlock(VfsCore& core, Ino ino) {
    auto file = core.locks_locally() ? nullptr : core.open_inodes->find(ino);
    if (file != nullptr && file->data->is_dirty()) (void)core.publisher->publish(*file);  // kept, told at close
}

void look_anew(VfsCore& core, Ino ino, Then<void> then) {
    auto file = core.locks_locally() ? nullptr : core.open_inodes->find(ino);
    if (file == nullptr) return then({});
    if (auto inode = core.meta.get(ino)) core.publisher->take_over(*file, *inode);
    core.tell_takeovers(file, [then = std::move(then)] { then({}); });
}

}  // namespace

// EAGAIN at once, but for what the program that had it has closed: for that it waits a moment.
Status VfsCore::try_lock(Ino ino, const FileLock& wanted, FileLock* conflict) {
    auto owner_of = [](const FileLock& lock) {
        return EndingLocks::Owner(lock.family == FileLock::Family::flock, lock.owner);
    };
    (void)ending_locks.wait_for(ino, owner_of(wanted));
    unlock_again();
    for (;;) {
        Status done =
            locks_locally() ? lock_table.lock(ino, wanted, conflict) : meta.lock(ino, wanted, conflict);
        bool is_ours = done.code() == EAGAIN && (locks_locally() || conflict->session == meta.session());
        if (!is_ours || !ending_locks.wait_for(ino, owner_of(*conflict))) return done;
    }
}

void VfsCore::drop_locks(Ino ino, FileLock::Family family, uint64_t owner) {
    publish_before_unlock(*this, ino);
    if (locks_locally()) lock_table.unlock_owner(ino, family, owner);
    else if (!meta.unlock_owner(ino, family, owner)) {
        MutexLock lock(mutex);
        unlocks_left.insert({ino, family, owner});
    }
    lock_waits->try_again(ino);
}

// What a store that was full or silent did not take at the close.
void VfsCore::unlock_again() {
    std::set<std::tuple<Ino, FileLock::Family, uint64_t>> left;
    {
        MutexLock lock(mutex);
        left.swap(unlocks_left);
    }
    for (auto [ino, family, owner] : left) drop_locks(ino, family, owner);
}

Result<Vfs::LockRequest> Vfs::getlk(Ino ino, const LockRequest& request) {
    if (is_served(ino)) return fail(ENOSYS);
    ino = core_->inner(ino);
    FileLock wanted = TRY(lock_of(*core_, request));
    auto held = core_->locks_locally() ? core_->lock_table.test(ino, wanted) : TRY(meta_.test_lock(ino, wanted));
    LockRequest answer = request;
    if (!held) {
        answer.type = F_UNLCK;
        return answer;
    }
    answer.type = held->type == FileLock::Type::write ? F_WRLCK : F_RDLCK;
    answer.owner = held->owner;
    answer.first = held->first;
    answer.last = std::min(held->last, kOffsetMax);
    // A process of another mount has no number here.
    answer.pid = core_->locks_locally() || held->session == meta_.session() ? held->pid : 0;
    return answer;
}

void Vfs::setlk(Ino ino, const LockRequest& request, Then<void> then) {
    if (is_served(ino)) return then(fail(ENOSYS));
    ino = core_->inner(ino);
    auto wanted = lock_of(*core_, request);
    if (!wanted) return then(wanted.error());
    const bool locks = request.type != F_UNLCK;
    if (locks) remember(*core_, ino, request);
    else publish_before_unlock(*core_, ino);
    Status done;
    FileLock conflict;
    if (locks) done = core_->try_lock(ino, *wanted, &conflict);
    else if (core_->locks_locally()) core_->lock_table.unlock(ino, *wanted);
    else done = meta_.unlock(ino, *wanted);
    if (!done) return then(done);
    // After a lock again: another thread of its owner may have unlocked meanwhile.
    if (locks) remember(*core_, ino, request);
    else forget_owner(*core_, request);
    core_->lock_waits->try_again(ino);  // also after a lock: it may have been a weaker one than before
    if (locks) look_anew(*core_, ino, std::move(then));
    else then({});
}

void Vfs::setlkw(Ino ino, const LockRequest& request, uint64_t ticket, Then<void> then) {
    if (is_served(ino)) return then(fail(ENOSYS));
    if (request.type == F_UNLCK) return setlk(ino, request, std::move(then));
    ino = core_->inner(ino);
    auto wanted = lock_of(*core_, request);
    if (!wanted) return then(wanted.error());
    remember(*core_, ino, request);
    core_->lock_waits->wait(ticket, ino, *wanted, [this, ino, request, then = std::move(then)](Status done) {
        if (!done) return then(done);
        remember(*core_, ino, request);  // as in setlk()
        core_->lock_waits->try_again(ino);
        look_anew(*core_, ino, then);
    });
}

void Vfs::cancel_setlk(uint64_t ticket) { core_->lock_waits->cancel(ticket); }

}  // namespace meshfs
