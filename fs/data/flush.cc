// Flushing: what was accepted goes to the store, then the map says where it is.
#include <algorithm>

#include "fs/data/file_data.h"
#include "fs/store/io_batch.h"

namespace meshfs {

Result<Publication> FileDataNow::flush() {
    Exclusive alone(*this);
    uint64_t changes = 0, size = 0;
    Time mtime;
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
    freed_in_publication_ = freed_.size();
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
        size_t next = i + 1;
        uint64_t run_end = parts[i].offset + parts[i].bytes.size();
        while (next < parts.size() && parts[next].offset == run_end) run_end += parts[next++].bytes.size();
        ByteRange run{parts[i].offset, run_end - parts[i].offset};
        for (const Target& target : targets_of(run)) {
            Dirty of_run;
            for (size_t n = i; n < next; ++n) of_run.put(parts[n].offset, parts[n].bytes);
            TRY(store_pieces(target.blob, of_run.parts_in(target.range), target.follows));
            MutexLock lock(mutex_);
            bool is_mapped = map_range(map_.extents, target.range).size() == 1 &&
                             map_range(map_.extents, target.range)[0].extent.has_value();
            if (!is_mapped) add_own(map_.extents, target.range, target.blob);
        }
        i = next;
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

// Where the bytes of a range go: over what is mapped in place; on at the end of the last extent if they follow it; else to
// a blob that only this object has written to, whose gaps are holes for certain.
std::vector<FileDataNow::Target> FileDataNow::targets_of(ByteRange range) {
    MutexLock lock(mutex_);
    std::vector<Target> targets;
    for (const Mapped& part : map_range(map_.extents, range)) {
        if (part.extent) {
            targets.push_back({part.range, part.extent->blob, false});
            continue;
        }
        const Extent* last = map_.extents.empty() ? nullptr : &map_.extents.back();
        bool follows = last != nullptr && part.range.offset == last->end() && (last->flags & Extent::closed) == 0;
        if (follows) {
            targets.push_back({part.range, last->blob, true});
            continue;
        }
        if (fresh_ == BlobId{}) fresh_ = core_->hooks.next_blob();
        targets.push_back({part.range, fresh_, false});
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

Status FileDataNow::store_pieces(BlobId blob, const std::vector<Dirty::Part>& parts, bool follows) {
    Layout layout;
    {
        MutexLock lock(mutex_);
        layout = map_.layout;
    }
    if (parts.empty()) return {};
    const auto& last = parts.back();
    TRY(reach(blob, (last.offset + last.bytes.size() - 1) / layout.object_bytes));
    IoBatch batch(core_->store);
    size_t at = 0;
    ByteRange all{parts.front().offset, last.offset + last.bytes.size() - parts.front().offset};
    for (const Piece& piece : pieces_of(layout, all)) {
        ObjectName object = blob_object(layout, blob, piece.object);
        // What follows an older end is written behind a cut: bytes that a writer which died has left there, and never
        // published, do not come back.  In one mutation if it is small enough.
        Mutation mutation(object);
        mutation.create().truncate(piece.in_object);
        bool is_one = follows && piece.range.length <= kTransferMax;
        if (follows && !is_one) TRY(core_->store.apply(mutation));
        while (at < parts.size() && parts[at].offset < piece.range.end()) {
            uint64_t from = std::max(parts[at].offset, piece.range.offset);
            uint64_t part_end = parts[at].offset + parts[at].bytes.size();
            uint64_t to = std::min(part_end, piece.range.end());
            for (uint64_t done = from; done < to; done += kTransferMax) {
                uint64_t length = std::min<uint64_t>(kTransferMax, to - done);
                Buffer bytes = parts[at].bytes.slice(done - parts[at].offset, length);
                uint64_t in_object = piece.in_object + (done - piece.range.offset);
                if (is_one) {
                    mutation.write(in_object, std::move(bytes));
                    continue;
                }
                Transfer transfer;
                transfer.direction = Transfer::Direction::write;
                transfer.object = object;
                transfer.offset = in_object;
                transfer.bytes = std::move(bytes);
                batch.add(std::move(transfer));
            }
            if (part_end > piece.range.end()) break;
            ++at;
        }
        if (is_one) batch.add(std::move(mutation));
    }
    return batch.wait();
}

}  // namespace meshfs
