#include "fs/meta/reach.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "fs/meta/own_keys.h"

namespace meshfs {
namespace {

// Half of a session's ids are gone: blocks of which most would stay unused are no longer made.
constexpr uint32_t kScarce = 1u << 31;

BlobId after(BlobId blob, uint32_t n) { return BlobId{raw(blob) + n}; }
std::string key_of(BlobId first, uint32_t size) { return reach_key(first, after(first, size - 1)); }

}  // namespace

Reaches::Blocks::iterator Reaches::block_of(BlobId blob) {
    auto block = blocks_.upper_bound(blob);
    if (block == blocks_.begin()) return blocks_.end();
    --block;
    return block->second.living.contains(blob) ? block : blocks_.end();
}

BlobId Reaches::next(SessionId session, Ino home) {
    MutexLock lock(mutex_);
    const bool is_pack = home == Ino{};
    const uint32_t at = raw(home) % kNeighbours;
    const Ino first_home{raw(home) - at};
    auto open = is_pack ? open_.end() : open_.find({true, first_home});
    if (!is_pack && open == open_.end() && last_number_ < kScarce) open = add_block(session, first_home, kNeighbours, true);
    if (open != open_.end()) {
        auto block = blocks_.find(open->second);
        if ((block->second.given >> at & 1) == 0) {
            block->second.given |= uint64_t{1} << at;
            return give(open, block, at, block->second.given == UINT64_MAX);
        }
    }
    uint32_t size = last_number_ < kScarce ? kRunMin : 1;
    open = open_.find({false, home});
    if (open != open_.end()) {
        auto block = blocks_.find(open->second);
        if (block->second.given < block->second.size) {
            const auto number = static_cast<uint32_t>(block->second.given++);
            return give(open, block, number, false);
        }
        if (last_number_ < kScarce) size = std::min(block->second.size * 4, is_pack ? kPacksMax : kRunMax);
        close(open);
    }
    open = add_block(session, home, size, false);
    auto block = blocks_.find(open->second);
    block->second.given = 1;
    return give(open, block, 0, false);
}

BlobId Reaches::give(Open::iterator open, Blocks::iterator block, uint32_t number, bool is_used_up) {
    BlobId blob = after(block->first, number);
    block->second.living.insert(blob);
    if (is_used_up) close(open);
    return blob;
}

Reaches::Open::iterator Reaches::add_block(SessionId session, Ino home, uint32_t size, bool homes_rise) {
    if (open_.size() >= kOpenMax)  // the oldest
        close(std::min_element(open_.begin(), open_.end(), [](auto& a, auto& b) { return a.second < b.second; }));
    // A blob id that comes twice would mix two files; a session has 2^32 - 1.
    assert(last_number_ <= UINT32_MAX - size);
    BlobId first{static_cast<uint64_t>(raw(session)) << 32 | (last_number_ + 1)};
    last_number_ += size;
    Block block{.record = {.home = home, .homes_rise = homes_rise, .first = 0, .last = kBlockObjects - 1}, .size = size};
    blocks_.emplace(first, std::move(block));
    return open_.emplace(std::pair(homes_rise, home), first).first;
}

void Reaches::close(Open::iterator open) {
    auto block = blocks_.find(open->second);
    open_.erase(open);
    block->second.is_open = false;
    drop_if_over(block);
}

void Reaches::drop_if_over(Blocks::iterator block) {
    const Block& b = block->second;
    if (b.is_open || !b.living.empty()) return;
    const std::string key = key_of(block->first, b.size);
    if (b.was_sent) keys_.drop(key);
    wanted_.erase({block->first, b.size});
    blocks_.erase(block);
}

// What must be written for it is in wanted_, if anything.
bool Reaches::is_on_record(BlobId blob, Ino home, uint64_t first, uint64_t& last) {
    auto block = block_of(blob);
    if (block != blocks_.end() && last < kBlockObjects) {
        last = kBlockObjects - 1;
        if (!block->second.is_recorded) wanted_[{block->first, block->second.size}] = block->second.record;
        return block->second.is_recorded;
    }
    auto [found, is_new] = alone_.try_emplace(blob);
    Alone& alone = found->second;
    if (!is_new && alone.recorded && alone.recorded->first <= first && last <= alone.recorded->last) {
        last = alone.recorded->last;
        return true;
    }
    ReachRecord wanted{.home = home, .first = first, .last = last + std::min(kAheadObjects, UINT64_MAX - last)};
    if (!is_new) wanted.first = std::min(first, alone.wanted.first), wanted.last = std::max(wanted.last, alone.wanted.last);
    alone.wanted = wanted;
    wanted_[{blob, 1}] = wanted;
    return false;
}

Result<uint64_t> Reaches::record(Session& session, BlobId blob, Ino home, uint64_t first, uint64_t last) {
    MutexLock lock(mutex_);
    for (;;) {
        uint64_t recorded_last = last;
        if (is_on_record(blob, home, first, recorded_last)) return recorded_last;
        if (!is_writing_) TRY(write(session));
        else written_.wait(mutex_);  // and maybe ours went with it
    }
}

// All that anybody waits for, in one mutation; one at a time, so that a key is written and removed as last said.
Status Reaches::write(Session& session) {
    is_writing_ = true;
    auto taken = std::exchange(wanted_, {});
    std::vector<Key> set;
    for (const auto& [ids, record] : taken) {
        set.emplace_back(key_of(ids.first, ids.second), encode(record));
        if (auto block = blocks_.find(ids.first); ids.second > 1 && block != blocks_.end()) block->second.was_sent = true;
        if (auto alone = alone_.find(ids.first); ids.second == 1 && alone != alone_.end()) alone->second.was_sent = true;
    }
    mutex_.unlock();
    auto status = keys_.put(session, std::move(set));
    mutex_.lock();
    is_writing_ = false;
    written_.notify_all();
    TRY(status);  // who waits for these keys wants them again
    for (const auto& [ids, record] : taken) {
        if (auto block = blocks_.find(ids.first); ids.second > 1 && block != blocks_.end()) block->second.is_recorded = true;
        if (auto alone = alone_.find(ids.first); ids.second == 1 && alone != alone_.end()) alone->second.recorded = record;
    }
    return {};
}

void Reaches::forget(BlobId blob) {
    MutexLock lock(mutex_);
    if (auto alone = alone_.find(blob); alone != alone_.end()) {
        if (alone->second.was_sent) keys_.drop(key_of(blob, 1));
        wanted_.erase({blob, 1});
        alone_.erase(alone);
    }
    auto block = block_of(blob);
    if (block == blocks_.end()) return;
    block->second.living.erase(blob);
    drop_if_over(block);
}

bool Reaches::lives(BlobId blob) {
    MutexLock lock(mutex_);
    return alone_.contains(blob) || block_of(blob) != blocks_.end();
}

void Reaches::close() {
    MutexLock lock(mutex_);
    while (!open_.empty()) close(open_.begin());
}

}  // namespace meshfs
