// What the kernel of a mount keeps of its answers, as long as that was promised.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
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

    // lookup and get: answers from what is kept, or as Meta answers, and keeps that.
    void answer(Operation& op);
    // An operation of this mount itself is done: what it touched is not kept.
    void forget(const Operation& op);
    uint64_t kept() const { return kept_; }  // answers from memory

private:
    using Name = std::pair<Ino, std::string>;
    struct Leads {
        Ino to{};  // {}: there is no such name
        int64_t until = 0;
    };
    struct Attributes {
        Operation::Seen seen;
        int64_t until = 0;
    };
    bool answer_from_memory(Operation& op);
    void ask(Operation& op);
    std::optional<Operation::Seen> attributes_of(Ino ino);

    Meta& meta_;
    std::map<Name, Leads> names_;
    std::map<Ino, Attributes> attributes_;
    uint64_t epoch_ = 0, kept_ = 0;
};

Operation::Seen seen_of(const Inode& inode);

}  // namespace meshfs::sim
