// What the kernel of a mount keeps of its answers, as long as that was promised, or as it is late to hear.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "fs/base/random.h"
#include "fs/meta/meta.h"
#include "test/sim/model.h"

namespace meshfs::sim {

// Belongs to who holds the token.
class Kernel {
public:
    // Hears from now on what is broken, unless it is deaf.  late_ns_max: threads go on with an answer so much later.
    Kernel(Meta& meta, Random& random, bool is_deaf, int64_t late_ns_max);
    ~Kernel();

    // lookup: as Meta answers, and keeps the attributes; get: from what is kept, or so.
    void answer(Operation& op);
    // An operation of this mount itself is done: what it touched is not kept.
    void forget(const Operation& op);
    uint64_t kept() const { return kept_; }  // answers from memory
    uint64_t names_kept() const { return names_kept_; }  // of these, by a name that was kept

private:
    struct Attributes {
        Operation::Seen seen;
        int64_t until = 0;
    };
    struct Name {
        Ino ino{};
        int64_t until = 0;
    };
    bool get_from_memory(Operation& op);
    bool look_up_from_memory(Operation& op);
    void ask(Operation& op);

    Meta& meta_;
    Random& random_;
    const int64_t late_ns_max_;
    std::map<Ino, Attributes> attributes_;
    std::map<std::pair<Ino, std::string>, Name> names_;
    uint64_t version_ = 0, kept_ = 0, names_kept_ = 0;
};

Operation::Seen seen_of(const Inode& inode);

}  // namespace meshfs::sim
