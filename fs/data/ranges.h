// A set of bytes of a file, as ranges that neither overlap nor touch.
#pragma once

#include <map>
#include <vector>

#include "fs/base/types.h"

namespace meshfs {

class RangeSet {
public:
    void add(ByteRange range);
    void drop(ByteRange range);
    void clear() { ends_.clear(); }
    std::vector<ByteRange> all() const;

private:
    std::map<uint64_t, uint64_t> ends_;  // by where they begin
};

}  // namespace meshfs
