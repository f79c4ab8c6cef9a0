#include "fs/vfs/core.h"

#include "fs/base/log.h"
#include "fs/vfs/data_hooks.h"

namespace meshfs {
namespace {

constexpr size_t kWorkers = 8;
constexpr size_t kWorkersQueueMax = 4096;
constexpr uint64_t kSector = 512;

}  // namespace

VfsCore::VfsCore(Store& store_, Meta& meta_, Clock& clock_, VfsSettings settings_)
    : store(store_), meta(meta_), clock(clock_), settings(std::move(settings_)), commit_ns(settings.commit_ns),
      is_shared(!store_.is_exclusive()) {
    workers = std::make_unique<Executor>("vfs", kWorkers, kWorkersQueueMax);
    DataSettings data_settings = settings.data;
    data_settings.flush_after_ns = settings.commit_ns;
    DataHooks hooks = data_hooks(meta);
    hooks.flush_wanted = [this](Ino ino) {
        if (auto file = open_inodes->find(ino)) publisher->publish_soon(file);
        publisher->pay_soon();
    };
    hooks.send_wanted = [this](Ino ino) {
        if (auto file = open_inodes->find(ino)) publisher->send_soon(file);
    };
    data = std::make_unique<Data>(store, clock, data_settings, std::move(hooks));
    open_inodes = std::make_unique<OpenInodes>(
        meta, [this](const Inode& inode) { return data->open(inode.ino, inode.map); });
    publisher = std::make_unique<Publisher>(
        meta, clock, *open_inodes, *data, [this](Ino ino) { changed_inode(false, ino); }, [this](Ino ino) { forget_attributes(ino); });
    if (is_shared && !settings.read_only) sharing = std::make_unique<Sharing>(meta, clock, *publisher, *open_inodes);
    purger = std::make_unique<Purger>(store, meta, *data);

    bool local = locks_locally();
    LockWaits::Watch watch;
    if (!local) watch = [this](Ino ino, std::function<void()> changed) { meta.watch_locks(ino, std::move(changed)); };
    lock_waits = std::make_unique<LockWaits>(
        *workers,
        [this](Ino ino, const FileLock& wanted, FileLock* conflict) {
            return try_lock(ino, wanted, conflict);
        },
        std::move(watch));
    if (sharing != nullptr) meta.on_due([this](GroupId group) { return publisher->pay(group); });
    meta.on_anew([this] { give_up_unpublished(); }, [this] { begin_anew(); });
    house_ = Thread("vfs-house", [this] { keep_house(); });
}

VfsCore::~VfsCore() {
    if (auto done = stop(); !done)
        log_error("bytes were left unstored at the end", {{"error", done.error().text()}});
}

void VfsCore::keep_house() {
    // Waiting is on the system's clock, also where a test sets file times by hand.
    Clock& waiting = Clock::system();
    while (true) {
        {
            int64_t began = waiting.boot_ns();
            MutexLock lock(house_mutex_);
            while (!stopping_ && house_wakes_.wait_until(house_mutex_, began + commit_ns)) {
            }
            if (stopping_) return;
        }
        publisher->publish_marked();
        if (auto due = directory_atimes.take_due(Clock::system().boot_ns()); !due.empty())
            if (!workers->try_post([this, due = std::move(due)] { write_atimes(due, false); })) directory_atimes.put_away();
        data->close_old_packs();
        if (is_shared) {
            if (sharing != nullptr) sharing->look_around();
            unlock_again();
            lock_waits->try_all_again();
        }
        if (!settings.read_only) purger->wake();
    }
}

void VfsCore::set_commit(int64_t ns) {
    MutexLock lock(house_mutex_);
    commit_ns = ns;
    meta.set_commit(ns);
    house_wakes_.notify_all();
}

// Order: nothing new by itself, open files, bytes, then what they stand on.
Status VfsCore::stop() {
    if (stopped_) return {};
    stopped_ = true;
    meta.on_anew(nullptr, nullptr);
    {
        MutexLock lock(house_mutex_);
        stopping_ = true;
        house_wakes_.notify_all();
    }
    house_.join();
    meta.unwatch_locks();
    lock_waits->stop();
    write_atimes(directory_atimes.take_last(), true);
    Status stored = publisher->publish_all();
    if (sharing != nullptr) sharing->stop();
    for (uint64_t number : handles.numbers()) {
        auto handle = handles.remove(number);
        if (handle == nullptr || handle->kind != Handle::Kind::file) continue;
        (void)close_for_writing(*handle);  // what cannot be stored now is lost, and was told of by publish_all()
        open_inodes->done(handle->file);
    }
    meta.on_due(nullptr);
    workers->stop();
    publisher->stop();
    purger->stop();
    for (auto& file : open_inodes->all()) file->data->discard();
    data->stop();
    return stored;
}

Attributes VfsCore::attributes_of(Inode inode, std::optional<uint64_t> since) {
    note_flags(inode);
    Attributes a;
    a.name_valid_ns = since && keeps_names ? meta.keep_name(inode, *since) : meta.keep_name_ns();
    a.valid_ns = since ? meta.promise(inode, *since) : a.name_valid_ns;
    a.blocks = (inode.map.bytes + kSector - 1) / kSector;
    if (auto file = inode.is_file() ? open_inodes->find(inode.ino) : nullptr) {
        if (is_shared && file->turn.try_take()) {  // who has it finds out by himself
            TurnTaken turn(file->turn);
            publisher->take_over_in_turn(*file, inode);
        }
        if (is_shared && inode.content_version > file->version) a.valid_ns = 0;  // it is shown as it was before
        // A larger size over a page of before would show zeros that nobody wrote.
        if (is_shared && file->takeovers != file->takeovers_told) wait_for_pages(file);
        Time written = file->data->mtime();
        MutexLock lock(file->mutex);
        written = std::max(written, file->touched);
        if (written > file->times_set) inode.mtime = written;
        inode.ctime = std::max(inode.ctime, written);
        if (file->atime) inode.atime = std::max(inode.atime, *file->atime);
        a.blocks = sectors_shown(inode.map, *file->data);
        inode.map.size = file->data->size();
    }
    if (inode.is_directory())
        if (auto atime = directory_atimes.of(inode.ino)) inode.atime = std::max(inode.atime, *atime);
    if (inode.ino == settings.root) inode.ino = kRootIno;
    a.inode = std::move(inode);
    return a;
}

// Linux takes what it is told of what was made for new, even if it has been told since to forget that.  So it is kept as the name is,
// or, of what is in a group of its own, not at all.
Attributes VfsCore::attributes_of_new(Inode inode, uint64_t since) {
    const bool is_in_one = inode.from.group == inode.from.names || !is_shared;
    Attributes a = attributes_of(std::move(inode), since);
    a.valid_ns = is_in_one ? std::min(a.valid_ns, a.name_valid_ns) : 0;
    return a;
}

Result<Attributes> VfsCore::fresh_attributes(Ino ino) {
    uint64_t since = meta.moment();
    return attributes_of(TRY(meta.get(ino)), since);
}

Status VfsCore::check_name(std::string_view name) {
    if (name.empty()) return fail(ENOENT);
    if (name.size() > kNameMax) return fail(ENAMETOOLONG);
    if (name == "." || name == "..") return fail(EEXIST);
    if (name.find('/') != std::string_view::npos || name.find('\0') != std::string_view::npos) return fail(EINVAL);
    return {};
}

Result<Inode> VfsCore::directory_for_change(const Caller& caller, Ino directory) {
    TRY(check_writable());
    Inode inode = TRY(meta.get(directory));
    if (!inode.is_directory()) return fail(ENOTDIR);
    note_flags(inode);
    TRY(check_takes_names(inode));
    TRY(check_may(caller, inode, W_OK | X_OK));
    return inode;
}

bool VfsCore::wants_atime(const Inode& inode) const {
    constexpr int64_t kDay = 24 * 60 * 60;
    if (settings.read_only || (inode.flags & kNoAtime) != 0) return false;
    switch (settings.atime) {
        case VfsSettings::Atime::noatime: return false;
        case VfsSettings::Atime::strict: return true;
        case VfsSettings::Atime::relatime: break;
    }
    return inode.atime <= inode.mtime || inode.atime <= inode.ctime ||
           clock.now().seconds - inode.atime.seconds >= kDay;
}

void VfsCore::note_read(const std::shared_ptr<OpenInode>& file) {
    bool wanted = settings.atime == VfsSettings::Atime::strict ? file->wants_atime.load()
                                                               : file->wants_atime.exchange(false);
    if (!wanted) return;
    {
        MutexLock lock(file->mutex);
        file->atime = clock.now();
    }
    publisher->mark_dirty(file);
}

void VfsCore::set_atime_later(Ino directory) {
    directory_atimes.note(directory, clock.now(), Clock::system().boot_ns());
    forget_attributes(directory);
}

// A store that refuses one refuses them all: that one is given up, and the others are for the next time.
void VfsCore::write_atimes(const DirectoryAtimes::Noted& noted, bool is_last) {
    for (const auto& [directory, atime] : noted) {
        if (!is_last && is_stopping()) break;
        auto written = meta.change(directory, [&, ino = directory, when = atime](InodeChange& change) -> Status {
            if (directory_atimes.of(ino) == when) change.inode.atime = std::max(change.inode.atime, when);  // else utimes came
            return {};
        });
        directory_atimes.written(directory, atime);
        if (!written.ok() && written.code() != ESTALE && written.code() != ENOENT) break;
    }
    if (!is_last) directory_atimes.put_away();
}

bool VfsCore::is_stopping() {
    MutexLock lock(house_mutex_);
    return stopping_;
}

void VfsCore::note_inode(OpenInode& file, const Inode& inode) {
    note_flags(inode);
    Inode as_seen = inode;
    {
        MutexLock lock(file.mutex);
        if (file.atime) as_seen.atime = *file.atime;  // on its way
    }
    file.wants_atime = wants_atime(as_seen);
    file.may_be_privileged = (inode.mode & (S_ISUID | S_ISGID)) != 0 || inode.xattrs.contains("security.capability");
}

void VfsCore::changed_name(const Caller& caller, Ino directory, std::string_view name, Change::Kind kind, Ino ino) {
    if (auto tell = !caller.is_kernel() ? kernel_hook(&CacheInvalidator::entry) : nullptr)
        tell(outer(directory), std::string(name));
    for (auto& observer : observers) observer({kind, directory, std::string(name), ino});
}

// Not only of what was taken over just now: who did that before may not have been heard yet.
void VfsCore::tell_takeovers(const std::shared_ptr<OpenInode>& file, std::function<void()> then) {
    uint64_t takeovers = file->takeovers;
    if (takeovers == file->takeovers_told) return then();
    tell_kernel(file->ino, [file, takeovers, then = std::move(then)] {
        uint64_t before = file->takeovers_told;
        while (before < takeovers && !file->takeovers_told.compare_exchange_weak(before, takeovers)) {
        }
        then();
    });
}

void VfsCore::wait_for_pages(const std::shared_ptr<OpenInode>& file) {
    constexpr int64_t kWaitNs = kNsPerSecond;
    struct Told {
        Mutex mutex;
        CondVar changed;
        bool is_told GUARDED_BY(mutex) = false;
    };
    auto told = std::make_shared<Told>();
    tell_takeovers(file, [told] {
        MutexLock lock(told->mutex);
        told->is_told = true;
        told->changed.notify_all();
    });
    const int64_t until = clock.boot_ns() + kWaitNs;
    MutexLock lock(told->mutex);
    while (!told->is_told && told->changed.wait_until(told->mutex, until)) {
    }
}

void VfsCore::forget_attributes(Ino ino) {
    if (auto tell = kernel_hook(&CacheInvalidator::attributes_at_once)) tell({outer(ino)});
}

void VfsCore::forget_stale(const Inode& inode) {
    if (!meta.is_promised(inode)) forget_attributes(inode.ino);
}

void VfsCore::tell_kernel(Ino ino, std::function<void()> told) {
    if (auto tell = kernel_hook(&CacheInvalidator::inode)) tell(outer(ino), std::move(told));
    else if (told) told();
}

void VfsCore::took_name(const Inode& inode) {
    if (inode.links > 0) return;
    if (auto file = open_inodes->find(inode.ino)) file->is_unlinked = true;
}

void VfsCore::changed_inode(bool by_kernel, Ino ino) {
    if (!by_kernel) {
        tell_kernel(ino, nullptr);
    }
    for (auto& observer : observers) observer({Change::Kind::changed, {}, {}, ino});
}

std::pair<uint64_t, std::shared_ptr<Handle>> VfsCore::add_handle(const Caller& caller,
                                                                 std::shared_ptr<OpenInode> file, int flags) {
    auto handle = std::make_shared<Handle>();
    handle->kind = Handle::Kind::file;
    handle->ino = file->ino;
    handle->flags = flags;
    handle->checked = !caller.is_kernel();
    handle->file = std::move(file);
    if (handle->writes()) {
        MutexLock lock(handle->file->mutex);
        ++handle->file->writers;
    }
    publisher->begin_errors(*handle->file, *handle);
    return {handles.add(handle), handle};
}

Status VfsCore::change_bytes(OpenInode& file, const std::function<Status()>& change) {
    MyTurn turn(file.turn);
    if (sharing != nullptr) TRY(sharing->enter(file));
    bool is_several = file.role == OpenInode::Role::several;
    if (is_several) publisher->take_over_in_turn(file, TRY(meta.get(file.ino)));
    TRY(change());
    if (is_several) TRY(publisher->publish_in_turn(file));
    return {};
}

Status VfsCore::close_for_writing(Handle& handle) {
    if (!handle.writes()) return {};
    OpenInode& file = *handle.file;
    {
        MutexLock lock(file.mutex);
        if (--file.writers > 0) return {};
    }
    if (sharing == nullptr || file.role == OpenInode::Role::none) return {};
    MyTurn turn(file.turn);
    return sharing->leave(file);
}

Result<std::shared_ptr<Handle>> VfsCore::file_handle(uint64_t number) {
    auto handle = TRY(handles.find(number));
    if (handle->kind == Handle::Kind::directory || handle->kind == Handle::Kind::served_directory)
        return fail(EISDIR);
    if (handle->has_lost_lock) return fail(EIO);
    return handle;
}

}  // namespace meshfs
