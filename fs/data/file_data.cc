#include "fs/data/file_data.h"

#include <algorithm>

namespace meshfs {

FileDataNow::FileDataNow(std::shared_ptr<Data::Core> core, Ino ino, const FileMap& map)
    : core_(std::move(core)), ino_(ino), map_(map), published_map_(map), size_(map.size) {}

FileDataNow::~FileDataNow() {
    discard();
    MutexLock lock(mutex_);
    while (!reads_.empty()) changed_.wait(mutex_);
}

FileDataNow::Exclusive::Exclusive(FileDataNow& file, Sends sends) : file_(file) {
    MutexLock lock(file_.mutex_);
    while (file_.is_exclusive_) file_.changed_.wait(file_.mutex_);
    file_.is_exclusive_ = true;
    if (sends == Sends::go_on) return;
    file_.is_quiet_ = true;
    while (!file_.sendings_.empty()) file_.changed_.wait(file_.mutex_);
}

FileDataNow::Exclusive::~Exclusive() {
    {
        MutexLock lock(file_.mutex_);
        file_.is_exclusive_ = file_.is_quiet_ = false;
        file_.changed_.notify_all();
    }
    file_.ask_to_send();
}

uint64_t FileDataNow::size() {
    MutexLock lock(mutex_);
    return size_;
}

bool FileDataNow::is_dirty() {
    MutexLock lock(mutex_);
    return !dirty_.empty() || !sending_.empty() || unpublished_;
}

Time FileDataNow::mtime() {
    MutexLock lock(mutex_);
    return mtime_;
}

// Hostile metadata: what the map says is checked before a byte is moved by it.
Status FileDataNow::check(const FileMap& map) const {
    TRY(check_layout(map.layout));
    if (!are_valid(map.extents) || (!map.inline_bytes.empty() && !map.extents.empty()))
        return fail(EIO, "the extents of inode " + std::to_string(raw(ino_)) + " are damaged");
    return {};
}

// Answers those who have room now, because it replaced what was dirty.
Answers FileDataNow::accept(uint64_t offset, Buffer bytes) {
    uint64_t before = dirty_.bytes(), length = bytes.size();
    dirty_.put(offset, std::move(bytes));
    note_whole_pieces({offset, length});
    size_ = std::max(size_, offset + length);
    mtime_ = core_->clock.now();
    unpublished_ = true;
    ++changes_;
    return core_->budget.release(before + length - dirty_.bytes());
}

void FileDataNow::write(uint64_t offset, Buffer bytes, Then<void> then) {
    if (offset > kFileSizeMax || bytes.size() > kFileSizeMax - offset) return then(fail(EFBIG));
    if (Status room = core_->budget.check_room(); !room) return then(room.error());
    uint64_t length = bytes.size();
    // Counted first: a flush that takes these bytes must find them in the budget.
    core_->budget.count(length);
    Answers others;
    {
        MutexLock lock(mutex_);
        others.add(accept(offset, std::move(bytes)));
    }
    ask_to_send();
    ask_for_flush();
    core_->budget.answer(length, [then = std::move(then)] { then({}); });  // last: its caller may end this file
}

// Once a flush: when this file has much to store that does not leave by itself, or all of them together.
void FileDataNow::ask_for_flush() {
    {
        MutexLock lock(mutex_);
        uint64_t whole = std::min(dirty_.bytes(), whole_pieces_.size() * piece_bytes());
        bool is_wanted = dirty_.bytes() - whole >= kFlushBytes || core_->budget.needs_flush();
        if (flush_asked_ || !is_wanted) return;
        flush_asked_ = true;
    }
    if (core_->hooks.flush_wanted) core_->hooks.flush_wanted(ino_);
}

void FileDataNow::append(Buffer bytes, Then<uint64_t> then) {
    if (Status room = core_->budget.check_room(); !room) return then(room.error());
    uint64_t length = bytes.size(), offset = 0;
    Answers others;
    {
        MutexLock lock(mutex_);
        offset = size_;
        if (length <= kFileSizeMax - offset) {
            core_->budget.count(length);
            others.add(accept(offset, std::move(bytes)));
        }
    }
    if (length > kFileSizeMax - offset) return then(fail(EFBIG));
    ask_to_send();
    ask_for_flush();
    core_->budget.answer(length, [then = std::move(then), offset] { then(offset); });
}

void FileDataNow::published(const Publication& what) {
    MutexLock lock(mutex_);
    if (what.number != number_ || !what.changed) return;
    published_map_ = what.map;
    std::erase_if(freed_, [&](const Extent& e) {
        return std::find(what.freed.begin(), what.freed.end(), e) != what.freed.end();
    });
    leave_packs_of(what);
    ranges_in_publication_.clear();
    truncated_to_.reset();
    grown_to_ = 0;
    cleared_.clear();
    if (changes_ != changes_in_publication_) return;
    unpublished_ = false;
    mtime_ = {};
}

void FileDataNow::lost(const Publication& what) {
    {
        MutexLock lock(mutex_);
        note_left_over();
    }
    published(what);
}

void FileDataNow::set_alone(bool alone) {
    MutexLock lock(mutex_);
    is_alone_ = alone;
    fresh_ = {};
}

void FileDataNow::closed() {
    Exclusive alone(*this, Exclusive::Sends::have_ended);
    MutexLock lock(mutex_);
    if (unpublished_) note_left_over();
    for (const auto& [blob, objects] : reached_)
        if (core_->hooks.forget_reach && !left_over_.contains(blob)) core_->hooks.forget_reach(blob);
    for (const Extent& member : members_) core_->packer.left(member.blob, left_over_.contains(member.blob));
    reached_.clear();
    members_.clear();
}

// What was stored there may never be mapped: its record stays until this session is over, and gc looks.
void FileDataNow::note_left_over() {
    for (const auto& [blob, objects] : reached_) left_over_.insert(blob);
    for (const Extent& member : members_) left_over_.insert(member.blob);
}

void FileDataNow::discard() {
    Exclusive alone(*this, Exclusive::Sends::have_ended);
    Answers others;
    MutexLock lock(mutex_);
    if (unpublished_) note_left_over();
    others.add(drop_dirty({0, UINT64_MAX}));
    failed_.clear();
    unpublished_ranges_.clear();
    ranges_in_publication_.clear();
    truncated_to_.reset();
    grown_to_ = 0;
    cleared_.clear();
    clears_again_ = false;
    freed_.clear();
    size_ = map_.size;
    unpublished_ = false;
    mtime_ = {};
}

// Their records went with the session, and gc looks what of them is mapped: not what would be added from now
// on.
void FileDataNow::begin_anew() {
    discard();
    MutexLock lock(mutex_);
    reached_.clear();
    members_.clear();
    left_over_.clear();
    fresh_ = {};
}

}  // namespace meshfs
