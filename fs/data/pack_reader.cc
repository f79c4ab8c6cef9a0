#include "fs/data/pack_reader.h"

#include <algorithm>

#include "fs/base/wire.h"

namespace meshfs {
namespace {

constexpr uint64_t kCopiedBelow = 256u << 10;  // bytes: a copy costs less than all of a run that stays for it

Error not_there(BlobId pack, uint64_t offset) {
    return fail(ESTALE, "object p." + hex(raw(pack)) + " has no bytes at " + std::to_string(offset));
}

// A small one alone, for who keeps it would keep all of the run.
Buffer part_of(const Buffer& of, uint64_t offset, uint64_t length) {
    const Buffer part = of.slice(offset, length);
    return length < kCopiedBelow ? Buffer::copy_of(part.view()) : part;
}

}  // namespace

void PackReader::read(Pool pool, BlobId pack, ByteRange range, Then<Buffers> then) {
    const uint64_t run = range.offset / kRunBytes, in_run = range.offset % kRunBytes;
    if (!is_in_order(pack, range)) return fetch_alone(pool, pack, range, std::move(then));
    // A member is no longer than a run, so it is in one or two of them.
    const uint64_t first = std::min(range.length, kRunBytes - in_run), rest = range.length - first;
    read_run(pool, {pack, run}, in_run + first, [=, this, then = std::move(then)](const Result<Buffer>& bytes) {
        if (!bytes) return then(bytes.error());
        Buffer begin = part_of(*bytes, in_run, first);
        if (rest == 0) return then(Buffers{begin});
        read_run(pool, {pack, run + 1}, rest, [=](const Result<Buffer>& more) {
            then(more ? Result<Buffers>(Buffers{begin, part_of(*more, 0, rest)}) : Result<Buffers>(more.error()));
        });
    });
}

void PackReader::read_again(Pool pool, BlobId pack, ByteRange range, Then<Buffers> then) {
    {
        MutexLock lock(mutex_);
        for (uint64_t run = range.offset / kRunBytes; run * kRunBytes < range.end(); ++run) {
            auto kept = runs_.find({pack, run});
            if (kept == runs_.end() || !kept->second.is_there) continue;
            runs_.erase(kept);
            std::erase(order_, Place(pack, run));
        }
    }
    fetch_alone(pool, pack, range, std::move(then));
}

void PackReader::fetch_alone(Pool pool, BlobId pack, ByteRange range, Then<Buffers> then) {
    fetch(pool, pack, range, false, [then = std::move(then)](const Result<Buffer>& bytes) {
        then(bytes ? Result<Buffers>(Buffers{*bytes}) : Result<Buffers>(bytes.error()));
    });
}

uint64_t PackReader::cached_bytes() const {
    MutexLock lock(mutex_);
    uint64_t bytes = 0;
    for (const auto& [place, run] : runs_) bytes += run.bytes.size();
    return bytes;
}

bool PackReader::is_in_order(BlobId pack, ByteRange range) {
    MutexLock lock(mutex_);
    auto known = std::find_if(places_.begin(), places_.end(), [&](const auto& place) { return place.first == pack; });
    bool is_near = known != places_.end() && range.offset >= known->second && range.offset - known->second <= kNearBytes;
    if (known != places_.end()) places_.erase(known);
    else if (places_.size() >= kPlacesMax) places_.pop_front();
    places_.emplace_back(pack, range.end());
    return is_near;
}

// needed: so many bytes of the run must be there.  A pack may have grown since a run was kept.
void PackReader::read_run(Pool pool, Place place, uint64_t needed, Then<Buffer> then) {
    Buffer kept;
    {
        MutexLock lock(mutex_);
        Run& run = runs_[place];
        if (run.is_there && run.bytes.size() >= needed) {
            kept = run.bytes;
        } else {
            bool is_under_way = !run.waiting.empty();
            if (run.is_there) std::erase(order_, place);
            run.is_there = false;
            run.waiting.push_back({needed, !is_under_way, std::move(then)});
            if (is_under_way) return;
        }
    }
    if (!kept.empty()) return then(kept);
    fetch(pool, place.first, {place.second * kRunBytes, kRunBytes}, true,
          [this, pool, place](const Result<Buffer>& bytes) { ended(pool, place, bytes); });
}

// With the last answer this object may go: it is not touched after that.
void PackReader::ended(Pool pool, Place place, const Result<Buffer>& bytes) {
    std::vector<Waiting> waiting;
    {
        MutexLock lock(mutex_);
        Run& run = runs_[place];
        waiting.swap(run.waiting);
        if (bytes) {
            run.is_there = true;
            run.bytes = *bytes;
            order_.push_back(place);
        } else {
            runs_.erase(place);
        }
        while (order_.size() > kRunsMax) {
            runs_.erase(order_.front());
            order_.pop_front();
        }
    }
    // Who came while it was under way may know of bytes that were stored meanwhile.
    const uint64_t there = bytes ? bytes->size() : 0;
    const bool may_have_grown = bytes || bytes.code() == ESTALE;
    auto is_answered = [&](const Waiting& one) { return one.has_fetched || one.needed <= there || !may_have_grown; };
    auto again = std::stable_partition(waiting.begin(), waiting.end(), is_answered);
    for (auto one = again; one != waiting.end(); ++one) read_run(pool, place, one->needed, std::move(one->then));
    for (auto one = waiting.begin(); one != again; ++one) {
        if (bytes && there < one->needed) one->then(not_there(place.first, place.second * kRunBytes + there));
        else one->then(bytes);
    }
}

// may_be_short: a run is cut off by the end of the pack.
void PackReader::fetch(Pool pool, BlobId pack, ByteRange range, bool may_be_short, Then<Buffer> then) {
    Transfer transfer{.direction = Transfer::Direction::read, .object = pack_object(pool, pack), .offset = range.offset};
    Buffer bytes = transfer.bytes = Buffer::allocate(range.length);
    store_.start(std::move(transfer), [=, then = std::move(then)](const Result<size_t>& got) {
        if (!got && got.code() != ENOENT) return then(got.error());
        if (!got || *got == 0 || (*got < range.length && !may_be_short))
            return then(not_there(pack, range.offset + (got ? *got : 0)));
        // A run that is short is kept as that.
        then(*got < range.length ? Buffer::copy_of(bytes.view().substr(0, *got)) : bytes);
    });
}

}  // namespace meshfs
