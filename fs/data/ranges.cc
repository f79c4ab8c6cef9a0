#include "fs/data/ranges.h"

#include <algorithm>

namespace meshfs {

void RangeSet::add(ByteRange range) {
    if (range.length == 0) return;
    uint64_t from = range.offset, to = range.end();
    auto it = ends_.upper_bound(from);
    if (it != ends_.begin() && std::prev(it)->second >= from) --it;
    while (it != ends_.end() && it->first <= to) {
        from = std::min(from, it->first);
        to = std::max(to, it->second);
        it = ends_.erase(it);
    }
    ends_.emplace(from, to);
}

void RangeSet::drop(ByteRange range) {
    if (range.length == 0) return;
    auto it = ends_.upper_bound(range.offset);
    if (it != ends_.begin() && std::prev(it)->second > range.offset) --it;
    while (it != ends_.end() && it->first < range.end()) {
        auto [from, to] = *it;
        it = ends_.erase(it);
        if (from < range.offset) ends_.emplace(from, range.offset);
        if (to > range.end()) it = std::next(ends_.emplace(range.end(), to).first);
    }
}

std::vector<ByteRange> RangeSet::all() const {
    std::vector<ByteRange> ranges;
    for (auto [from, to] : ends_) ranges.push_back({from, to - from});
    return ranges;
}

}  // namespace meshfs
