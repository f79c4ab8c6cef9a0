#include "fs/vfs/sharing.h"

#include <algorithm>

#include "fs/base/log.h"
#include "fs/base/wire.h"

namespace meshfs {
namespace {

using Role = OpenInode::Role;

// Odd while somebody writes; each who does has a number of his own, by which he is asked.
void set_writer(Inode& inode, SessionId writer) {
    bool was_written = inode.writer != kNobody, is_written = writer != kNobody;
    inode.write_version += was_written == is_written ? 2 : 1;
    inode.writer = writer;
}

int64_t pause_ns(int tries) { return kNsPerMs << std::min(tries, 6); }

}  // namespace

Sharing::Sharing(Meta& meta, Clock& clock, Publisher& publisher, OpenInodes& open_inodes)
    : meta_(meta), clock_(clock), publisher_(publisher), open_inodes_(open_inodes),
      room_makers_("room", kRoomMakers, kRoomQueueMax) {
    meta_.on_room_wanted([this](Ino ino) { room_wanted(ino); });
}

void Sharing::stop() {
    stopping_ = true;
    meta_.on_room_wanted(nullptr);
    room_makers_.stop();
}

bool Sharing::try_accept(OpenInode& file, bool appends) {
    MutexLock lock(file.mutex);
    bool may = file.role == Role::alone || (file.role == Role::none && file.is_new && !appends);
    if (may) ++file.accepting;
    return may;
}

void Sharing::accepted(OpenInode& file) {
    MutexLock lock(file.mutex);
    if (--file.accepting == 0) file.accepted.notify_all();
}

// What is in memory afterwards is all there will be under the old role.
void Sharing::stop_accepting(OpenInode& file, Role role) {
    MutexLock lock(file.mutex);
    file.role = role;
    file.is_new = false;
    while (file.accepting > 0) file.accepted.wait(file.mutex);
}

Status Sharing::enter(OpenInode& file) {
    if (file.role != Role::none) return {};
    bool is_present = false;
    Status entered = enter(file, is_present);
    if (is_present && file.role != Role::several) unlock(file.ino, kPresentByte);
    return entered;
}

Status Sharing::enter(OpenInode& file, bool& is_present) {
    for (int tries = 0;; ++tries) {
        if (stopping_) return fail(ESHUTDOWN);
        Inode inode = TRY(meta_.change(file.ino, [&](InodeChange& change) -> Status {
            if (change.inode.writer == kNobody) set_writer(change.inode, meta_.session());
            return {};
        }));
        if (inode.writer == meta_.session()) {
            TRY(meta_.commit());  // who writes is known before there are bytes that could come late
            return be_alone(file, inode);
        }
        if (inode.writer != kSeveral) {
            // From before we ask: who then makes room finds himself alone only after we have come, however late.
            is_present = is_present || lock(file.ino, kPresentByte, FileLock::Type::read).ok();
            TRY(wait_for_room(file.ino, inode, tries));
            continue;
        }
        Status joined = join_several(file);
        if (joined || joined.code() != EAGAIN) return joined;
        is_present = false;
        clock_.sleep_ns(pause_ns(tries));
    }
}

Status Sharing::be_alone(OpenInode& file, const Inode& inode) {
    publisher_.take_over_in_turn(file, inode);
    file.data->set_alone(true);
    MutexLock lock(file.mutex);
    file.role = Role::alone;
    return {};
}

Status Sharing::wait_for_room(Ino ino, const Inode& inode, int tries) {
    if (!TRY(meta_.is_alive(inode.writer))) return take_over_from_dead(ino, inode.writer);
    meta_.ask_for_room(inode.writer, ino, inode.write_version);
    clock_.sleep_ns(pause_ns(tries));
    return {};
}

// What it wrote last may still arrive where it cannot be fenced: nothing is mapped any more where that could lie.
Status Sharing::take_over_from_dead(Ino ino, SessionId dead) {
    TRY(meta_.change(ino, [&](InodeChange& change) -> Status {
        Inode& inode = change.inode;
        if (inode.writer != dead) return {};
        set_writer(inode, kNobody);
        if (inode.map.extents.empty()) return {};
        for (Extent& extent : inode.map.extents) extent.flags |= Extent::closed;
        ++inode.content_version;
        return {};
    }));
    return {};
}

// EAGAIN: it is not "several" any more, or somebody just looks whether he is alone; *present* is not held then.
Status Sharing::join_several(OpenInode& file) {
    Status taken = lock(file.ino, kPresentByte, FileLock::Type::write);
    if (taken) {  // nobody is left
        Status changed = change_writer(file.ino, kSeveral, meta_.session());
        unlock(file.ino, kPresentByte);
        if (!changed && changed.code() != ECANCELED) return changed;
        return fail(EAGAIN);
    }
    if (taken.code() != EAGAIN) return taken;
    TRY(lock(file.ino, kPresentByte, FileLock::Type::read));
    auto inode = meta_.get(file.ino);
    if (inode && inode->writer == kSeveral) {
        stop_accepting(file, Role::several);
        file.data->set_alone(false);
        publisher_.take_over_in_turn(file, *inode);
        return {};
    }
    unlock(file.ino, kPresentByte);
    return inode ? Status(fail(EAGAIN)) : Status(inode.error());
}

Status Sharing::write_through(OpenInode& file, uint64_t offset, Buffer bytes) {
    file.data->write(offset, std::move(bytes), [](Status) {});  // no waiting for room: it is stored now
    TRY(publisher_.publish_in_turn(file));
    return {};
}

// Under the lock the end of the file stays where it is until the record is published.
Status Sharing::append_through(OpenInode& file, Buffer bytes) {
    for (int tries = 0; !file.holds_append_lock; ++tries) {
        Status taken = lock(file.ino, kAppendByte, FileLock::Type::write);
        if (!taken && taken.code() != EAGAIN) return taken;
        if (taken) file.holds_append_lock = true;
        else if (stopping_) return fail(ESHUTDOWN);
        else clock_.sleep_ns(pause_ns(std::min(tries, 4)));
    }
    publisher_.take_over_in_turn(file, TRY(meta_.get(file.ino)));
    if (bytes.size() > kFileSizeMax - file.data->size()) return fail(EFBIG);
    file.data->append(std::move(bytes), [](Result<uint64_t>) {});
    // If it fails the lock stays: the record is at its place in memory, and is tried again.
    TRY(publisher_.publish_in_turn(file));
    unlock(file.ino, kAppendByte);
    file.holds_append_lock = false;
    return {};
}

Status Sharing::leave(OpenInode& file) {
    Role role = file.role;
    if (role == Role::none) return {};
    stop_accepting(file, Role::none);
    auto done = publisher_.publish_in_turn(file, [&](Inode& inode) -> Status {
        if (inode.writer == meta_.session()) set_writer(inode, kNobody);
        return {};
    });
    if (!done && done.code() != ESTALE) {  // ESTALE: it has no name any more, nor a place
        MutexLock lock(file.mutex);
        file.role = role;
        return done.error();
    }
    if (file.holds_append_lock) unlock(file.ino, kAppendByte);
    if (role == Role::several) unlock(file.ino, kPresentByte);
    file.holds_append_lock = false;
    file.owes_room_since = 0;
    return {};
}

void Sharing::begin_anew(OpenInode& file) {
    stop_accepting(file, Role::none);
    file.holds_append_lock = false;
    file.owes_room_since = 0;
}

void Sharing::room_wanted(Ino ino) {
    (void)room_makers_.try_post([this, ino] {
        auto used = open_inodes_.use(ino);
        if (!used) return;
        make_room(*used->file);
        open_inodes_.done(used->file);
    });
}

void Sharing::make_room(OpenInode& file) {
    // Who is about to enter waits for others; nobody may wait for him here.
    if (!file.turn.try_take()) {
        if (file.role == Role::none) return;
        file.turn.take();
    }
    TurnTaken turn(file.turn);
    if (file.role == Role::none) {  // left behind by a leave that failed
        (void)change_writer(file.ino, meta_.session(), kNobody);
        return;
    }
    if (file.role == Role::alone) {
        if (!lock(file.ino, kPresentByte, FileLock::Type::read)) return;
        stop_accepting(file, Role::several);
        file.data->set_alone(false);
        file.owes_room_since = clock_.boot_ns();
    }
    if (file.owes_room_since == 0) return;
    auto done = publisher_.publish_in_turn(file, [&](Inode& inode) -> Status {
        if (inode.writer == meta_.session()) set_writer(inode, kSeveral);
        return {};
    });
    if (!done) {
        // After 2T this session would be declared dead for it.
        if (clock_.boot_ns() - file.owes_room_since < meta_.volume().lease_seconds * kNsPerSecond) return;
        log_error("bytes that could not be stored are given up: another mount writes to the file",
                  {{"inode", hex(raw(file.ino))}, {"error", done.error().text()}});
        file.data->discard();
        if (!change_writer(file.ino, meta_.session(), kSeveral)) return;
    }
    file.owes_room_since = 0;
}

void Sharing::look_around() {
    for (auto& file : open_inodes_.all()) {
        bool is_several = file->role == Role::several;
        if ((!is_several && !file->looks_anew) || !file->turn.try_take()) continue;
        TurnTaken turn(file->turn);
        bool has_writers;
        {
            MutexLock lock(file->mutex);
            has_writers = file->writers > 0;
        }
        if (is_several && !has_writers) {
            (void)leave(*file);
            continue;
        }
        if (file->holds_append_lock && publisher_.publish_in_turn(*file)) {
            unlock(file->ino, kAppendByte);
            file->holds_append_lock = false;
        }
        bool may_be_alone = is_several && !file->holds_append_lock && file->owes_room_since == 0;
        if (may_be_alone && lock(file->ino, kPresentByte, FileLock::Type::write)) {
            if (change_writer(file->ino, kSeveral, meta_.session())) {
                unlock(file->ino, kPresentByte);
                file->role = Role::none;
                (void)enter(*file);
            } else {
                (void)lock(file->ino, kPresentByte, FileLock::Type::read);
            }
        }
        if (auto inode = meta_.get(file->ino)) publisher_.take_over_in_turn(*file, *inode);
    }
}

Status Sharing::change_writer(Ino ino, SessionId from, SessionId to) {
    TRY(meta_.change(ino, [&](InodeChange& change) -> Status {
        if (change.inode.writer != from) return fail(ECANCELED);
        set_writer(change.inode, to);
        return {};
    }));
    return {};
}

Status Sharing::lock(Ino ino, uint64_t byte, FileLock::Type type) {
    FileLock wanted;
    wanted.type = type;
    wanted.owner = UINT64_MAX;
    wanted.first = wanted.last = byte;
    return meta_.lock(ino, wanted, nullptr);
}

void Sharing::unlock(Ino ino, uint64_t byte) {
    FileLock held;
    held.owner = UINT64_MAX;
    held.first = held.last = byte;
    if (auto done = meta_.unlock(ino, held); !done)
        log_warning("a lock among writers could not be given back",
                    {{"inode", hex(raw(ino))}, {"error", done.error().text()}});
}

}  // namespace meshfs
