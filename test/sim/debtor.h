// Changes that a mount answers and puts off while nobody else can look, as vfs does with files that are closed: what is
// owed (Meta::owe) is paid before its group can be read.  Its own looks show it before.
#pragma once

#include <cstdint>
#include <map>

#include "fs/base/mutex.h"
#include "fs/meta/meta.h"
#include "test/sim/kernel.h"
#include "test/sim/model.h"

namespace meshfs::sim {

// Belongs to who holds the token; one thread of its client, besides those that pay.
class Debtor {
public:
    // never_pays: says that it did, when others come to look.
    Debtor(Meta& meta, bool never_pays);
    ~Debtor();

    // set_mode, answered, to be done later.  False: it cannot wait, and nothing of that file is owed, or `op` says why it is.
    bool put_off(Operation& op);
    // As the kernel answers, with what is owed.
    void look(Operation& op, Kernel& kernel);
    Status pay_all();
    uint64_t owed() const { return owed_; }  // so far

private:
    bool pay(GroupId group);
    Status pay_one(Ino ino);

    Meta& meta_;
    const bool never_pays_;
    std::map<Ino, uint32_t> debts_;  // modes
    uint64_t owed_ = 0, paid_ = 0;
    Mutex turn_;  // of paying: two modes of one file in order
};

}  // namespace meshfs::sim
