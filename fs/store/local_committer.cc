#include "fs/store/local_committer.h"

#include <algorithm>
#include <utility>

#include "fs/base/log.h"

namespace meshfs::local {
namespace {

// Passes on a full store: it gives room back, or at least takes none worth counting.
bool removes_only(const Call& call) {
    if (!call.mutation) return false;
    const auto& effects = call.mutation->effects();
    return std::all_of(effects.begin(), effects.end(), [](const Effect& e) {
        using Kind = Effect::Kind;
        return e.kind == Kind::remove || e.kind == Kind::remove_keys || e.kind == Kind::clear_keys ||
               e.kind == Kind::remove_xattr || e.kind == Kind::truncate || e.kind == Kind::zero;
    });
}

// Names and records are let on longer than data: unlinking a file writes a record, too.
bool is_small_metadata(const Call& call) {
    return call.mutation && call.mutation->object().pool == kMetaPool && call.bytes() <= 64 * 1024;
}

}  // namespace

Committer::Committer(Parts parts, Counters counters, std::set<uint64_t> removed_snaps)
    : parts_(std::move(parts)),
      ground_{.rows = parts_.rows, .files = parts_.files, .counters = counters, .bodies_reserved = counters.body,
              .removed_snaps = std::move(removed_snaps), .heads = {}},
      workers_("local-files", kFileThreads, kCallsMax) {
    durable_sequence_ = parts_.rows.db().GetLatestSequenceNumber();
    thread_ = std::thread([this] { run(); });
}

Committer::~Committer() { stop(); }

void Committer::stop() {
    {
        MutexLock lock(mutex_);
        stopping_ = true;
        changed_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
    workers_.stop();
}

void Committer::post(CallPtr call) {
    MutexLock lock(mutex_);
    queue_.push_back(std::move(call));
    if (queue_.size() == 1) changed_.notify_all();
}

Status Committer::run_inner(std::function<Status(Ground&, Batch&)> inner) {
    Mutex mutex;
    CondVar ended;
    std::optional<Status> outcome;
    auto call = std::make_unique<Call>();
    call->inner = std::move(inner);
    call->then = [&](Status status) {
        MutexLock lock(mutex);
        outcome = std::move(status);
        ended.notify_all();
    };
    post(std::move(call));
    MutexLock lock(mutex);
    while (!outcome) ended.wait(mutex);
    return *outcome;
}

void Committer::run() {
    name_this_thread("local-commit");
    std::deque<CallPtr> calls;
    std::vector<WorkPtr> done;
    while (take(calls, done)) {
        batch_ = std::make_unique<Batch>();
        Space space = parts_.space(std::exchange(taken_bytes_, 0));
        is_nearly_full_ = space.available < space.reserve;
        is_full_ = space.available < space.reserve / 2;
        parts_.files.set_short_of_room(is_nearly_full_);
        for (auto& work : done) finish(std::move(work));
        for (auto& call : calls) admit(std::move(call));
        for (const auto& key : with_transfers_) evaluate_transfers(key);
        with_transfers_.clear();
        commit();
        release();
        calls.clear();
        done.clear();
    }
}

// Waits for work.  False: all is done and stop() was called.
bool Committer::take(std::deque<CallPtr>& calls, std::vector<WorkPtr>& done) {
    size_t bytes = 0;
    auto take_from = [&](std::deque<CallPtr>& from) {
        while (!from.empty() && calls.size() < kBatchCallsMax && bytes < kBatchBytesMax) {
            bytes += from.front()->transfer ? 0 : from.front()->bytes();
            calls.push_back(std::move(from.front()));
            from.pop_front();
        }
    };
    take_from(ready_);
    MutexLock lock(mutex_);
    while (calls.empty() && queue_.empty() && done_.empty()) {
        if (stopping_ && working_ == 0) return false;
        changed_.wait(mutex_);
    }
    // What waited for its object comes before what came later; if that filled the batch, order still holds, since
    // the rest of the queue stays behind.
    if (ready_.empty()) take_from(queue_);
    done.swap(done_);
    return true;
}

void Committer::admit(CallPtr call) {
    if (call->inner) {
        Status status = call->inner(ground_, *batch_);
        return complete_later(std::move(call), std::move(status));
    }
    if (call->key.empty()) {
        Status status = call->outcome;
        return complete_later(std::move(call), std::move(status));
    }
    auto busy = busy_.find(call->key);
    if (busy != busy_.end()) return busy->second.waiting.push_back(std::move(call));
    if (!call->transfer) return evaluate(std::move(call));
    std::string key = call->key;
    busy_[key].waiting.push_back(std::move(call));
    with_transfers_.push_back(std::move(key));
}

Status Committer::check_space(const Call& call) {
    if (!is_nearly_full_ || removes_only(call)) {
        taken_bytes_ += call.bytes();
        return {};
    }
    if (!is_full_ && is_small_metadata(call)) return {};
    return fail(ENOSPC, "the embedded store is full: remove something, or make room on its disk");
}

Result<Change::Outcome> Committer::work_out(Change& change, const std::vector<CallPtr>& calls, const FileResult* made) {
    if (calls.front()->mutation) return change.mutate(*calls.front()->mutation, made);
    std::vector<const Transfer*> writes;
    for (const auto& call : calls) writes.push_back(&*call->transfer);
    std::stable_sort(writes.begin(), writes.end(), [](auto* a, auto* b) { return a->offset < b->offset; });
    return change.transfer(writes, made);
}

void Committer::evaluate(CallPtr call) {
    if (Status room = check_space(*call); !room.ok()) return complete_later(std::move(call), std::move(room));
    std::string key = call->key;
    Change change(ground_, *batch_, call->mutation->object(), call->mutation->snaps());
    auto outcome = change.mutate(*call->mutation, nullptr);
    if (!outcome.ok()) return complete_later(std::move(call), outcome.error());
    switch (*outcome) {
        case Change::Outcome::done:
            change.merge();
            return complete_later(std::move(call), {});
        case Change::Outcome::later:
            busy_[key].waiting.push_back(std::move(call));
            to_release_.push_back(key);
            return;
        case Change::Outcome::plan: {
            std::vector<CallPtr> calls;
            calls.push_back(std::move(call));
            return start_work(change, std::move(calls), key);
        }
    }
}

// Transfers that wait for one object go together: one file, one fdatasync.
void Committer::evaluate_transfers(const std::string& key) {
    Busy& busy = busy_[key];
    std::vector<CallPtr> calls;
    const SnapContext snaps = busy.waiting.front()->transfer->snaps;
    while (!busy.waiting.empty() && busy.waiting.front()->transfer &&
           busy.waiting.front()->transfer->snaps.sequence == snaps.sequence) {
        CallPtr call = std::move(busy.waiting.front());
        busy.waiting.pop_front();
        if (Status room = check_space(*call); !room.ok()) complete_later(std::move(call), std::move(room));
        else calls.push_back(std::move(call));
    }
    if (calls.empty()) return to_release_.push_back(key);
    const ObjectName object = calls.front()->transfer->object;
    Change change(ground_, *batch_, object, snaps);
    auto outcome = work_out(change, calls, nullptr);
    if (outcome.ok() && *outcome == Change::Outcome::plan) return start_work(change, std::move(calls), key);
    to_release_.push_back(key);
    if (outcome.ok() && *outcome == Change::Outcome::later) {
        while (!calls.empty()) {
            busy.waiting.push_front(std::move(calls.back()));
            calls.pop_back();
        }
        return;
    }
    if (outcome.ok()) change.merge();
    for (auto& call : calls) complete_later(std::move(call), outcome.ok() ? Status() : Status(outcome.error()));
}

Status Committer::make_files() {
    if (ground_.files.has_free()) return {};
    uint64_t first = ground_.counters.file;
    TRY(ground_.files.make(first));
    ground_.counters.file += Files::kMadeAtOnce;
    ground_.save_counters(*batch_);
    for (uint64_t n = first; n < ground_.counters.file; ++n)
        batch_->writes.Put(ground_.rows.other(), number_key(kFreeFileKey, n), "");
    return {};
}

void Committer::start_work(Change& change, std::vector<CallPtr> calls, const std::string& key) {
    auto work = std::make_shared<Work>();
    work->plan = std::move(change.plan());
    work->calls = std::move(calls);
    work->key = key;
    if (!work->plan.in_place) {
        Status made = make_files();
        if (!made.ok()) {
            for (auto& call : work->calls) complete_later(std::move(call), made);
            busy_[key];
            return to_release_.push_back(key);
        }
        work->plan.target = ground_.files.take_free();
    }
    busy_[key].is_working = true;
    if (change.must_unsum()) change.merge_unsummed();
    after_commit_.push_back(std::move(work));
}

void Committer::launch(WorkPtr work) {
    ++working_;
    bool is_taken = workers_.post([this, work] {
        work->made = local::run(ground_.files, work->plan);
        MutexLock lock(mutex_);
        done_.push_back(work);
        changed_.notify_all();
    });
    if (is_taken) return;
    MutexLock lock(mutex_);
    work->made = fail(ESHUTDOWN);
    done_.push_back(work);
}

void Committer::finish(WorkPtr work) {
    --working_;
    busy_[work->key].is_working = false;
    to_release_.push_back(work->key);
    Status status;
    if (!work->made.ok()) {
        status = work->made.error();
    } else {
        const Call& first = *work->calls.front();
        const ObjectName object = first.mutation ? first.mutation->object() : first.transfer->object;
        const SnapContext snaps = first.mutation ? first.mutation->snaps() : first.transfer->snaps;
        Change change(ground_, *batch_, object, snaps);
        auto outcome = work_out(change, work->calls, &*work->made);
        if (outcome.ok() && *outcome == Change::Outcome::done) change.merge();
        else status = outcome.ok() ? Status(fail(EIO, "the embedded store lost its way")) : Status(outcome.error());
    }
    // Its `f` record is still there: nothing refers to it.
    if (!status.ok() && work->plan.target != 0) ground_.files.add_free(work->plan.target);
    for (auto& call : work->calls) complete_later(std::move(call), status);
}

void Committer::complete_later(CallPtr call, Status status) { completions_.emplace_back(std::move(call), std::move(status)); }

void Committer::commit() {
    Status written;
    if (must_save_counters_) ground_.save_counters(*batch_);
    if (batch_->writes.Count() > 0) {
        rocksdb::WriteOptions options;
        options.sync = true;
        auto status = ground_.rows.db().Write(options, &batch_->writes);
        if (!status.ok()) written = translate(status, "cannot write to the embedded store");
        if (written.ok()) durable_sequence_ = ground_.rows.db().GetLatestSequenceNumber();
    }
    if (!written.ok()) {
        log_error("a batch of the embedded store was not written", {{"error", written.error().text()}});
        ground_.heads.clear();
        must_save_counters_ = true;  // numbers were given out that the database may not know of
    } else {
        must_save_counters_ = false;
        if (ground_.heads.size() > kHeadsMax) ground_.heads.clear();
        for (uint64_t file : batch_->freed_files) ground_.files.retire(file);
        parts_.committed(*batch_);
    }
    std::vector<WorkPtr> works = std::move(after_commit_);
    after_commit_.clear();
    for (auto& work : works) {
        if (written.ok()) {
            launch(std::move(work));
            continue;
        }
        busy_[work->key].is_working = false;
        to_release_.push_back(work->key);
        if (work->plan.target != 0) ground_.files.add_free(work->plan.target);
        for (auto& call : work->calls) complete_later(std::move(call), written);
    }
    auto completions = std::move(completions_);
    completions_.clear();
    for (auto& [call, status] : completions) call->then(status.ok() && !written.ok() ? written : status);
}

// Objects that are no longer worked on: their calls go on in the next batch, before newer ones.
void Committer::release() {
    for (const auto& key : to_release_) {
        auto it = busy_.find(key);
        if (it == busy_.end() || it->second.is_working) continue;
        for (auto& call : it->second.waiting) ready_.push_back(std::move(call));
        busy_.erase(it);
    }
    to_release_.clear();
}

}  // namespace meshfs::local
