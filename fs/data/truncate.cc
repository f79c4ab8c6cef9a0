// Truncate, holes, zeros, and where data is.
#include <algorithm>

#include "fs/data/file_data.h"
#include "fs/store/io_batch.h"

namespace meshfs {
namespace {

// How many absent objects SEEK_DATA looks at before it says "data": a legal answer, and a bound on a sparse
// file of 2^63-1 bytes.
constexpr uint64_t kSeekObjectsMax = 4096;

}  // namespace

void FileDataNow::grow(uint64_t size) {
    if (size <= size_) return;
    size_ = size;
    map_.size = size;
    grown_to_ = size;
    unpublished_ = true;
    ++changes_;
}

Extents FileDataNow::cut(FileMap& map, uint64_t size) {
    Extents gone = cut_extents(map.extents, size, map.layout.object_bytes);
    if (map.inline_bytes.size() > size) map.inline_bytes.resize(size);
    map.bytes = std::min(map.bytes, size);
    return gone;
}

// What is cut is not touched in the store: it is handed over as freed, and purged after metadata says so.  What is
// written there later goes to another blob.
Status FileDataNow::truncate(uint64_t size) {
    if (size > kFileSizeMax) return fail(EFBIG);
    Exclusive alone(*this, Exclusive::Sends::have_ended);
    TRY(unpack_if([size](const Extent& packed) { return size > 0 && size < packed.length; }));
    Answers others;
    MutexLock lock(mutex_);
    TRY(check_map());
    if (size == size_) return {};
    const ByteRange beyond{size, UINT64_MAX - size};
    if (size < size_) others.add(drop_dirty(beyond));
    // Between flushes bytes are mapped beyond the size the map tells.
    if (size < map_.size || (!map_.extents.empty() && size < map_.extents.back().end())) {
        for (const Extent& gone : cut(map_, size)) free_extent(gone);
        fresh_ = {};
    }
    unpublished_ranges_.drop(beyond);
    ranges_in_publication_.drop(beyond);
    if (size < size_) truncated_to_ = std::min(size, truncated_to_.value_or(size)), grown_to_ = 0;
    else grown_to_ = size;
    size_ = size;
    map_.size = size;
    mtime_ = core_->clock.now();
    unpublished_ = true;
    ++changes_;
    return {};
}

Status FileDataNow::clear(ByteRange range) {
    FileMap map;
    Extents published;
    {
        MutexLock lock(mutex_);
        TRY(check_map());
        wait_for_reads(range);
        if (range.offset < map_.inline_bytes.size()) {
            size_t length = std::min<uint64_t>(range.length, map_.inline_bytes.size() - range.offset);
            map_.inline_bytes.replace(range.offset, length, std::string(length, '\0'));
        }
        map.layout = map_.layout;
        map.extents = map_.extents;
        published = published_map_.extents;
        if (map.extents.empty()) return {};
        // Nothing lies beyond the last extent, however far the range goes.
        range.length = std::min(range.end(), map.extents.back().end()) - std::min(range.offset, range.end());
        if (range.offset >= map.extents.back().end()) return {};
    }
    IoBatch batch(core_->store);
    uint64_t cleared = 0;
    for (const Mapped& part : map_range(map.extents, range)) {
        if (!part.extent) continue;
        uint64_t bytes = map.layout.object_bytes, end = part.range.end();
        uint64_t first = part.range.offset / bytes, last = (end - 1) / bytes;
        TRY(core_->visit_objects(map.layout, part.extent->blob, first, last + 1, [&](uint64_t index) {
            uint64_t from = index == first ? part.range.offset % bytes : 0;
            uint64_t to = index == last ? end - index * bytes : bytes;
            Mutation mutation(blob_object(map.layout, part.extent->blob, index));
            const bool is_all = to - from == bytes;
            const ByteRange here{index * bytes, bytes};
            // Where metadata says that no object is missing it stays, empty: removed, it would be taken for lost.
            const bool stays = has_whole(map.extents, here) || has_whole(published, here);
            if (!is_all) mutation.zero(from, to - from);
            else if (stays) mutation.truncate(0);
            else mutation.remove();
            cleared += is_all ? bytes : 0;
            batch.add(std::move(mutation), {ENOENT});
        }));
    }
    TRY(batch.wait());
    MutexLock lock(mutex_);
    map_.bytes -= std::min(map_.bytes, cleared);
    return {};
}

Status FileDataNow::punch(ByteRange range) {
    Exclusive alone(*this, Exclusive::Sends::have_ended);
    TRY(unpack_if([&](const Extent& packed) { return range.offset < packed.length; }));
    Answers others;
    {
        MutexLock lock(mutex_);
        if (range.offset >= size_) return {};
        range.length = std::min(range.length, size_ - range.offset);
        others.add(drop_dirty(range));
        unpublished_ranges_.drop(range);
        ranges_in_publication_.drop(range);
        cleared_.push_back(range);
        mtime_ = core_->clock.now();
        unpublished_ = true;
        ++changes_;
    }
    return clear(range);
}

Status FileDataNow::clear_again() {
    std::vector<ByteRange> ranges;
    {
        MutexLock lock(mutex_);
        if (!clears_again_) return {};
        while (!sendings_.empty()) changed_.wait(mutex_);  // none begins while that is set
        ranges = cleared_;
    }
    TRY(unpack());
    for (const ByteRange& range : ranges) TRY(clear(range));
    MutexLock lock(mutex_);
    clears_again_ = false;
    return {};
}

Status FileDataNow::zero(ByteRange range, bool keep_size) {
    if (range.offset > kFileSizeMax || range.length > kFileSizeMax - range.offset) return fail(EFBIG);
    TRY(punch(range));
    if (keep_size) return {};
    return reserve(range, false);
}

// Space is not set aside: a later write can still meet a full pool.
Status FileDataNow::reserve(ByteRange range, bool keep_size) {
    if (range.offset > kFileSizeMax || range.length > kFileSizeMax - range.offset) return fail(EFBIG);
    if (keep_size) return {};
    Exclusive alone(*this, Exclusive::Sends::go_on);
    MutexLock lock(mutex_);
    if (range.end() > size_) mtime_ = core_->clock.now();
    grow(range.end());
    return {};
}

Result<uint64_t> FileDataNow::seek(uint64_t offset, bool hole) {
    FileMap map;
    uint64_t size = 0;
    {
        if (offset >= this->size()) return fail(ENXIO);
        TRY(flush());
        MutexLock lock(mutex_);
        if (offset >= size_) return fail(ENXIO);
        size = size_;
        map = map_;
    }
    if (!map.inline_bytes.empty()) {
        bool in_data = offset < map.inline_bytes.size();
        if (hole) return in_data ? std::min<uint64_t>(map.inline_bytes.size(), size) : offset;
        if (in_data) return offset;
        return fail(ENXIO);
    }
    uint64_t looked_at = 0;
    for (const Mapped& part : map_range(map.extents, {offset, size - offset})) {
        if (!part.extent) {
            if (hole) return part.range.offset;
            continue;
        }
        if (part.extent->kind == Extent::Kind::packed) {
            if (!hole) return part.range.offset;
            continue;
        }
        for (uint64_t at = part.range.offset; at < part.range.end();) {
            uint64_t in_object = at % map.layout.object_bytes;
            uint64_t object_end = std::min(at - in_object + map.layout.object_bytes, part.range.end());
            if (++looked_at > kSeekObjectsMax) return hole ? size : at;
            auto answer = core_->store.ask(
                Query(blob_object(map.layout, part.extent->blob, at / map.layout.object_bytes)).stat());
            if (!answer && answer.code() != ENOENT) return answer.error();
            uint64_t stored_end = answer ? at - in_object + answer->size : 0;
            bool has_data = stored_end > at;
            if (!hole && has_data) return at;
            if (hole && !has_data) return at;
            if (hole && stored_end < object_end) return stored_end;
            at = object_end;
        }
    }
    if (hole) return size;
    return fail(ENXIO);
}

}  // namespace meshfs
