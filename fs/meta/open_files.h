// Files that are open in this mount: what no purge may take.
#pragma once

#include <map>

#include "fs/base/mutex.h"
#include "fs/base/types.h"

namespace meshfs {

// Threads: any; never blocks.
class OpenFiles {
public:
    bool enter(Ino ino);  // false: it was in
    // True: somebody wanted to purge it meanwhile, and now can.
    bool leave(Ino ino);
    // Somebody wants to purge it: false, it is not open here; true, and leave() will tell.
    bool keeps(Ino ino);

private:
    Mutex mutex_;
    std::map<Ino, bool> open_ GUARDED_BY(mutex_);  // true: a purge waits for it
};

}  // namespace meshfs
