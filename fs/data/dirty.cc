#include "fs/data/dirty.h"

#include <algorithm>

namespace meshfs {

// A rest of a piece, which may be a page of a large buffer: what is small does not keep that.
static Buffer rest_of(const Buffer& piece, size_t offset, size_t length) {
    constexpr size_t kCopiedMax = 256 << 10;
    Buffer rest = piece.slice(offset, length);
    return length <= kCopiedMax && length < piece.size() ? Buffer::copy_of(rest.view()) : rest;
}

void Dirty::drop(ByteRange range) {
    if (range.length == 0) return;
    auto it = pieces_.upper_bound(range.offset);
    if (it != pieces_.begin()) --it;
    while (it != pieces_.end() && it->first < range.end()) {
        uint64_t at = it->first;
        Buffer piece = it->second;
        uint64_t end = at + piece.size();
        if (end <= range.offset) {
            ++it;
            continue;
        }
        bytes_ -= piece.size();
        it = pieces_.erase(it);
        if (at < range.offset) {
            pieces_.emplace(at, rest_of(piece, 0, range.offset - at));
            bytes_ += range.offset - at;
        }
        if (end > range.end()) {
            uint64_t kept = end - range.end();
            it = pieces_.emplace(range.end(), rest_of(piece, piece.size() - kept, kept)).first;
            bytes_ += kept;
            break;
        }
    }
}

void Dirty::put(uint64_t offset, Buffer bytes) {
    if (bytes.empty()) return;
    drop({offset, bytes.size()});
    bytes_ += bytes.size();
    pieces_.emplace(offset, std::move(bytes));
}

void Dirty::put_below(const Dirty& older) {
    for (const auto& [offset, bytes] : older.pieces_)
        for (const ByteRange& gap : gaps_in({offset, bytes.size()}))
            put(gap.offset, bytes.slice(gap.offset - offset, gap.length));
}

std::vector<Dirty::Part> Dirty::take(ByteRange range) {
    auto parts = parts_in(range);
    drop(range);
    return parts;
}

void Dirty::clear() {
    pieces_.clear();
    bytes_ = 0;
}

uint64_t Dirty::end() const {
    return pieces_.empty() ? 0 : pieces_.rbegin()->first + pieces_.rbegin()->second.size();
}

std::vector<Dirty::Part> Dirty::parts_in(ByteRange range) const {
    std::vector<Part> parts;
    auto it = pieces_.upper_bound(range.offset);
    if (it != pieces_.begin()) --it;
    for (; it != pieces_.end() && it->first < range.end(); ++it) {
        uint64_t from = std::max(it->first, range.offset);
        uint64_t to = std::min(it->first + it->second.size(), range.end());
        if (from < to) parts.push_back({from, it->second.slice(from - it->first, to - from)});
    }
    return parts;
}

std::vector<ByteRange> Dirty::gaps_in(ByteRange range) const {
    std::vector<ByteRange> gaps;
    uint64_t at = range.offset;
    for (const Part& part : parts_in(range)) {
        if (part.offset > at) gaps.push_back({at, part.offset - at});
        at = part.offset + part.bytes.size();
    }
    if (at < range.end()) gaps.push_back({at, range.end() - at});
    return gaps;
}

std::map<uint64_t, Buffer>::const_iterator Dirty::piece_at(uint64_t offset) const {
    auto it = pieces_.upper_bound(offset);
    if (it == pieces_.begin()) return pieces_.end();
    --it;
    return offset < it->first + it->second.size() ? it : pieces_.end();
}

// Asked at each write: what is filled from one end to the other costs two look-ups until its last byte is there.
bool Dirty::covers(ByteRange range) const {
    if (range.length == 0) return true;
    auto it = piece_at(range.offset), last = piece_at(range.end() - 1);
    if (it == pieces_.end() || last == pieces_.end()) return false;
    for (; it != last; ++it)
        if (std::next(it)->first != it->first + it->second.size()) return false;
    return true;
}

bool Dirty::has_any(ByteRange range) const {
    auto next = pieces_.lower_bound(range.offset);
    return piece_at(range.offset) != pieces_.end() || (next != pieces_.end() && next->first < range.end());
}

std::vector<ByteRange> Dirty::runs() const {
    std::vector<ByteRange> runs;
    for (const auto& [offset, bytes] : pieces_) {
        if (!runs.empty() && runs.back().end() == offset) runs.back().length += bytes.size();
        else runs.push_back({offset, bytes.size()});
    }
    return runs;
}

}  // namespace meshfs
