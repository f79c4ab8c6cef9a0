#include "fs/vfs/append.h"

#include "fs/base/log.h"
#include "fs/base/wire.h"

namespace meshfs {

namespace {

constexpr uint64_t kLeaseByte = uint64_t{1} << 63;  // offsets end at 2^63-1

Status wait_for(FileData& data, Buffer bytes) {
    Awaited<uint64_t> answer;
    data.append(std::move(bytes), answer.then());
    TRY(answer.wait());
    return {};
}

}  // namespace

FileLock Appends::lease() const {
    FileLock lock;
    lock.family = FileLock::Family::posix;
    lock.type = FileLock::Type::write;
    lock.session = meta_.session();
    lock.owner = UINT64_MAX;
    lock.first = lock.last = kLeaseByte;
    return lock;
}

Status Appends::set_writer(Ino ino, SessionId writer) {
    TRY(meta_.change(ino, [&](InodeChange& change) -> Status {
        change.inode.writer = writer;
        return {};
    }));
    return {};
}

// Waits until no other mount has it.  A dead mount's lock does not count, so the wait ends.
Status Appends::take_lease(OpenInode& file) {
    for (int looks = 0;; ++looks) {
        FileLock conflict;
        Status taken = meta_.lock(file.ino, lease(), &conflict);
        if (taken || taken.code() != EAGAIN) return taken;
        file.shares_appends = true;
        // Once a second again: a mount that has just got the lease may have wiped the question out.
        if (looks % kLooksASecond == 0) TRY(set_writer(file.ino, kSeveral));
        Clock::system().sleep_ns(kLookAgainNs);
    }
}

void Appends::let_go(OpenInode& file) {
    file.has_append_lease = false;
    if (auto done = meta_.unlock(file.ino, lease()); !done)
        log_warning("an append lease could not be given back", {{"inode", hex(raw(file.ino))}});
}

Status Appends::append(const std::shared_ptr<OpenInode>& file, Buffer bytes) {
    MyTurn turn(file->turn);
    if (!file->has_append_lease) {
        Status taken = take_lease(*file);
        if (taken.code() == EOPNOTSUPP) {  // no locks across mounts: the end of the file as this mount sees it
            publisher_.mark_dirty(file);
            return wait_for(*file->data, std::move(bytes));
        }
        TRY(std::move(taken));
        file->has_append_lease = true;
        auto inode = meta_.get(file->ino);
        if (!inode) {
            let_go(*file);
            return inode.error();
        }
        // Left from earlier days, unless this mount had to wait; if not, the other one asks again.
        if (inode->writer == kSeveral && !file->shares_appends) TRY(set_writer(file->ino, kNobody));
        publisher_.take_over(*file, *inode, true);
    }
    if (!file->shares_appends) {
        publisher_.mark_dirty(file);
        return wait_for(*file->data, std::move(bytes));
    }
    Status done = append_shared(*file, bytes);
    let_go(*file);
    return done;
}

// Under the lease, so the end of the file stays where it is until the record is published.
Status Appends::append_shared(OpenInode& file, const Buffer& bytes) {
    TRY(wait_for(*file.data, bytes));
    TRY(publisher_.publish_in_turn(file));
    return {};
}

void Appends::let_go_wanted() {
    for (auto& file : open_inodes_.all()) {
        MyTurn turn(file->turn);
        if (!file->has_append_lease) continue;
        auto inode = meta_.get(file->ino);
        if (!inode || inode->writer != kSeveral) continue;
        file->shares_appends = true;
        if (publisher_.publish_in_turn(*file)) let_go(*file);  // else its bytes are not at their place yet
    }
}

void Appends::close(OpenInode& file) {
    MyTurn turn(file.turn);
    if (!file.has_append_lease) return;
    if (publisher_.publish_in_turn(file)) let_go(file);
}

}  // namespace meshfs
