// What people are shown of groups that are held, and of those fought over.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fs/base/types.h"

namespace meshfs {

struct LeaseUsage {  // of this session, since it began
    uint64_t held = 0;                  // groups
    uint64_t unwritten = 0;             // of these, such as have changes that the store has not got
    uint64_t bytes = 0;                 // of their copies in memory, about
    uint64_t batches = 0, records = 0;  // written, and how many keys were in them
    uint64_t recalls = 0;               // groups that other mounts asked for
    double recalls_a_second = 0;        // of the last ten seconds
    struct Contended {
        std::string group;  // the object
        Ino directory{};    // 0: not known, or gone
        uint64_t times = 0; // it was asked back from this mount, or by it; each 50 ms once
    };
    std::vector<Contended> contended;   // most often first, then the latest; a few
};

}  // namespace meshfs
