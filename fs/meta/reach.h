// Where blobs of this session may lie: on record in s.<session> before they do, so that what a mount wrote and nobody
// maps is found without a listing once the mount is no more.
//
// Ids are given out in blocks that one key records: a block of 64 for the 64 files whose numbers are neighbours (made one
// after the other, mostly), a run of up to 256 for one file that needs a blob again and again.  Such a key speaks of the
// first objects only; who writes beyond has a key of his blob alone, 256 objects ahead.  So a thousand small files cost
// about 16 store calls, and a large one a call a GiB.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "fs/base/mutex.h"
#include "fs/base/result.h"
#include "fs/meta/format.h"

namespace meshfs {

class OwnKeys;
class Session;

// Threads: any.
class Reaches {
public:
    explicit Reaches(OwnKeys& keys) : keys_(keys) {}
    // An id nobody had, for a file of that number, or 0, a pack.  Never blocks.
    BlobId next(SessionId session, Ino home);
    // Objects first .. last of that blob may exist from now on; answers the last that may.  Any blob: this session's, or
    // one that an earlier session began.  Blocks.
    Result<uint64_t> record(Session& session, BlobId blob, Ino home, uint64_t first, uint64_t last);
    // All of it that was written is published: of each blob of next() and record().  Never blocks.
    void forget(BlobId blob);
    bool lives(BlobId blob);  // it was given or recorded, and not forgotten
    // At the session's end: no more are given.  Keys of what was not forgotten stay.
    void close();

private:
    static constexpr uint32_t kNeighbours = 64, kRunMin = 4, kRunMax = 256;  // ids in a block
    static constexpr uint32_t kPacksMax = 16;     // ids in a block of packs: what gc does not touch while a mount lives
    static constexpr uint64_t kBlockObjects = 4;  // of each blob of a block: 0 .. 3
    static constexpr uint64_t kAheadObjects = 256;
    static constexpr size_t kOpenMax = 256;       // past it one is closed, and the rest of its ids is not used
    struct Block {
        ReachRecord record;
        uint32_t size = 0;
        uint64_t given = 0;          // of neighbours: a bit each; of a run: how many
        std::set<BlobId> living = {};  // given and not forgotten
        bool is_open = true;         // more may be given
        bool was_sent = false;       // may be in the store
        bool is_recorded = false;
    };
    struct Alone {
        ReachRecord wanted;
        std::optional<ReachRecord> recorded;
        bool was_sent = false;
    };
    using Blocks = std::map<BlobId, Block>;                  // by the first id
    using Open = std::map<std::pair<bool, Ino>, BlobId>;     // of neighbours?, first home -> first id
    Blocks::iterator block_of(BlobId blob) REQUIRES(mutex_);  // if it lives
    Open::iterator add_block(SessionId session, Ino home, uint32_t size, bool homes_rise) REQUIRES(mutex_);
    BlobId give(Open::iterator open, Blocks::iterator block, uint32_t number, bool is_used_up) REQUIRES(mutex_);
    void close(Open::iterator open) REQUIRES(mutex_);
    void drop_if_over(Blocks::iterator block) REQUIRES(mutex_);
    bool is_on_record(BlobId blob, Ino home, uint64_t first, uint64_t& last) REQUIRES(mutex_);
    Status write(Session& session) REQUIRES(mutex_);  // lets go of it meanwhile

    OwnKeys& keys_;
    Mutex mutex_;
    CondVar written_;
    bool is_writing_ GUARDED_BY(mutex_) = false;
    uint32_t last_number_ GUARDED_BY(mutex_) = 0;
    Blocks blocks_ GUARDED_BY(mutex_);
    Open open_ GUARDED_BY(mutex_);
    std::map<BlobId, Alone> alone_ GUARDED_BY(mutex_);
    std::map<std::pair<BlobId, uint32_t>, ReachRecord> wanted_ GUARDED_BY(mutex_);  // to be written: first id, how many
};

}  // namespace meshfs
