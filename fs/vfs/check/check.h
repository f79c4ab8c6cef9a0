// check: are the names and bytes of a volume what they must be?  With `repair`, makes them so.
//
// Reads the store, not a mount's memory.  What is found wrong while others work on the volume is read again, and is
// called wrong only if it stays.  Each repair is one mutation, guarded on what was read: it takes effect on that, or
// not at all.  A record that is taken away keeps its bytes in the same object, under the key '?' and its old key.
//
// Memory: a bit a group and blob, 32 bytes a file with several names, the names of directories that wait to be
// looked at, and a group's slots (24 bytes each) a thread; with `deep` 32 bytes a file that has objects.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "fs/meta/meta.h"

namespace meshfs {

struct Finding {
    enum class State : uint8_t {
        wrong,  // and stays so
        repaired,
        failed,  // `what` ends with why it could not be repaired
        note     // not wrong: what could not be looked at, or will go by itself
    };
    State state = State::wrong;
    std::string object, key;  // key: escaped; empty: the object itself
    std::string path;         // empty: none is known
    std::string what;         // "its slot does not lead back to it"
    std::string repair;       // what --repair does; empty: nothing
};

struct CheckCounts {
    uint64_t directories = 0, names = 0, files = 0, objects = 0;  // looked at
    uint64_t wrong = 0, repaired = 0, notes = 0;
};

struct CheckOptions {
    bool repair = false;
    bool deep = false;  // looks for each object of data, and lists the pools: objects that nothing names
    bool live = false;  // others may work on the volume
    unsigned threads = 4;
    std::function<void(const Finding&)> found;         // one call at a time
    std::function<void(const CheckCounts&)> progress;  // after each directory, one call at a time
    const std::atomic<bool>* stopping = nullptr;       // EINTR once it is true
};

// An error is the store's, or EINTR: the volume was not looked at wholly.  `meta` may be read-only unless `repair`.
Result<CheckCounts> check_volume(Meta& meta, const CheckOptions& options);

}  // namespace meshfs
