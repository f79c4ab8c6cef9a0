#include "fs/data/packer.h"

#include <algorithm>

#include "fs/data/core.h"

namespace meshfs {
Result<std::vector<Extent>> Packer::store(const std::vector<ToPack>& files) {
    uint64_t room = 0;
    for (const ToPack& file : files) room += room_in_segment(size_of(file.bytes));
    if (files.empty() || room > kSegmentRoom) return fail(EINVAL, "no segment of a pack has so many bytes");
    Open open = TRY(take(kSegmentMax - kSegmentRoom + room));
    MadeSegment made = make_segment(open.pack, open.segments, open.end, files);
    const uint64_t length = made.bytes.size();

    core_.slots.take(length);
    Status stored;
    if (open.segments == 0) {
        auto reached = core_.hooks.record_reach(open.pack, Ino{}, 0, 0);
        if (!reached) stored = reached.error();
    }
    if (stored) {
        Transfer transfer{.direction = Transfer::Direction::write, .object = pack_object(Layout().pool, open.pack)};
        transfer.offset = open.end;
        transfer.bytes = std::move(made.bytes);
        auto written = core_.store.transfer(std::move(transfer));
        if (!written) stored = written.error();
    }
    core_.slots.give(length);

    MutexLock lock(mutex_);
    if (stored && !records_.contains(open.pack)) stored = fail(ESHUTDOWN, "the session of the pack is over");
    if (!stored) {  // it may be there all the same, or come
        close(open.pack, true);
        return stored.error();
    }
    records_[open.pack].members += files.size();
    open.end += length;
    ++open.segments;
    if (kPackMax - open.end < kSegmentMax / 4) close(open.pack, false);
    else idle_.push_back(open);
    std::vector<Extent> extents;
    for (const PackMember& member : made.members) extents.push_back(extent_of(open.pack, member));
    return extents;
}

// One with room for so many bytes, for the caller alone.
Result<Packer::Open> Packer::take(uint64_t bytes) {
    close_old();
    MutexLock lock(mutex_);
    auto roomy = std::find_if(idle_.begin(), idle_.end(), [&](const Open& open) { return open.end + bytes <= kPackMax; });
    if (roomy != idle_.end()) {
        Open open = *roomy;
        idle_.erase(roomy);
        return open;
    }
    if (idle_.size() >= kIdleMax) {
        close(idle_.front().pack, false);
        idle_.erase(idle_.begin());
    }
    Open open{.pack = core_.hooks.next_blob(Ino{}), .since = core_.clock.boot_ns()};
    if (open.pack == BlobId{}) return fail(ESHUTDOWN, "there is no session that a pack could be of");
    records_[open.pack];
    return open;
}

void Packer::close_old() {
    const int64_t now = core_.clock.boot_ns();
    MutexLock lock(mutex_);
    std::erase_if(idle_, [&](const Open& open) REQUIRES(mutex_) {
        bool is_over = session_of(open.pack) != core_.session() || now - open.since > kOpenNs;
        if (is_over) close(open.pack, false);
        return is_over;
    });
}

// What is on record of them went with the session.
void Packer::begin_anew() {
    MutexLock lock(mutex_);
    idle_.clear();
    records_.clear();
}

void Packer::close(BlobId pack, bool is_left_over) {
    auto record = records_.find(pack);
    if (record == records_.end()) return;
    record->second.is_open = false;
    record->second.is_left_over |= is_left_over;
    drop_if_over(pack);
}

void Packer::left(BlobId pack, bool is_lost) {
    MutexLock lock(mutex_);
    auto record = records_.find(pack);
    if (record == records_.end()) return;
    record->second.is_left_over |= is_lost;
    if (record->second.members > 0) --record->second.members;
    drop_if_over(pack);
}

void Packer::stop() {
    MutexLock lock(mutex_);
    for (const Open& open : idle_) close(open.pack, false);
    idle_.clear();
}

// Of one with bytes that nobody may ever map the record stays until the session is over, and gc looks.
void Packer::drop_if_over(BlobId pack) {
    const Record record = records_[pack];
    if (record.is_open || record.members > 0) return;
    if (!record.is_left_over && session_of(pack) == core_.session() && core_.hooks.forget_reach)
        core_.hooks.forget_reach(pack);
    records_.erase(pack);
}

}  // namespace meshfs
