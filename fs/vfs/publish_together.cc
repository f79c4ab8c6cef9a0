// Small files that were closed, stored together: a segment of a pack for hundreds of them, then each is published, which in a
// group that this mount has for itself is memory only.
//
// A file that is closed must be seen by others who open it then.  While nobody else can read its group, nobody opens it: so
// it is only *owed*, and Meta has it paid before the group can be read (Meta::owe).  Who pays is waited for by one who lets go of
// a group, and waits for nothing but the store and the turn of files that are owed: those lie in that group, so whoever
// has such a turn is waiting for no other, or settles the debt first.
#include <algorithm>

#include "fs/base/log.h"
#include "fs/base/wire.h"
#include "fs/vfs/publisher.h"

namespace meshfs {

bool Publisher::owe_in_turn(const std::shared_ptr<OpenInode>& file) {
    const bool is_alone = meta_.keep_name_ns() > 0;
    const uint64_t before = file->owed, size = file->data->size();
    const bool may_wait = file->role == OpenInode::Role::none && (is_alone || file->is_new) && file->data->can_pack() &&
                          owed_ - before + size <= kOwedMax;
    if (!may_wait) return false;
    // Before Meta is asked: whoever pays from then on finds it.
    file->owed = size;
    owed_ += size - before;
    if (!is_alone && !meta_.owe(file->ino, file->version)) {
        // An earlier close of it was told already: that debt stays until it is published, and who has to pay waits for that.
        if (before == 0) settle(*file);
        return false;
    }
    mark_dirty(file);
    if (owed_since_ += size; owed_since_ >= kSegmentRoom) {
        owed_since_ = 0;
        (void)flushers_.try_post([this] { pay_full_segments(); });
    }
    return true;
}

void Publisher::settle(OpenInode& file) {
    const uint64_t owed = file.owed.exchange(0);
    if (owed == 0) return;
    owed_ -= owed;
    file.turn.look_again();
}

bool Publisher::may_go_together(OpenInode& file) {
    if (file.role != OpenInode::Role::none) return false;
    {
        MutexLock lock(file.mutex);
        if (file.owed == 0 && file.writers > 0) return false;
    }
    return file.data->can_pack();
}

// Those of the files that go into segments leave the list, in the order of their numbers, by which those made one after
// the other are neighbours.  Not the last segment, if it may become fuller; and one file alone would share nothing.
std::vector<Publisher::Files> Publisher::take_together(Files& files, Which which) {
    auto small = std::partition(files.begin(), files.end(), [&](auto& file) { return !may_go_together(*file); });
    std::sort(small, files.end(), [](const auto& a, const auto& b) { return a->ino < b->ino; });
    std::vector<Files> all;
    uint64_t room = 0;
    for (auto file = small; file != files.end(); ++file) {
        const uint64_t more = room_in_segment((*file)->data->size());
        if (all.empty() || room + more > kSegmentRoom) all.emplace_back(), room = 0;
        room += more;
        all.back().push_back(*file);
    }
    files.erase(small, files.end());
    if (!all.empty() && (which == Which::full || all.back().size() == 1)) {
        files.insert(files.end(), all.back().begin(), all.back().end());
        all.pop_back();
    }
    return all;
}

void Publisher::store_together(const Files& files) {
    std::vector<Data::Packing> packing;
    for (const auto& file : files) packing.push_back({file->data.get(), file->ino, file->version + 1});
    data_.pack(packing);
}

void Publisher::publish_together(const Files& files) {
    for (const auto& file : files) file->is_dirty_listed = false;
    store_together(files);
    for (const auto& file : files) publish_taken(file);
}

Publisher::Files Publisher::take_owed() {
    owed_since_ = 0;
    MutexLock lock(mutex_);
    auto owed = std::partition(marked_.begin(), marked_.end(), [](const auto& file) { return file->owed == 0; });
    Files files(owed, marked_.end());
    marked_.erase(owed, marked_.end());
    return files;
}

void Publisher::pay_all() {
    Files files = take_owed();
    for (const Files& together : take_together(files, Which::all)) publish_together(together);
    for (const auto& file : files) publish_queued(file);
}

void Publisher::pay_soon() {
    if (owed_ > 0) (void)flushers_.try_post([this] { pay_all(); });
}

void Publisher::pay_full_segments() {
    Files files = take_owed();
    const auto full = take_together(files, Which::full);
    {
        MutexLock lock(mutex_);
        marked_.insert(marked_.end(), files.begin(), files.end());
    }
    for (const auto& file : files) owed_since_ += file->owed;
    for (const Files& together : full) publish_together(together);
}

// They stay marked, and whoever takes them then finds nothing to do.
bool Publisher::pay(GroupId group) {
    Files owed;
    for (auto& file : open_inodes_.all())
        if (file->owed > 0 && place_of(file->ino).group == group) owed.push_back(file);
    Files others = owed;
    for (const Files& together : take_together(others, Which::all)) store_together(together);
    bool was_stored = false, has_failed = false;
    for (const auto& file : owed) {
        if (!file->turn.take_unless([&file] { return file->owed == 0; })) continue;
        TurnTaken turn(file->turn);
        auto done = publish_in_turn(*file);
        was_stored |= done.ok();
        has_failed |= !done.ok();
        if (!done)
            log_error("a file's bytes could not be stored before others look at it; they are kept and tried again",
                      {{"inode", hex(raw(file->ino))}, {"error", done.error().text()}});
        settle(*file);
    }
    return was_stored && !has_failed;
}

}  // namespace meshfs
