// A small file's way into a pack, beside others, and back out of it when it changes.
#include <algorithm>

#include "fs/data/file_data.h"

namespace meshfs {

static constexpr size_t kFreedMax = 4096;  // extents in one publication, beside those that were published

bool FileDataNow::is_packable() const {
    const bool is_small = size_ > kInlineMax && size_ <= kPackedMax;
    const uint64_t in_inode = std::min<uint64_t>(map_.inline_bytes.size(), size_);
    const bool is_whole = dirty_.covers({in_inode, size_ - in_inode});
    const bool has_others = map_.extents.size() > (packed_extent(map_.extents) != nullptr ? 1 : 0);
    return is_small && is_whole && !has_others && sendings_.empty() && failed_.empty() && !clears_again_ &&
           !is_exclusive_ && map_.layout.pool == Layout().pool && check_map().ok();
}

bool FileDataNow::can_pack() {
    MutexLock lock(mutex_);
    return is_packable();
}

// Older bytes in a pack are covered and stay mapped until these are stored.
std::optional<Buffers> FileDataNow::begin_pack() {
    MutexLock lock(mutex_);
    if (!is_packable()) return {};
    leave_inline();
    const ByteRange all{0, size_};
    Buffers bytes;
    for (auto& part : dirty_.take(all)) {
        bytes.push_back(part.bytes);
        sending_.put(part.offset, std::move(part.bytes));
    }
    while (!whole_pieces_.empty()) forget_whole_piece(*whole_pieces_.begin());
    sendings_.push_back({.number = ++last_sending_, .range = all, .is_mapped = true});
    core_->budget.begin_moving(all.length);
    is_packing_ = true;
    return bytes;
}

// The caller uses the file still.
void FileDataNow::end_pack(const Result<Extent>& where) {
    Answers answers;
    MutexLock lock(mutex_);
    const Sending sending = sendings_.back();  // no other begins meanwhile
    core_->budget.end_moving(sending.range.length);
    if (where) {
        if (!map_.extents.empty()) free_first();
        map_.extents.push_back(*where);
        map_.bytes += where->length;
        members_.push_back(*where);
        sending_.drop(sending.range);
        unpublished_ranges_.add(sending.range);
        core_->budget.note_stored();
        answers.add(core_->budget.release(sending.range.length));
    } else {
        answers.add(failed(sending, where.error()));
    }
    sendings_.pop_back();
    is_packing_ = false;
    changed_.notify_all();
}

void FileDataNow::free_first() {
    const Extent extent = map_.extents.front();
    map_.extents.erase(map_.extents.begin());
    map_.bytes -= std::min(map_.bytes, extent.length);
    free_extent(extent);
}

// What was stored and freed while nothing could be published, again and again, is gc's in the end: its record tells.
void FileDataNow::free_extent(const Extent& extent) {
    const bool is_on_record =
        reached_.contains(extent.blob) || std::find(members_.begin(), members_.end(), extent) != members_.end();
    if (freed_.size() >= kFreedMax && is_on_record) left_over_.insert(extent.blob);
    else freed_.push_back(extent);
}

// What metadata maps, or has on record as freed, keeps no pack on record any longer.
void FileDataNow::leave_packs_of(const Publication& what) {
    auto is_there = [](const Extents& extents, const Extent& member) {
        return std::any_of(extents.begin(), extents.end(), [&](const Extent& e) {
            return e.kind == Extent::Kind::packed && e.blob == member.blob && e.blob_offset == member.blob_offset;
        });
    };
    std::erase_if(members_, [&](const Extent& member) REQUIRES(mutex_) {
        const bool is_known = is_there(what.map.extents, member) || is_there(what.freed, member);
        if (is_known) core_->packer.left(member.blob, left_over_.contains(member.blob));
        return is_known;
    });
}

// What lies in a pack is not changed there: it comes back into memory, below what is newer, and goes to a blob with that.
// Under Exclusive.
Status FileDataNow::unpack() {
    FileMap mine;
    Extent packed;
    bool is_covered;
    {
        MutexLock lock(mutex_);
        TRY(check_map());
        const Extent* extent = packed_extent(map_.extents);
        if (extent == nullptr) return {};
        packed = *extent;
        mine.layout = map_.layout;
        is_covered = dirty_.covers({0, packed.length});
    }
    Dirty older;
    if (!is_covered) older = TRY(read_back(mine, std::vector<Moved>{Moved{{0, packed.length}, packed}}));
    MutexLock lock(mutex_);
    // What was punched here before another mount, or gc, published that member.
    if (clears_again_)
        for (const ByteRange& range : cleared_) older.drop(range);
    uint64_t before = dirty_.bytes();
    dirty_.put_below(older);
    core_->budget.count(dirty_.bytes() - before);
    free_first();
    unpublished_ = true;
    return {};
}

// Before a flush: afterwards nothing that is dirty lies over a pack, and none of it is on its way to one.
Status FileDataNow::unpack_if_changed() {
    {
        MutexLock lock(mutex_);
        while (is_packing_) changed_.wait(mutex_);
        if (!is_to_unpack()) return {};
    }
    return unpack();
}

Status FileDataNow::unpack_if(const std::function<bool(const Extent& packed)>& is_changed) {
    {
        MutexLock lock(mutex_);
        TRY(check_map());
        const Extent* packed = packed_extent(map_.extents);
        if (packed == nullptr || !is_changed(*packed)) return {};
    }
    return unpack();
}

}  // namespace meshfs
