// Bytes accepted and not yet stored: pieces by file offset, newest wins.
#pragma once

#include <map>
#include <vector>

#include "fs/base/buffer.h"
#include "fs/base/types.h"

namespace meshfs {

class Dirty {
public:
    // Replaces what is there.
    void put(uint64_t offset, Buffer bytes);
    // Puts in only what is not there yet: older bytes that could not be stored.
    void put_below(const Dirty& older);
    void drop(ByteRange range);
    // The parts of `range` that are here leave it.
    struct Part {
        uint64_t offset;
        Buffer bytes;
    };
    std::vector<Part> take(ByteRange range);
    void clear();
    bool empty() const { return pieces_.empty(); }
    uint64_t bytes() const { return bytes_; }
    uint64_t end() const;  // of the last piece; 0 if there is none
    const std::map<uint64_t, Buffer>& pieces() const { return pieces_; }

    // The parts of `range` that are here, in order.
    std::vector<Part> parts_in(ByteRange range) const;
    // The parts of `range` that are not.
    std::vector<ByteRange> gaps_in(ByteRange range) const;
    bool covers(ByteRange range) const;   // there are none
    bool has_any(ByteRange range) const;
    std::vector<ByteRange> runs() const;  // of pieces that touch, in order

private:
    std::map<uint64_t, Buffer>::const_iterator piece_at(uint64_t offset) const;  // end(): no piece holds it
    std::map<uint64_t, Buffer> pieces_;  // by offset, not overlapping
    uint64_t bytes_ = 0;
};

}  // namespace meshfs
