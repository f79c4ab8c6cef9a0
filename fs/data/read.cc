// Reading: pieces in memory as they are, the rest from the store, holes as zeros.
#include <algorithm>
#include <atomic>

#include "fs/data/file_data.h"

namespace meshfs {

// One read: a run of buffers that fill up; the last of them to be there gives the answer.
struct FileDataNow::Reading {
    FileDataNow* file = nullptr;
    std::list<ByteRange>::iterator place;  // in reads_
    bool is_registered = false;
    std::map<uint64_t, Buffer> pieces;     // by file offset
    Then<Buffers> then;
    std::atomic<size_t> left{1};
    Mutex mutex;
    Status status GUARDED_BY(mutex);

    void fail_with(const Status& with) {
        MutexLock lock(mutex);
        if (status.ok()) status = with;
    }
    void end_one() {
        if (--left > 0) return;
        if (is_registered) {
            MutexLock lock(file->mutex_);
            file->reads_.erase(place);
            file->changed_.notify_all();
        }
        Status how;
        {
            MutexLock lock(mutex);
            how = status;
        }
        if (!how) return then(how.error());
        Buffers out;
        out.reserve(pieces.size());
        for (auto& [offset, bytes] : pieces) out.push_back(std::move(bytes));
        then(std::move(out));
    }
};

void FileDataNow::read(ByteRange range, Then<Buffers> then) {
    auto reading = std::make_shared<Reading>();
    reading->file = this;
    reading->then = std::move(then);
    std::vector<ByteRange> stored;
    FileMap map;
    {
        MutexLock lock(mutex_);
        if (range.offset >= size_) range.length = 0;
        else range.length = std::min(range.length, size_ - range.offset);
        for (auto& part : dirty_.parts_in(range)) reading->pieces[part.offset] = std::move(part.bytes);
        for (const ByteRange& gap : dirty_.gaps_in(range)) {
            for (auto& part : sending_.parts_in(gap)) reading->pieces[part.offset] = std::move(part.bytes);
            for (const ByteRange& rest : sending_.gaps_in(gap)) stored.push_back(rest);
        }
        if (!stored.empty()) {
            if (Status checked = check_map(); !checked) reading->fail_with(checked);
            // The part of the map that is needed: the list can be long.
            map.layout = map_.layout;
            map.inline_bytes = map_.inline_bytes;
            uint64_t from = stored.front().offset, to = stored.back().end();
            for (const Mapped& part : map_range(map_.extents, {from, to - from}))
                if (part.extent) map.extents.push_back(*part.extent);
            reading->place = reads_.insert(reads_.end(), {from, to - from});
            reading->is_registered = true;
        }
    }
    bool is_good;
    {
        MutexLock lock(reading->mutex);
        is_good = reading->status.ok();
    }
    if (is_good)
        for (const ByteRange& part : stored) start_stored_read(reading, part, map);
    reading->end_one();
}

void FileDataNow::start_stored_read(const std::shared_ptr<Reading>& reading, ByteRange range, const FileMap& map) {
    Buffer whole = Buffer::allocate(range.length);
    reading->pieces[range.offset] = whole;
    if (map.extents.empty()) {
        size_t in_inline = range.offset < map.inline_bytes.size()
                               ? std::min<size_t>(range.length, map.inline_bytes.size() - range.offset)
                               : 0;
        if (in_inline > 0) std::memcpy(whole.data(), map.inline_bytes.data() + range.offset, in_inline);
        std::memset(whole.data() + in_inline, 0, whole.size() - in_inline);
        return;
    }
    for (const Mapped& part : map_range(map.extents, range)) {
        Buffer of_part = whole.slice(part.range.offset - range.offset, part.range.length);
        if (!part.extent) {
            std::memset(of_part.data(), 0, of_part.size());
            continue;
        }
        for (const Piece& piece : pieces_of(map.layout, part.range)) {
            // A transfer is at most 4 MiB, an object may be larger.
            for (uint64_t done = 0; done < piece.range.length; done += kTransferMax) {
                uint64_t length = std::min<uint64_t>(kTransferMax, piece.range.length - done);
                Transfer transfer;
                transfer.direction = Transfer::Direction::read;
                transfer.object = blob_object(map.layout, part.extent->blob, piece.object);
                transfer.offset = piece.in_object + done;
                transfer.bytes = of_part.slice(piece.range.offset + done - part.range.offset, length);
                ++reading->left;
                Buffer into = transfer.bytes;
                core_->store.start(std::move(transfer), [reading, into](Result<size_t> got) mutable {
                    size_t size = got ? *got : 0;
                    if (!got && got.code() != ENOENT) reading->fail_with(got.error());
                    else std::memset(into.data() + size, 0, into.size() - size);  // a hole of its blob
                    reading->end_one();
                });
            }
        }
    }
}

bool FileDataNow::is_read(ByteRange range) const {
    auto overlaps = [&](const ByteRange& read) { return read.offset < range.end() && range.offset < read.end(); };
    return std::any_of(reads_.begin(), reads_.end(), overlaps);
}

void FileDataNow::wait_for_reads(ByteRange range) {
    while (is_read(range)) changed_.wait(mutex_);
}

}  // namespace meshfs
