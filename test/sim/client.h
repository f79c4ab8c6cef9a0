// One simulated mount: a session on a store of its own, operations drawn from the seed, its beats.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fs/base/scheduler.h"
#include "fs/meta/meta.h"
#include "fs/store/sim_store.h"
#include "test/sim/debtor.h"
#include "test/sim/kernel.h"
#include "test/sim/model.h"

namespace meshfs::sim {

// What the clients of a run share.  Belongs to who holds the token.
struct Shared {
    Scheduler& scheduler;
    std::shared_ptr<MemoryCluster> cluster;
    std::vector<Operation> history;
    size_t split_names = 10'000;  // as all mounts of the run have it
    std::optional<Ino> crowded;   // a directory that all fill, then empty, and again
    bool is_narrow = false;       // two names, mostly in the first three directories: all want the same
    bool hold = true, synchronous = false;
    bool owes = false;              // modes are set later, where nobody else can look
    bool never_pays = false;        // and not even then
    bool keeps_names = false;       // kernels do,
    bool until_others_come = false;  // or only then
    int64_t late_ns_max = 0;        // and are so late with it
    bool has_deaf_kernels = false;  // they keep what was promised when it is taken back
    uint64_t moment = 0;  // counts questions and answers
    // Numbers anybody was told; operations go to these.
    std::vector<Ino> directories{kRootIno};
    std::vector<Ino> files;
};

class Client {
public:
    Client(Shared& shared, uint32_t number, const SimFaults& faults);
    ~Client();

    // Begins a session; with faults it may take several tries.
    Status mount();
    void commit();
    void do_some(size_t count);  // operations drawn from the seed
    Operation& ask(Operation op);  // does it, notes question and answer
    void start_beats();            // on a thread of its own, until stop_beats()
    void stop_beats();
    void unmount();
    void reap();  // it is dead, and runs to its end: the store does nothing, and nobody hears what it answers
    // Of a client whose session is over otherwise than by unmount(): what it was told since its last commit may not have
    // happened, and what it saw may have been just that.
    void forget_uncommitted();
    uint64_t kept() const { return kernel_ ? kernel_->kept() : 0; }  // answers that came from the kernel's memory
    uint64_t names_kept() const { return kernel_ ? kernel_->names_kept() : 0; }
    uint64_t owed() const { return debtor_ ? debtor_->owed() : 0; }  // changes that it put off
    bool is_lost() const;  // died, was declared dead, or was told that changes of its were lost
    // Walks the whole tree with lookups, lists and gets, as operations.
    void look_at_everything();

    SimStore& store() { return *store_; }
    Meta* meta() { return meta_.get(); }
    uint32_t number() const { return number_; }

private:
    Operation draw();
    void look_before(const Operation& op);
    void freeze_sometimes();  // between two operations: the next may be answered from memory
    void answer(Operation& op);
    std::string draw_name();
    Ino draw_directory();

    Shared& shared_;
    const uint32_t number_;  // and its group in the scheduler
    const SimFaults faults_;
    std::unique_ptr<SimStore> store_;
    std::unique_ptr<Meta> meta_;
    std::unique_ptr<Kernel> kernel_;  // its
    std::unique_ptr<Debtor> debtor_;  // its; none: nothing is put off
    // Made here, and nobody else can have heard of it: directories lead to nothing before they are in the store, and what
    // is born in them was not born.
    std::vector<Ino> own_directories_, own_files_;
    std::vector<Operation> looks_;  // so far, to be done again
    void tell_others();

    bool is_reaped_ = false;
    bool is_over_ = false;   // the session is dead or the store stopped
    bool has_lost_ = false;  // a commit or the end failed
    size_t committed_ = 0;   // of the history: what this client did before cannot be undone
    bool beats_end_ = false;
    bool beats_run_ = false;
    Scheduler::ThreadNumber beats_ = 0;
};

}  // namespace meshfs::sim
