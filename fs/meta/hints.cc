#include "fs/meta/hints.h"

#include <bit>

namespace meshfs {

void InoHints::put(Ino ino, GroupId group, std::string_view name) {
    MutexLock lock(mutex_);
    if (table_.empty()) table_.resize(kEntries);
    Hint& hint = table_[index_of(ino)];
    hint.ino = ino;
    hint.group = group;
    hint.name = name;
}

std::optional<InoHints::Hint> InoHints::find(Ino ino) const {
    MutexLock lock(mutex_);
    if (table_.empty()) return {};
    const Hint& hint = table_[index_of(ino)];
    if (hint.ino != ino) return {};
    return hint;
}

void InoHints::forget(Ino ino) {
    MutexLock lock(mutex_);
    if (table_.empty()) return;
    Hint& hint = table_[index_of(ino)];
    if (hint.ino == ino) hint = {};
}

std::optional<GroupId> RangeMaps::find(Ino directory, std::string_view name) const {
    MutexLock lock(mutex_);
    auto found = maps_.find(raw(directory));
    if (found == maps_.end()) return {};
    auto after = found->second.upper_bound(name);
    if (after == found->second.begin()) return {};
    return std::prev(after)->second;
}

std::optional<RangeMap> RangeMaps::get(Ino directory) const {
    MutexLock lock(mutex_);
    auto found = maps_.find(raw(directory));
    if (found == maps_.end()) return {};
    return found->second;
}

void RangeMaps::put(Ino directory, RangeMap map) {
    MutexLock lock(mutex_);
    if (ranges_ + map.size() > kRangesMax) {
        maps_.clear();
        ranges_ = 0;
    }
    auto [place, added] = maps_.try_emplace(raw(directory));
    if (!added) ranges_ -= place->second.size();
    ranges_ += map.size();
    place->second = std::move(map);
}

void RangeMaps::forget(Ino directory) {
    MutexLock lock(mutex_);
    auto found = maps_.find(raw(directory));
    if (found == maps_.end()) return;
    ranges_ -= found->second.size();
    maps_.erase(found);
}

std::optional<Sum> RangeSums::find(Ino directory, int64_t boot_ns) const {
    MutexLock lock(mutex_);
    auto found = sums_.find(raw(directory));
    if (found == sums_.end() || boot_ns - found->second.at >= kKeptNs) return {};
    return found->second.sum;
}

void RangeSums::put(Ino directory, const Sum& sum, int64_t boot_ns) {
    MutexLock lock(mutex_);
    if (sums_.size() >= kDirectoriesMax) sums_.clear();
    sums_[raw(directory)] = {sum, boot_ns};
}

void RangeSums::forget(Ino directory) {
    MutexLock lock(mutex_);
    sums_.erase(raw(directory));
}

void UnlinkedQueue::push(Item item) {
    MutexLock lock(mutex_);
    int64_t due_ns = item.due_ns;
    if (items_.size() < kItemsMax) items_.emplace(due_ns, std::move(item));
}

std::vector<UnlinkedQueue::Item> UnlinkedQueue::take(size_t max, int64_t now_ns) {
    MutexLock lock(mutex_);
    std::vector<Item> taken;
    while (!items_.empty() && items_.begin()->first <= now_ns && taken.size() < max)
        taken.push_back(std::move(items_.extract(items_.begin()).mapped()));
    return taken;
}

size_t UnlinkedQueue::size() const {
    MutexLock lock(mutex_);
    return items_.size();
}

std::optional<Slot> SlotReserve::take(GroupId group) {
    MutexLock lock(mutex_);
    auto found = free_.find(raw(group));
    if (found == free_.end()) return {};
    Slot slot = found->second.back();
    found->second.pop_back();
    if (found->second.empty()) free_.erase(found);
    return slot;
}

void SlotReserve::give(GroupId group, std::vector<Slot> slots) {
    if (slots.empty()) return;
    MutexLock lock(mutex_);
    if (free_.size() >= kGroupsMax && !free_.contains(raw(group))) free_.erase(free_.begin());
    auto& have = free_[raw(group)];
    have.insert(have.end(), slots.begin(), slots.end());
}

uint8_t Lanes::acquire(const std::string& object) {
    MutexLock lock(mutex_);
    for (;;) {
        uint64_t& busy = busy_[object];
        if (~busy != 0) {
            auto lane = static_cast<uint8_t>(std::countr_one(busy));
            busy |= uint64_t{1} << lane;
            return lane;
        }
        released_.wait(mutex_);
    }
}

void Lanes::release(const std::string& object, uint8_t lane) {
    {
        MutexLock lock(mutex_);
        auto found = busy_.find(object);
        found->second &= ~(uint64_t{1} << lane);
        if (found->second == 0) busy_.erase(found);
    }
    released_.notify_all();
}

uint64_t Lanes::next_number() {
    MutexLock lock(mutex_);
    return ++last_number_;
}

}  // namespace meshfs
