// Reading: pieces in memory as they are, the rest from the store, holes as zeros.
#include <algorithm>
#include <atomic>
#include <iterator>

#include "fs/data/file_data.h"

namespace meshfs {
namespace {

constexpr uint64_t kShareMin = 64 << 10;  // bytes: below, a copy costs less than what a query brings with it

}  // namespace

// One read: runs of buffers, each filled by one call; the last of them to be there gives the answer.
struct FileDataNow::Reading {
    FileDataNow* file = nullptr;
    Reads::iterator place;                 // in reads_
    bool is_registered = false;
    // By file offset.  Whoever starts a call has put its place in before; the call touches nothing but that.
    std::map<uint64_t, Buffers> pieces;
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
        for (auto& [offset, bytes] : pieces) std::move(bytes.begin(), bytes.end(), std::back_inserter(out));
        then(std::move(out));
    }
};

void FileDataNow::read(ByteRange range, bool is_current, Then<Buffers> then) {
    auto reading = std::make_shared<Reading>();
    reading->file = this;
    reading->then = std::move(then);
    std::vector<ByteRange> stored;
    FileMap map;
    {
        MutexLock lock(mutex_);
        if (range.offset >= size_) range.length = 0;
        else range.length = std::min(range.length, size_ - range.offset);
        for (auto& part : dirty_.parts_in(range)) reading->pieces[part.offset] = {std::move(part.bytes)};
        for (const ByteRange& gap : dirty_.gaps_in(range)) {
            for (auto& part : sending_.parts_in(gap)) reading->pieces[part.offset] = {std::move(part.bytes)};
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
            reading->place = reads_.insert(reads_.end(), stored);
            reading->is_registered = true;
        }
    }
    bool is_good;
    {
        MutexLock lock(reading->mutex);
        is_good = reading->status.ok();
    }
    if (is_good)
        for (const ByteRange& part : stored) start_stored_read(reading, part, map, is_current);
    reading->end_one();
}

void FileDataNow::start_stored_read(const std::shared_ptr<Reading>& reading, ByteRange range, const FileMap& map,
                                    bool is_current) {
    if (map.extents.empty()) {
        Buffer whole = Buffer::zeros(range.length);
        size_t in_inline = range.offset < map.inline_bytes.size()
                               ? std::min<size_t>(range.length, map.inline_bytes.size() - range.offset)
                               : 0;
        if (in_inline > 0) std::memcpy(whole.data(), map.inline_bytes.data() + range.offset, in_inline);
        reading->pieces[range.offset] = {std::move(whole)};
        return;
    }
    for (const Mapped& part : map_range(map.extents, range)) {
        if (!part.extent) {
            reading->pieces[part.range.offset] = {Buffer::zeros(part.range.length)};
            continue;
        }
        if (part.extent->kind == Extent::Kind::packed) {
            start_packed_read(reading, map.layout.pool, *part.extent, part.range);
            continue;
        }
        for (const Piece& piece : pieces_of(map.layout, part.range)) {
            // A transfer is at most 4 MiB, an object may be larger.
            const bool may_be_missing = is_current && (part.extent->flags & Extent::whole) == 0;
            for (uint64_t done = 0; done < piece.range.length; done += kTransferMax) {
                uint64_t length = std::min<uint64_t>(kTransferMax, piece.range.length - done);
                start_object_read(reading, blob_object(map.layout, part.extent->blob, piece.object),
                                  {piece.in_object + done, length}, may_be_missing,
                                  reading->pieces[piece.range.offset + done]);
            }
        }
    }
}

// A member that is read whole is held against its checksum.  A wrong one may be the way's fault: it is read once more.
void FileDataNow::start_packed_read(const std::shared_ptr<Reading>& reading, Pool pool, const Extent& extent,
                                    ByteRange range) {
    Buffers& into = reading->pieces[range.offset];
    ++reading->left;
    const ByteRange there{extent.blob_offset + range.offset - extent.offset, range.length};
    auto told = [reading, &into](const Status& how, Result<Buffers> bytes) {
        if (how) into = std::move(*bytes);
        else reading->fail_with(how);
        reading->end_one();
    };
    auto check = [extent, is_whole = range.length == extent.length](const Result<Buffers>& bytes) {
        return !bytes ? Status(bytes.error()) : is_whole ? check_packed(extent, *bytes) : Status();
    };
    core_->packs_read.read(pool, extent.blob, there, [=, reader = &core_->packs_read](Result<Buffers> bytes) {
        Status how = check(bytes);
        if (!bytes || how) return told(how, std::move(bytes));
        reader->read_again(pool, extent.blob, there, [=](Result<Buffers> again) {
            const Status at_last = check(again);
            told(at_last, std::move(again));
        });
    });
}

// What the object does not have is a hole of its blob, and so is an object that is missing where one may be.  What is large
// comes in the store's own memory where that has it from the network; the embedded store reads into ours.
void FileDataNow::start_object_read(const std::shared_ptr<Reading>& reading, ObjectName object, ByteRange range,
                                    bool may_be_missing, Buffers& into) {
    ++reading->left;
    auto failure = [may_be_missing, name = may_be_missing ? std::string() : object.name](const Error& error) -> Status {
        if (error.code() != ENOENT) return error;
        return may_be_missing ? Status() : Status(fail(ESTALE, "object " + name + " is missing"));
    };
    if (range.length >= kShareMin && !core_->store.is_exclusive()) {
        Query query(std::move(object));
        query.bytes(range.offset, range.length);
        auto told = [reading, &into, failure, length = range.length](Result<Answer> answer) {
            if (answer) into = std::move(answer->bytes.front());
            else if (Status failed = failure(answer.error()); !failed) reading->fail_with(failed);
            if (size_t size = size_of(into); size < length) into.push_back(Buffer::zeros(length - size));
            reading->end_one();
        };
        return core_->store.start(std::move(query), std::move(told));
    }
    Transfer transfer{.direction = Transfer::Direction::read, .object = std::move(object), .offset = range.offset};
    transfer.bytes = Buffer::allocate(range.length);
    into = {transfer.bytes};
    core_->store.start(std::move(transfer), [reading, failure, bytes = into.front()](const Result<size_t>& got) mutable {
        size_t size = got ? *got : 0;
        Status failed = got ? Status() : failure(got.error());
        if (!failed) reading->fail_with(failed);
        else std::memset(bytes.data() + size, 0, bytes.size() - size);
        reading->end_one();
    });
}

void FileDataNow::wait_for_reads(ByteRange range) {
    auto overlaps = [&](const ByteRange& read) { return read.offset < range.end() && range.offset < read.end(); };
    auto reads_there = [&](const auto& ranges) { return std::any_of(ranges.begin(), ranges.end(), overlaps); };
    while (std::any_of(reads_.begin(), reads_.end(), reads_there)) changed_.wait(mutex_);
}

}  // namespace meshfs
