// The one thread that changes the embedded store.
//
// It takes all that waits, works each change out against the batch so far and the database, and writes one
// synced batch: sixty-four waiting mutations cost one fdatasync.  A change whose bytes are a file is worked out
// twice: first to plan the file, which a worker makes and syncs while the object's later calls wait; then, with
// the file, in a batch.  So nothing refers to bytes that are not durable, and calls on an object keep their order.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "fs/base/executor.h"
#include "fs/store/local_change.h"

namespace meshfs::local {

struct Space {
    uint64_t total = 0, available = 0;  // bytes
    uint64_t reserve = 0;               // below it nothing but removing passes
};

// One call that waits.
struct Call {
    std::string key;                                    // object_key; empty: of no object
    std::optional<Mutation> mutation;
    std::optional<Transfer> transfer;
    std::function<Status(Ground&, Batch&)> inner;       // the store's own work
    Status outcome;                                     // of a call refused from the start
    std::function<void(Status)> then;
    size_t bytes() const { return mutation ? mutation->bytes() : transfer ? transfer->bytes.size() : 0; }
};
using CallPtr = std::unique_ptr<Call>;

class Committer {
public:
    static constexpr size_t kBatchCallsMax = 1024;
    static constexpr size_t kBatchBytesMax = 4u << 20;
    static constexpr size_t kFileThreads = 8;
    static constexpr size_t kHeadsMax = 16384;  // kept between batches

    struct Parts {
        Rows& rows;
        Files& files;
        // Before each batch; told how many bytes the last one took in.
        std::function<Space(uint64_t written)> space;
        // After a durable batch; must not block.
        std::function<void(const Batch&)> committed;
    };
    Committer(Parts parts, Counters counters, std::set<uint64_t> removed_snaps);
    ~Committer();  // stop()

    void post(CallPtr call);                // any thread; never blocks
    // Runs `inner` in the committer's thread and waits until what it put into its batch is durable.
    Status run_inner(std::function<Status(Ground&, Batch&)> inner);
    void stop();                            // after all that waits is done
    uint64_t durable_sequence() const { return durable_sequence_; }

private:
    struct Work {  // on files, for calls of one object that go together
        std::vector<CallPtr> calls;
        FilePlan plan;
        Result<FileResult> made = fail(EIO);
        std::string key;
    };
    using WorkPtr = std::shared_ptr<Work>;  // the worker and the committer
    struct Busy {
        std::deque<CallPtr> waiting;
        bool is_working = false;  // on a file
    };

    void run();
    bool take(std::deque<CallPtr>& calls, std::vector<WorkPtr>& done);
    void admit(CallPtr call);
    void evaluate(CallPtr call);
    void evaluate_transfers(const std::string& key);
    void finish(WorkPtr work);
    Result<Change::Outcome> work_out(Change& change, const std::vector<CallPtr>& calls, const FileResult* made);
    void start_work(Change& change, std::vector<CallPtr> calls, const std::string& key);
    void launch(WorkPtr work);
    Status check_space(const Call& call);
    Status make_files();
    void complete_later(CallPtr call, Status status);
    void commit();
    void release();

    Parts parts_;
    Ground ground_;  // committer's thread only, like all up to mutex_
    std::unique_ptr<Batch> batch_;
    std::vector<std::pair<CallPtr, Status>> completions_;
    std::vector<WorkPtr> after_commit_;
    std::unordered_map<std::string, Busy> busy_;
    std::vector<std::string> with_transfers_, to_release_;
    std::deque<CallPtr> ready_;  // waited for an object that is free again
    bool is_full_ = false, is_nearly_full_ = false;
    bool must_save_counters_ = false;
    size_t working_ = 0;
    uint64_t taken_bytes_ = 0;

    std::atomic<uint64_t> durable_sequence_{0};
    Executor workers_;
    Mutex mutex_;
    CondVar changed_;
    std::deque<CallPtr> queue_ GUARDED_BY(mutex_);
    std::vector<WorkPtr> done_ GUARDED_BY(mutex_);
    bool stopping_ GUARDED_BY(mutex_) = false;
    std::thread thread_;
};

}  // namespace meshfs::local
