// What the kernel of a mount keeps of its answers, as long as that was promised.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "fs/meta/meta.h"
#include "test/sim/model.h"

namespace meshfs::sim {

// Belongs to who holds the token.
class Kernel {
public:
    // Hears from now on what is broken, unless it is deaf.
    Kernel(Meta& meta, bool is_deaf);
    ~Kernel();

    // lookup: as Meta answers, and keeps the attributes; get: from what is kept, or so.
    void answer(Operation& op);
    // An operation of this mount itself is done: what it touched is not kept.
    void forget(const Operation& op);
    uint64_t kept() const { return kept_; }  // answers from memory

private:
    struct Attributes {
        Operation::Seen seen;
        int64_t until = 0;
    };
    bool answer_from_memory(Operation& op);
    void ask(Operation& op);

    Meta& meta_;
    std::map<Ino, Attributes> attributes_;
    uint64_t version_ = 0, kept_ = 0;
};

Operation::Seen seen_of(const Inode& inode);

}  // namespace meshfs::sim
