// Where store_conformance_test.cc gets its stores: one factory a kind.
#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "fs/store/store.h"

namespace meshfs {

// One place where objects lie, empty when made; gone, with all that is in it, when destroyed.
class ConformancePlace {
public:
    virtual ~ConformancePlace() = default;
    // A client of this place.  The first call makes it.  Of an exclusive store (Store::is_exclusive) only one is
    // open at a time: opening again after the first was destroyed finds what it left.
    virtual std::unique_ptr<Store> open() = 0;
    // Has fenced_is_ESHUTDOWN, two mailboxes and their like: several clients can be open at once.
    virtual bool takes_several() const = 0;
    // A client of a place of its own with room for `bytes`, between 1 and 64 MiB; null: cannot be made here.
    virtual std::unique_ptr<Store> open_with_room(uint64_t bytes) = 0;
};

struct ConformanceKind {
    std::string name;  // as in test names: letters and digits
    std::function<std::unique_ptr<ConformancePlace>()> make;
};
inline void PrintTo(const ConformanceKind& kind, std::ostream* out) { *out << kind.name; }

// All that can run here.  A new kind: a line in conformance_stores.cc.
std::vector<ConformanceKind> conformance_kinds();

}  // namespace meshfs
