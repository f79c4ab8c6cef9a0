// Flushing: all that was accepted goes to the store, then the map says where it is.
#include <algorithm>

#include "fs/data/file_data.h"

namespace meshfs {

static constexpr size_t kExtentsMax = 1024;  // 24 KiB of an inode's record, written with each change

Result<Publication> FileDataNow::flush() {
    Exclusive alone(*this, Exclusive::Sends::go_on);
    TRY(clear_again());
    uint64_t changes = 0, size = 0, last = 0;
    Time mtime;
    std::set<uint64_t> pieces;
    Answers answers;
    for (bool is_begun = false; !is_begun;) {
        TRY(unpack_if_changed());
        MutexLock lock(mutex_);
        if (is_to_unpack()) continue;  // written to since
        is_begun = true;
        flush_asked_ = false;
        failed_.clear();
        TRY(check_map());
        size = size_;
        changes = changes_;
        mtime = mtime_;
        bool is_inline = map_.extents.empty() && sendings_.empty() && dirty_.end() <= kInlineMax;
        if (is_inline) {
            answers.add(put_inline());
            return make_publication(size, mtime, changes);  // before what is written meanwhile makes a blob of it
        }
        leave_inline();
        uint64_t bytes = piece_bytes();
        for (const ByteRange& run : dirty_.runs())
            for (uint64_t i = run.offset / bytes; i * bytes < run.end(); ++i) pieces.insert(i);
        last = last_sending_;
    }
    for (uint64_t index : pieces) last = send_piece(index);
    // All that was accepted before is on its way or stored; what was taken later has higher numbers.
    MutexLock lock(mutex_);
    auto is_on_its_way = [&](const Sending& s) { return s.number <= last; };
    while (std::any_of(sendings_.begin(), sendings_.end(), is_on_its_way)) changed_.wait(mutex_);
    for (const auto& [number, error] : failed_)
        if (number <= last) return error;
    return make_publication(size, mtime, changes);
}

// All that is dirty of a piece: of many, the first is stored while the last still waits for room.  Answers the number
// of the last sending that may hold bytes of it; after a failure nothing is sent.
uint64_t FileDataNow::send_piece(uint64_t index) {
    std::vector<SendingAt> taken;
    uint64_t last = 0;
    {
        MutexLock lock(mutex_);
        const ByteRange piece{index * piece_bytes(), piece_bytes()};
        while (dirty_.has_any(piece) && is_in_use(piece)) changed_.wait(mutex_);
        if (failed_.empty()) taken = take(piece);
        last = last_sending_;
    }
    start_all(taken);
    return last;
}

Answers FileDataNow::put_inline() {
    std::string bytes = map_.inline_bytes;
    uint64_t end = dirty_.end(), dirty = dirty_.bytes();
    if (dirty == 0) return {};
    if (bytes.size() < end) bytes.resize(end);
    for (const auto& [offset, part] : dirty_.pieces()) {
        bytes.replace(offset, part.size(), part.view());
        unpublished_ranges_.add({offset, part.size()});
    }
    dirty_.clear();
    map_.inline_bytes = std::move(bytes);
    map_.size = std::max(map_.size, end);
    map_.bytes = map_.inline_bytes.size();
    return core_->budget.release(dirty);
}

// Grown: the inline bytes become the first of a blob.
void FileDataNow::leave_inline() {
    if (map_.inline_bytes.empty()) return;
    Dirty older;
    older.put(0, Buffer::copy_of(map_.inline_bytes));
    uint64_t before = dirty_.bytes();
    dirty_.put_below(older);
    core_->budget.count(dirty_.bytes() - before);
    map_.inline_bytes.clear();
    map_.bytes = 0;
    unpublished_ = true;
}

Publication FileDataNow::make_publication(uint64_t size, Time mtime, uint64_t changes) {
    map_.size = std::max(map_.size, size);  // also where a hole was punched into what was not stored yet
    map_.bytes = std::min(map_.bytes, map_.extents.empty() ? map_.bytes : map_.extents.back().end());
    // Of a list that would be too long for its record holes become part, though another mount may have begun to write there:
    // what one that dies has stored and not published may then be seen.
    const bool is_long = map_.extents.size() > kExtentsMax;
    if (const BlobId joined = is_long ? open_end(map_.extents) : is_alone_ ? fresh_ : BlobId{}; joined != BlobId{}) {
        RangeSet busy;
        for (const Sending& s : sendings_) busy.add(s.range);
        for (const ByteRange& run : dirty_.runs()) busy.add(run);  // soon no hole any more
        join_over_holes(map_.extents, joined, busy.all(), map_.layout.object_bytes);
    }
    Publication publication;
    publication.changed = unpublished_;
    publication.map = map_;
    // What was written later, beyond, and is there already is for the next one: until then it is beyond the end.
    publication.map.extents = extents_below(map_.extents, map_.size);
    publication.map.bytes = std::min(map_.bytes, map_.size);
    publication.freed = freed_;
    const FileMap &now = publication.map, &before = published_map_;
    publication.changes_map = now.size != before.size || now.inline_bytes != before.inline_bytes ||
                              now.extents != before.extents || !freed_.empty();
    publication.mtime = mtime;
    publication.number = ++number_;
    changes_in_publication_ = changes;
    for (const ByteRange& range : unpublished_ranges_.all())
        if (range.offset < map_.size)
            ranges_in_publication_.add({range.offset, std::min(range.end(), map_.size) - range.offset});
    unpublished_ranges_.drop({0, map_.size});
    return publication;
}

}  // namespace meshfs
