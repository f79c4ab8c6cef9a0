// A set of numbers that were given out one after the other: a bit each.
#pragma once

#include <bitset>
#include <cstdint>
#include <unordered_map>

namespace meshfs::check {

class IdSet {
public:
    // False: it was in already.
    bool add(uint64_t id) {
        auto bit = chunks_[id / kChunk][id % kChunk];
        bool is_new = !bit;
        bit = true;
        return is_new;
    }
    bool has(uint64_t id) const {
        auto chunk = chunks_.find(id / kChunk);
        return chunk != chunks_.end() && chunk->second[id % kChunk];
    }

private:
    static constexpr uint64_t kChunk = 4096;
    std::unordered_map<uint64_t, std::bitset<kChunk>> chunks_;
};

}  // namespace meshfs::check
