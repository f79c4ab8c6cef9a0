// After another mount has published: own changes that metadata does not know yet, on top of its map.
#include <algorithm>

#include "fs/data/file_data.h"
#include "fs/store/io_batch.h"

namespace meshfs {

Status FileDataNow::rebase(const FileMap& map) {
    Exclusive alone(*this, Exclusive::Sends::have_ended);
    FileMap theirs = map, mine;
    std::vector<Moved> moved, unpacked;
    std::vector<ByteRange> cleared;
    Extents freed;
    {
        MutexLock lock(mutex_);
        mine = map_;
        cleared = cleared_;
        if (unpublished_) {
            TRY(check(theirs));
            note_left_over();
            // What is left of a pack's member after a cut is no member.
            if (const Extent* packed = packed_extent(theirs.extents);
                truncated_to_ && packed != nullptr && *truncated_to_ > 0 && *truncated_to_ < packed->length) {
                unpacked.push_back({{0, *truncated_to_}, *packed});
                freed.push_back(*packed);
                theirs.bytes -= std::min(theirs.bytes, packed->length);
                theirs.extents.erase(theirs.extents.begin());
            }
            if (truncated_to_) {
                for (const Extent& gone : cut(theirs, *truncated_to_)) freed.push_back(gone);
                theirs.size = *truncated_to_;
            }
            theirs.size = std::max(theirs.size, grown_to_);
            moved = keep_stored(mine, theirs);
        }
    }
    Dirty again = TRY(read_back(mine, moved));
    Dirty older = TRY(read_back(theirs, unpacked));
    for (const ByteRange& range : cleared) older.drop(range);
    again.put_below(older);

    MutexLock lock(mutex_);
    map_ = std::move(theirs);
    published_map_ = map;
    fresh_ = {};
    freed_ = std::move(freed);
    clears_again_ = unpublished_ && !cleared_.empty();
    for (const Moved& part : moved) {
        unpublished_ranges_.drop(part.range);
        ranges_in_publication_.drop(part.range);
    }
    uint64_t before = dirty_.bytes();
    dirty_.put_below(again);
    core_->budget.count(dirty_.bytes() - before);
    size_ = std::max(map_.size, dirty_.end());
    return {};
}

// Bytes that this mount stored by `mine`, not yet published, under the map of another: what that has, or may have,
// stays.
std::vector<FileDataNow::Moved> FileDataNow::keep_stored(const FileMap& mine, FileMap& theirs) const {
    RangeSet stored_ranges = unpublished_ranges_;
    for (const ByteRange& range : ranges_in_publication_.all()) stored_ranges.add(range);
    std::vector<Moved> moved;
    for (const ByteRange& range : stored_ranges.all()) {
        for (const Mapped& stored : map_range(mine.extents, range)) {
            const bool is_own = stored.extent && stored.extent->kind == Extent::Kind::own;
            BlobId blob = is_own ? stored.extent->blob : BlobId{};
            for (const Mapped& part : map_range(theirs.extents, stored.range)) {
                bool is_there = part.extent && (part.extent == stored.extent || (is_own && part.extent->blob == blob));
                bool may_be_there = !part.extent && blob != BlobId{} && open_end(theirs.extents) == blob;
                if (!cleared_.empty() || (!is_there && !may_be_there)) {
                    moved.push_back({part.range, stored.extent});
                    continue;
                }
                theirs.size = std::max(theirs.size, part.range.end());
                if (is_there) continue;
                add_own(theirs.extents, part.range, blob);
                theirs.bytes += part.range.length;
            }
        }
    }
    return moved;
}

// From where this mount has put it.  What is not there any more, another mount has punched out since.
Result<Dirty> FileDataNow::read_back(const FileMap& mine, const std::vector<Moved>& moved) {
    Dirty found;
    Mutex mutex;
    Status failed;
    IoBatch batch(core_->store);  // goes first, and waits for what uses the others
    for (const Moved& part : moved) {
        if (!part.extent) {
            if (part.range.offset >= mine.inline_bytes.size()) continue;  // dirty since (leave_inline)
            auto bytes = std::string_view(mine.inline_bytes).substr(part.range.offset, part.range.length);
            found.put(part.range.offset, Buffer::copy_of(bytes));
            continue;
        }
        if (part.extent->kind == Extent::Kind::packed) {
            found.put_below(TRY(read_packed(mine.layout.pool, *part.extent, part.range)));
            continue;
        }
        for (const Piece& piece : pieces_of(mine.layout, part.range)) {
            for (uint64_t done = 0; done < piece.range.length; done += kTransferMax) {
                Transfer transfer{.direction = Transfer::Direction::read,
                                  .object = blob_object(mine.layout, part.extent->blob, piece.object),
                                  .offset = piece.in_object + done};
                transfer.bytes = Buffer::zeros(std::min<uint64_t>(kTransferMax, piece.range.length - done));
                found.put(piece.range.offset + done, transfer.bytes);
                batch.add(std::move(transfer), [&](const Result<size_t>& got) {
                    if (got || got.code() == ENOENT) return;
                    MutexLock lock(mutex);
                    failed = got.error();
                });
            }
        }
    }
    TRY(batch.wait());
    MutexLock lock(mutex);
    if (!failed) return failed.error();
    return found;
}

// All of the member, so that it can be held against its checksum.
Result<Dirty> FileDataNow::read_packed(Pool pool, const Extent& packed, ByteRange range) {
    Transfer transfer{.direction = Transfer::Direction::read, .object = pack_object(pool, packed.blob)};
    transfer.offset = packed.blob_offset;
    Buffer bytes = transfer.bytes = Buffer::allocate(packed.length);
    auto read = [&]() -> Status {
        auto got = core_->store.transfer(transfer);
        if (!got && got.code() != ENOENT) return got.error();
        if (!got || *got < bytes.size()) return fail(ESTALE, "object " + transfer.object.name + " is gone");
        return check_packed(packed, {bytes});
    };
    if (Status sound = read(); sound.code() == EIO) TRY(read());  // as whoever reads it does
    else TRY(sound);
    Dirty found;
    found.put(range.offset, bytes.slice(range.offset - packed.offset, range.length));
    return found;
}

}  // namespace meshfs
