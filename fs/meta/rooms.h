// Asking the one mount that writes a file to make room for others: a recall, not of an object, but of the right to write
// alone, of which a file's write version is the epoch.
#pragma once

#include <functional>
#include <string>

#include "fs/base/mutex.h"
#include "fs/store/store.h"

namespace meshfs {

// Any thread.
class Rooms {
public:
    static ObjectName recall_name(Ino ino);
    // Once it returns, no earlier one is called any more.
    void on_wanted(std::function<void(Ino)> wanted);
    // False: something else is recalled.
    bool tell(const std::string& recalled);

private:
    Mutex mutex_;
    std::function<void(Ino)> wanted_ GUARDED_BY(mutex_);
};

}  // namespace meshfs
