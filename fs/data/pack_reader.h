// Reads members of packs.  What lies in a pack never changes, so whoever reads members one after the other, as they lie
// there, is served from runs of 1 MiB, of which the last few are kept.
#pragma once

#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "fs/base/mutex.h"
#include "fs/data/pack.h"

namespace meshfs {

// Threads: any; never blocks.  Outlives its calls.
class PackReader {
public:
    explicit PackReader(Store& store) : store_(store) {}
    // Exactly these bytes.  ESTALE: they are not there: the pack is gone, and the file is elsewhere by now.  The callback may
    // come inside the call; it must only hand over.
    void read(Pool pool, BlobId pack, ByteRange range, Then<Buffers> then);
    // The same from the store, and nothing of there is kept: what was read is damaged.
    void read_again(Pool pool, BlobId pack, ByteRange range, Then<Buffers> then);
    uint64_t cached_bytes() const;

private:
    static constexpr uint64_t kRunBytes = 1u << 20;
    static constexpr size_t kRunsMax = 16;
    static constexpr uint64_t kNearBytes = 256u << 10;  // so close behind the last read: in order
    static constexpr size_t kPlacesMax = 16;            // packs that are read at the same time
    using Place = std::pair<BlobId, uint64_t>;          // a run by its number in the pack
    struct Waiting {
        uint64_t needed;   // so many bytes of the run must be there
        bool has_fetched;  // it is not from before the call
        Then<Buffer> then;
    };
    struct Run {
        bool is_there = false;
        Buffer bytes;  // short: the pack ended there
        std::vector<Waiting> waiting;
    };
    bool is_in_order(BlobId pack, ByteRange range);
    void read_run(Pool pool, Place place, uint64_t needed, Then<Buffer> then);
    void ended(Pool pool, Place place, const Result<Buffer>& bytes);
    void fetch_alone(Pool pool, BlobId pack, ByteRange range, Then<Buffers> then);
    void fetch(Pool pool, BlobId pack, ByteRange range, bool may_be_short, Then<Buffer> then);

    Store& store_;
    mutable Mutex mutex_;
    std::deque<std::pair<BlobId, uint64_t>> places_ GUARDED_BY(mutex_);  // where the last reads of packs ended
    std::map<Place, Run> runs_ GUARDED_BY(mutex_);
    std::deque<Place> order_ GUARDED_BY(mutex_);  // of those that are there
};

}  // namespace meshfs
