#include "fs/data/file_data.h"

#include <algorithm>

namespace meshfs {

FileDataNow::FileDataNow(std::shared_ptr<Data::Core> core, Ino ino, const FileMap& map)
    : core_(std::move(core)), ino_(ino), map_(map), size_(map.size) {}

FileDataNow::~FileDataNow() {
    discard();
    MutexLock lock(mutex_);
    while (!reads_.empty()) changed_.wait(mutex_);
}

FileDataNow::Exclusive::Exclusive(FileDataNow& file) : file_(file) {
    MutexLock lock(file_.mutex_);
    while (file_.is_exclusive_) file_.changed_.wait(file_.mutex_);
    file_.is_exclusive_ = true;
}

FileDataNow::Exclusive::~Exclusive() {
    MutexLock lock(file_.mutex_);
    file_.is_exclusive_ = false;
    file_.changed_.notify_all();
}

uint64_t FileDataNow::size() {
    MutexLock lock(mutex_);
    return size_;
}

bool FileDataNow::is_dirty() {
    MutexLock lock(mutex_);
    return !dirty_.empty() || !flushing_.empty() || unpublished_;
}

Time FileDataNow::mtime() {
    MutexLock lock(mutex_);
    return mtime_;
}

// Hostile metadata: what the map says is checked before a byte is moved by it.
Status FileDataNow::check_map() const {
    TRY(check_layout(map_.layout));
    if (!are_valid(map_.extents) || (!map_.inline_bytes.empty() && !map_.extents.empty()))
        return fail(EIO, "the extents of inode " + std::to_string(raw(ino_)) + " are damaged");
    return {};
}

void FileDataNow::accept(uint64_t offset, Buffer bytes) {
    uint64_t before = dirty_.bytes(), length = bytes.size();
    dirty_.put(offset, std::move(bytes));
    core_->budget.drop(before + length - dirty_.bytes());  // what it replaced
    size_ = std::max(size_, offset + length);
    mtime_ = core_->clock.now();
    unpublished_ = true;
    ++changes_;
}

void FileDataNow::write(uint64_t offset, Buffer bytes, Then<void> then) {
    if (offset > kFileSizeMax || bytes.size() > kFileSizeMax - offset) return then(fail(EFBIG));
    uint64_t length = bytes.size();
    // Counted first: a flush that takes these bytes must find them in the budget.
    core_->budget.count(length);
    {
        MutexLock lock(mutex_);
        accept(offset, std::move(bytes));
    }
    ask_for_flush();
    core_->budget.answer(length, [then = std::move(then)] { then({}); });  // last: its caller may end this file
}

// Once a flush: when this file has much to store, or all of them together.
void FileDataNow::ask_for_flush() {
    {
        MutexLock lock(mutex_);
        bool is_wanted = dirty_.bytes() >= kFlushBytes || core_->budget.is_short();
        if (flush_asked_ || !is_wanted) return;
        flush_asked_ = true;
    }
    if (core_->hooks.flush_wanted) core_->hooks.flush_wanted(ino_);
}

void FileDataNow::append(Buffer bytes, Then<uint64_t> then) {
    uint64_t length = bytes.size(), offset = 0;
    {
        MutexLock lock(mutex_);
        offset = size_;
        if (length <= kFileSizeMax - offset) {
            core_->budget.count(length);
            accept(offset, std::move(bytes));
        }
    }
    if (length > kFileSizeMax - offset) return then(fail(EFBIG));
    ask_for_flush();
    core_->budget.answer(length, [then = std::move(then), offset] { then(offset); });
}

void FileDataNow::published(const Publication& what) {
    MutexLock lock(mutex_);
    if (what.number != number_ || !what.changed) return;
    freed_.clear();
    unpublished_bytes_.clear();
    truncated_to_.reset();
    grown_to_ = 0;
    cleared_.clear();
    if (changes_ != changes_in_publication_) return;
    unpublished_ = false;
    mtime_ = {};
}

void FileDataNow::rebase(const FileMap& map) {
    Exclusive alone(*this);
    MutexLock lock(mutex_);
    FileMap mine = std::exchange(map_, map);
    fresh_ = {};
    freed_.clear();
    if (unpublished_) {
        // Own changes again, on the other mount's.
        if (truncated_to_) {
            cut_map(*truncated_to_);
            map_.size = *truncated_to_;
        }
        map_.size = std::max(map_.size, grown_to_);
        clears_again_ = !cleared_.empty();
        keep_stored(mine);
    }
    size_ = std::max(map_.size, dirty_.end());
}

// Bytes that this mount stored by `mine`, not yet published, under the map of another.
void FileDataNow::keep_stored(const FileMap& mine) {
    Dirty moved;  // to be stored once more, elsewhere
    for (const auto& [offset, bytes] : unpublished_bytes_.pieces()) {
        for (const Mapped& stored : map_range(mine.extents, {offset, bytes.size()})) {
            BlobId blob = stored.extent ? stored.extent->blob : BlobId{};
            for (const Mapped& part : map_range(map_.extents, stored.range)) {
                bool is_there = part.extent && part.extent->blob == blob;
                bool may_be_there = !part.extent && blob != BlobId{} && open_end(map_.extents) == blob;
                if (clears_again_ || (!is_there && !may_be_there)) {
                    moved.put(part.range.offset, bytes.slice(part.range.offset - offset, part.range.length));
                    continue;
                }
                map_.size = std::max(map_.size, part.range.end());
                if (is_there) continue;
                add_own(map_.extents, part.range, blob, false);
                map_.bytes += part.range.length;
            }
        }
    }
    for (const auto& [offset, bytes] : moved.pieces()) unpublished_bytes_.drop({offset, bytes.size()});
    uint64_t before = dirty_.bytes();
    dirty_.put_below(moved);
    core_->budget.count(dirty_.bytes() - before);
}

void FileDataNow::set_alone(bool alone) {
    Exclusive exclusive(*this);
    MutexLock lock(mutex_);
    is_alone_ = alone;
    fresh_ = {};
}

void FileDataNow::discard() {
    Exclusive alone(*this);
    MutexLock lock(mutex_);
    core_->budget.stored(dirty_.bytes() + flushing_.bytes());
    dirty_.clear();
    flushing_.clear();
    unpublished_bytes_.clear();
    truncated_to_.reset();
    grown_to_ = 0;
    cleared_.clear();
    clears_again_ = false;
    freed_.clear();
    size_ = map_.size;
    unpublished_ = false;
    mtime_ = {};
}

}  // namespace meshfs
