// Whether anybody else uses the volume.
//
// Only a hint: who has come since is heard of when he wants something, or looks for himself.
#pragma once

#include <cstdint>

namespace meshfs {

class MetaCore;

class Alone {
public:
    // Looks, if it is time to: at once, then ever more seldom while there are others.  One thread at a time.
    void look(MetaCore& core);

private:
    int64_t next_ = 0, pause_ = 0;  // by boot_ns()
};

}  // namespace meshfs
