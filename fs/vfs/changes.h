// Who wants to be told of changes made through this mount: the hosts' watches.
#pragma once

#include <functional>
#include <string>

#include "fs/base/types.h"

namespace meshfs {

struct Change {
    enum class Kind : uint8_t { created = 1, changed = 2, removed = 3, renamed = 4 };
    Kind kind = Kind::changed;
    Ino directory{};    // of the name; 0 if only the file is known
    std::string name;
    Ino ino{};
};
// Called after the change, on the thread that made it; must not block.
using ChangeObserver = std::function<void(const Change&)>;

}  // namespace meshfs
