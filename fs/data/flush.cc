// Flushing: what was accepted goes to the store, then the map says where it is.
#include <algorithm>

#include "fs/data/file_data.h"
#include "fs/store/io_batch.h"

namespace meshfs {

Result<Publication> FileDataNow::flush() {
    Exclusive alone(*this);
    uint64_t changes = 0, size = 0;
    Time mtime;
    TRY(clear_again());
    {
        MutexLock lock(mutex_);
        flush_asked_ = false;
        TRY(check_map());
        std::swap(flushing_, dirty_);
        size = size_;
        changes = changes_;
        mtime = mtime_;
    }
    Status stored = store_flushing();
    MutexLock lock(mutex_);
    if (!stored) {
        // Back to the others, below what is newer: nothing is lost, and the next flush tries again.
        uint64_t before = dirty_.bytes() + flushing_.bytes();
        dirty_.put_below(flushing_);
        flushing_.clear();
        core_->budget.drop(before - dirty_.bytes());
        // What failed may have reached it all the same, so its gaps are no longer holes for certain: were these bytes
        // truncated now and the gap joined later, they would come back.
        fresh_ = {};
        return stored.error();
    }
    core_->budget.stored(flushing_.bytes());
    // Kept until metadata has them: another mount's map may come in between (rebase).
    if (!core_->store.is_exclusive())
        for (const auto& [offset, bytes] : flushing_.pieces()) unpublished_bytes_.put(offset, bytes);
    flushing_.clear();
    changed_.notify_all();
    map_.size = std::max(map_.size, size);  // also where a hole was punched into what was not stored yet
    Publication publication;
    publication.changed = unpublished_;
    publication.map = map_;
    publication.freed = freed_;
    publication.mtime = mtime;
    publication.number = ++number_;
    changes_in_publication_ = changes;
    return publication;
}

Status FileDataNow::store_flushing() {
    std::vector<Dirty::Part> parts;
    uint64_t end = 0;
    bool is_inline = false;
    {
        MutexLock lock(mutex_);
        end = flushing_.end();
        for (const auto& [offset, bytes] : flushing_.pieces()) parts.push_back({offset, bytes});
        if (parts.empty()) return {};
        is_inline = map_.extents.empty() && end <= kInlineMax;
        if (is_inline) {
            std::string bytes = map_.inline_bytes;
            if (bytes.size() < end) bytes.resize(end);
            for (const auto& part : parts) bytes.replace(part.offset, part.bytes.size(), part.bytes.view());
            map_.inline_bytes = std::move(bytes);
            map_.size = std::max(map_.size, end);
            map_.bytes = map_.inline_bytes.size();
            return {};
        }
        if (!map_.inline_bytes.empty()) {
            // Grown: the inline bytes become the first of a blob.
            Dirty inline_bytes;
            inline_bytes.put(0, Buffer::copy_of(map_.inline_bytes));
            uint64_t before = flushing_.bytes();
            flushing_.put_below(inline_bytes);
            core_->budget.count(flushing_.bytes() - before);
            parts.clear();
            for (const auto& [offset, bytes] : flushing_.pieces()) parts.push_back({offset, bytes});
        }
        for (const auto& part : parts) wait_for_reads({part.offset, part.bytes.size()});
    }
    // Runs of pieces that touch, each cut by where it goes.
    for (size_t i = 0; i < parts.size();) {
        ByteRange run{parts[i].offset, parts[i].bytes.size()};
        while (++i < parts.size() && parts[i].offset == run.end()) run.length += parts[i].bytes.size();
        for (const Target& target : targets_of(run)) {
            TRY(store_pieces(target));
            MutexLock lock(mutex_);
            if (target.is_mapped) continue;
            add_own(map_.extents, target.range, target.blob, is_alone_ && target.blob == fresh_);
        }
    }
    MutexLock lock(mutex_);
    map_.inline_bytes.clear();
    uint64_t written = 0, old_size = map_.size;
    bool was_full = map_.bytes >= old_size;
    for (const auto& part : parts) {
        uint64_t part_end = part.offset + part.bytes.size();
        if (!was_full) written += part.bytes.size();
        else if (part_end > old_size) written += part_end - std::max(part.offset, old_size);
    }
    map_.size = std::max(map_.size, end);
    map_.bytes = std::min(map_.size, map_.bytes + written);
    return {};
}

// Where the bytes of a range go: over what is mapped in place; on at the end of the last extent if they follow it.  Else,
// if no other mount writes, to a blob that only this object has written to, whose gaps are holes for certain; if others
// do, to the blob they all go on with, so that their bytes become one extent again once the gaps are full.
std::vector<FileDataNow::Target> FileDataNow::targets_of(ByteRange range) {
    MutexLock lock(mutex_);
    std::vector<Target> targets;
    BlobId last = open_end(map_.extents);
    for (const Mapped& part : map_range(map_.extents, range)) {
        if (part.extent) {
            targets.push_back({.range = part.range, .blob = part.extent->blob, .is_mapped = true});
            continue;
        }
        bool goes_on = last != BlobId{} && (!is_alone_ || part.range.offset == map_.extents.back().end());
        if (!goes_on && fresh_ == BlobId{}) fresh_ = core_->hooks.next_blob();
        targets.push_back({.range = part.range, .blob = goes_on ? last : fresh_});
    }
    return targets;
}

Status FileDataNow::reach(BlobId blob, uint64_t last_object) {
    auto known = reached_.find(blob);
    if (known != reached_.end() && known->second >= last_object) return {};
    uint64_t last = last_object + kReachAhead;
    TRY(core_->hooks.record_reach(blob, ino_, last));
    reached_[blob] = last;
    return {};
}

Status FileDataNow::store_pieces(const Target& target) {
    Layout layout;
    std::vector<Dirty::Part> parts;
    {
        MutexLock lock(mutex_);
        layout = map_.layout;
        parts = flushing_.parts_in(target.range);
    }
    TRY(reach(target.blob, (target.range.end() - 1) / layout.object_bytes));
    IoBatch batch(core_->store);
    size_t at = 0;
    for (const Piece& piece : pieces_of(layout, target.range)) {
        while (at < parts.size() && parts[at].offset < piece.range.end()) {
            uint64_t from = std::max(parts[at].offset, piece.range.offset);
            uint64_t part_end = parts[at].offset + parts[at].bytes.size();
            uint64_t to = std::min(part_end, piece.range.end());
            for (uint64_t done = from; done < to; done += kTransferMax) {
                uint64_t length = std::min<uint64_t>(kTransferMax, to - done);
                Transfer transfer;
                transfer.direction = Transfer::Direction::write;
                transfer.object = blob_object(layout, target.blob, piece.object);
                transfer.offset = piece.in_object + (done - piece.range.offset);
                transfer.bytes = parts[at].bytes.slice(done - parts[at].offset, length);
                batch.add(std::move(transfer));
            }
            if (part_end > piece.range.end()) break;
            ++at;
        }
    }
    return batch.wait();
}

}  // namespace meshfs
