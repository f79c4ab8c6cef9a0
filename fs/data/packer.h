// Stores small files together: segments of packs, built in memory, each written by one operation.
//
// Only this session writes to its packs, and who writes to one has it for himself: so a segment begins where the one before
// it ends, and what failed is the end of its pack.
#pragma once

#include <map>
#include <vector>

#include "fs/base/mutex.h"
#include "fs/data/data.h"

namespace meshfs {

// Threads: any.
class Packer {
public:
    explicit Packer(Data::Core& core) : core_(core) {}
    // Data::store_packed.
    Result<std::vector<Extent>> store(const std::vector<ToPack>& files);
    void left(BlobId pack, bool is_lost);
    void close_old();   // and of sessions that are over
    void begin_anew();  // the session is over: to none of its packs anything is added, also by who is writing just now
    void stop();        // no more are stored

private:
    static constexpr size_t kIdleMax = 4;                     // as many as there are flushers
    static constexpr int64_t kOpenNs = 60 * kNsPerSecond;     // then nothing more is added
    struct Open {
        BlobId pack{};
        uint64_t end = 0;
        uint32_t segments = 0;
        int64_t since = 0;  // by boot_ns()
    };
    // What keeps a pack on record: segments to come, and members that are not published.
    struct Record {
        bool is_open = true, is_left_over = false;
        size_t members = 0;
    };
    Result<Open> take(uint64_t bytes);
    void close(BlobId pack, bool is_left_over) REQUIRES(mutex_);
    void drop_if_over(BlobId pack) REQUIRES(mutex_);

    Data::Core& core_;
    Mutex mutex_;
    std::vector<Open> idle_ GUARDED_BY(mutex_);
    std::map<BlobId, Record> records_ GUARDED_BY(mutex_);  // of a pack that is not there nothing is known any more
};

}  // namespace meshfs
