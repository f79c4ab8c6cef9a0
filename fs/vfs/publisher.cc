#include "fs/vfs/publisher.h"

#include <algorithm>

#include "fs/base/log.h"
#include "fs/base/wire.h"
#include "fs/vfs/permission.h"

namespace meshfs {

uint64_t sectors_shown(const FileMap& published, FileData& open) {
    constexpr uint64_t kSector = 512;
    uint64_t bytes = published.bytes;
    const uint64_t size = open.size();
    if (size > published.size) bytes += size - published.size;
    if (bytes == 0 && size > 0 && open.is_dirty()) bytes = kSector;
    return (bytes + kSector - 1) / kSector;
}

Result<std::optional<Inode>> Publisher::publish(OpenInode& file, const Also& also) {
    MyTurn turn(file.turn);
    return publish_in_turn(file, also);
}

Result<Publication> Publisher::flush_in_turn(OpenInode& file) {
    auto flushed = on_stored_bytes(file, [&file] { return file.data->flush(); });
    if (!flushed) note_error(file, flushed.error());
    return flushed;
}

// While the inode names this mount as its writer nobody takes it for stable, so bytes may change where they are.
Status Publisher::publish_data(OpenInode& file) {
    MyTurn turn(file.turn);
    if (file.role == OpenInode::Role::alone) {
        auto flushed = flush_in_turn(file);
        if (!flushed) return flushed.error();
        if (!flushed->changes_map) return {};
    }
    TRY(publish_in_turn(file));
    return {};
}

Result<std::optional<Inode>> Publisher::publish_in_turn(OpenInode& file, const Also& also) {
    for (int round = 0; round < kRoundsMax; ++round) {
        auto flushed = flush_in_turn(file);
        if (!flushed) return flushed.error();
        const Publication& what = *flushed;
        Time touched, times_set;
        std::optional<Time> atime;
        {
            MutexLock lock(file.mutex);
            touched = file.touched;
            times_set = file.times_set;
            atime = file.atime;
        }
        Time written = std::max(what.changed ? what.mtime : Time(), touched);
        if (!what.changed && written == Time() && !atime && !also) {
            settle(file);
            return std::optional<Inode>();
        }
        if (what.changed && written == Time()) written = clock_.now();
        const bool kills = file.kills_privileges.exchange(false);

        std::optional<Inode> others;  // another mount has published since
        bool was_refused = false;
        uint64_t sectors_before = 0;
        auto changed = meta_.change(file.ino, [&](InodeChange& change) -> Status {
            Inode& inode = change.inode;
            others.reset();
            if (what.changed && inode.content_version != file.version) {
                others = inode;
                return fail(ECANCELED);
            }
            if (what.changed) {
                sectors_before = sectors_shown(inode.map, *file.data);
                inode.map = what.map;
                ++inode.content_version;
                change.freed = what.freed;
            }
            if (kills) clear_privileges(inode);
            if (written > times_set) inode.mtime = written;
            inode.ctime = std::max(inode.ctime, written);
            if (atime && *atime > inode.atime) inode.atime = *atime;
            if (!also) return {};
            Status done = also(inode);
            was_refused = !done;
            return done;
        });
        if (!changed && kills) file.kills_privileges = true;
        if (others) {
            if (Status done = rebase(file, *others); !done) {
                note_error(file, done.error());
                return done.error();
            }
            continue;
        }
        bool is_nowhere = changed.code() == ESTALE && !also && is_unlinked(file.ino);
        if (!changed && !is_nowhere) {
            if (!was_refused) note_error(file, changed.error());
            return changed.error();
        }
        if (is_nowhere) file.data->lost(what);
        else file.data->published(what);
        settle(file);
        if (!is_nowhere) {
            if (what.changed) file.version = changed->content_version;
            if (what.changed && sectors_shown(changed->map, *file.data) != sectors_before) room_changed_(file.ino);
            file.is_new = false;
            take_over_in_turn(file, *changed);  // with nothing of our own, what another mount has published
            if (!file.are_pages_stale) open_inodes_.remember(file.ino, changed->content_version);
            else open_inodes_.remember(file.ino, {});
        }
        MutexLock lock(file.mutex);
        if (file.touched == touched) file.touched = {};
        if (file.atime == atime) file.atime.reset();
        if (is_nowhere) return std::optional<Inode>();
        return std::optional<Inode>(std::move(*changed));
    }
    Error busy = fail(EIO, "other mounts publish inode " + hex(raw(file.ino)) + " all the time");
    note_error(file, busy);
    return busy;
}

// What it had in a pack is elsewhere by now?
bool Publisher::looks_anew_in_turn(OpenInode& file) {
    auto now = meta_.get(file.ino);
    return now.ok() && now->content_version != file.version && rebase(file, *now).ok();
}

// Its name is gone, and its directory with the place where its inode was kept: nobody will look there, and who has it
// open here has its bytes.
bool Publisher::is_unlinked(Ino ino) {
    auto inode = meta_.get(ino);
    return inode.ok() && inode->links == 0;
}

Status Publisher::rebase(OpenInode& file, const Inode& inode) {
    TRY(file.data->rebase(inode.map));
    file.version = inode.content_version;
    file.are_pages_stale = true;
    ++file.takeovers;
    others_wrote_(file.ino);
    return {};
}

void Publisher::give_up(OpenInode& file) {
    bool was_loss = file.data->is_dirty();
    file.data->begin_anew();
    settle(file);
    {
        MutexLock lock(file.mutex);
        was_loss |= file.touched != Time();
        file.touched = {};
        file.atime.reset();
    }
    if (!was_loss) return;
    log_error("bytes of a file were lost: another mount declared this one dead before they were stored",
              {{"inode", hex(raw(file.ino))}});
    note_error(file, fail(EIO));
}

void Publisher::take_over(OpenInode& file, const Inode& inode) {
    file.looks_anew = inode.writer == kSeveral;
    if (inode.content_version <= file.version) return;
    MyTurn turn(file.turn);
    take_over_in_turn(file, inode);
}

void Publisher::take_over_in_turn(OpenInode& file, const Inode& inode) {
    file.looks_anew = inode.writer == kSeveral;
    // If it fails the older version stays, and who publishes on that finds out and tries again.
    if (inode.content_version > file.version) (void)rebase(file, inode);
}

void Publisher::take_over_anew(OpenInode& file, const Inode& inode) {
    file.looks_anew = inode.writer == kSeveral;
    (void)rebase(file, inode);
}

void Publisher::mark_dirty(const std::shared_ptr<OpenInode>& file) {
    if (file->is_dirty_listed.exchange(true)) return;
    open_inodes_.use_again(*file);
    MutexLock lock(mutex_);
    marked_.push_back(file);
}

void Publisher::publish_soon(const std::shared_ptr<OpenInode>& file) {
    mark_dirty(file);  // whoever queues it takes over this use
    std::shared_ptr<OpenInode> taken;
    {
        MutexLock lock(mutex_);
        auto at = std::find(marked_.begin(), marked_.end(), file);
        if (at == marked_.end()) return;  // a flusher has it
        taken = std::move(*at);
        *at = std::move(marked_.back());
        marked_.pop_back();
    }
    if (flushers_.try_post([this, taken] { publish_queued(taken); })) return;
    MutexLock lock(mutex_);
    marked_.push_back(taken);
}

// One piece a time, so that one file does not keep the others waiting.
void Publisher::send_soon(const std::shared_ptr<OpenInode>& file) {
    open_inodes_.use_again(*file);
    bool is_taken = senders_.try_post([this, file] {
        if (file->data->send()) send_soon(file);
        open_inodes_.done(file);
    });
    if (!is_taken) open_inodes_.done(file);  // the next flush stores it all the same
}

void Publisher::publish_marked() {
    std::vector<std::shared_ptr<OpenInode>> files;
    {
        MutexLock lock(mutex_);
        files.swap(marked_);
    }
    for (const Files& together : take_together(files, Which::all))
        if (!flushers_.try_post([this, together] { publish_together(together); }))
            files.insert(files.end(), together.begin(), together.end());
    for (auto& file : files) {
        if (flushers_.try_post([this, file] { publish_queued(file); })) continue;
        MutexLock lock(mutex_);
        marked_.push_back(file);
    }
}

void Publisher::publish_queued(const std::shared_ptr<OpenInode>& file) {
    file->is_dirty_listed = false;  // from here on a write marks it anew
    publish_taken(file);
}

// Of a file that is gone nobody will ask when it was read; and its directory may be gone, too, and to find it takes several calls.
bool Publisher::is_needless(OpenInode& file) {
    if (!file.is_unlinked || file.owed > 0 || file.data->is_dirty()) return false;
    MutexLock lock(file.mutex);
    return file.touched == Time();
}

void Publisher::publish_taken(const std::shared_ptr<OpenInode>& file) {
    if (is_needless(*file)) return open_inodes_.done(file);
    auto done = publish(*file);
    auto nameless = !done && open_inodes_.is_last_use(*file) ? meta_.get(file->ino) : Result<Inode>(fail(ENOENT));
    if (nameless.ok() && nameless->links == 0) {
        // Nobody can read it here any more, and what of it is stored may be the room that is missing.  Where other mounts
        // may be, one of them may have it open, and reads what is published.
        const bool is_alone = meta_.keep_name_ns() > 0;
        {
            MyTurn turn(file->turn);
            (void)file->data->truncate(is_alone ? 0 : std::min(nameless->map.size, file->data->size()));
        }
        done = publish(*file);
    }
    if (!done) {
        log_error("a file's bytes could not be stored; they are kept and tried again",
                  {{"inode", hex(raw(file->ino))}, {"error", done.error().text()}});
        mark_dirty(file);
    }
    open_inodes_.done(file);
}

Status Publisher::publish_durably(OpenInode& file) {
    if (file.owed > 0) pay_all();
    TRY(publish(file));
    auto committed = meta_.commit();
    if (!committed) note_error(file, committed.error());
    return committed;
}

// What goes together first: else each would go alone.
Status Publisher::publish_all() {
    Files files;
    {
        MutexLock lock(mutex_);
        files.swap(marked_);
    }
    std::vector<std::function<void()>> packing;
    for (const Files& together : take_together(files, Which::all))
        packing.push_back([this, together] { publish_together(together); });
    {
        MutexLock lock(mutex_);
        marked_.insert(marked_.end(), files.begin(), files.end());
    }
    run_all(std::move(packing));
    publish_marked();
    struct First {
        Mutex mutex;
        std::optional<Error> error GUARDED_BY(mutex);
    };
    auto first = std::make_shared<First>();
    std::vector<std::function<void()>> publishing;
    for (auto& file : open_inodes_.all()) {
        if (is_needless(*file)) continue;
        publishing.push_back([this, first, file] {
            auto done = publish(*file);
            MutexLock lock(first->mutex);
            if (!done && !first->error) first->error = done.error();
        });
    }
    run_all(std::move(publishing));
    Status committed = meta_.commit();
    MutexLock lock(first->mutex);
    if (first->error) return *first->error;
    return committed;
}

// By the flushers; returns when all are done.
void Publisher::run_all(std::vector<std::function<void()>> tasks) {
    struct Left {
        Mutex mutex;
        CondVar done;
        size_t count GUARDED_BY(mutex) = 0;
    };
    auto left = std::make_shared<Left>();
    {
        MutexLock lock(left->mutex);
        left->count = tasks.size();
    }
    for (auto& task : tasks) {
        auto counted = [left, task = std::move(task)] {
            task();
            MutexLock lock(left->mutex);
            if (--left->count == 0) left->done.notify_all();
        };
        if (!flushers_.post(counted)) counted();
    }
    MutexLock lock(left->mutex);
    while (left->count > 0) left->done.wait(left->mutex);
}

void Publisher::stop() {
    senders_.stop();
    flushers_.stop();
    std::vector<std::shared_ptr<OpenInode>> files;
    {
        MutexLock lock(mutex_);
        files.swap(marked_);
    }
    for (auto& file : files) open_inodes_.done(file);
}

void Publisher::note_error(OpenInode& file, const Error& error) {
    MutexLock lock(file.mutex);
    ++file.errors;
    file.last_error = error.code();
    file.error_was_told = false;
}

// As Linux does it (errseq): who opens after an error nobody has heard of hears of it too.
void Publisher::begin_errors(OpenInode& file, Handle& handle) {
    MutexLock lock(file.mutex);
    handle.errors_known = file.error_was_told ? file.errors : file.errors - 1;
}

Status Publisher::tell_error(OpenInode& file, Handle& handle) {
    MutexLock lock(file.mutex);
    if (handle.errors_known.exchange(file.errors) == file.errors) return {};
    file.error_was_told = true;
    return fail(file.last_error);
}

}  // namespace meshfs
