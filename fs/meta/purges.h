// What nobody has open any more, on its way out: cleared for the caller, and removed by the caller.
#pragma once

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "fs/base/mutex.h"
#include "fs/meta/format.h"
#include "fs/meta/meta.h"

namespace meshfs {

// Threads: any; never blocks.  Losing it loses nothing: the records are in the store.
class Purges {
public:
    using Place = std::pair<ObjectName, std::string>;  // object and key of the record
    struct Removed {
        Place place;
        bool had_locks = false;  // l.<ino> goes with it
    };
    void put_cleared(Purgeable item);
    std::vector<Purgeable> take_cleared(size_t max);
    // Its bytes are gone: the record is next.  True: enough of them for a mutation.
    bool put_removed(const Purgeable& item);
    void put_removed(Removed removed);
    std::vector<Removed> take_removed();

    static std::string token_of(const Place& place);
    static Place place_of_token(const std::string& token);

private:
    static constexpr size_t kRemovedMax = 512;
    Mutex mutex_;
    std::deque<Purgeable> cleared_ GUARDED_BY(mutex_);
    std::vector<Removed> removed_ GUARDED_BY(mutex_);
};

}  // namespace meshfs
