#include "fs/store/local_keeper.h"

#include "fs/base/clock.h"
#include "fs/base/log.h"

namespace meshfs::local {

Keeper::Keeper(Directory& directory, Rows& rows, Files& files, std::deque<uint64_t> dead)
    : directory_(directory), rows_(rows), files_(files), dead_(std::move(dead)) {}

Keeper::~Keeper() { stop(); }

void Keeper::begin(Committer& committer) {
    committer_ = &committer;
    thread_ = std::thread([this] { run(); });
}

void Keeper::note(const std::vector<uint64_t>& dead_bodies, bool has_freed_files) {
    if (dead_bodies.empty() && !has_freed_files) return;
    MutexLock lock(mutex_);
    dead_.insert(dead_.end(), dead_bodies.begin(), dead_bodies.end());
    changed_.notify_all();
}

void Keeper::note_removed_snap() {
    MutexLock lock(mutex_);
    has_removed_snap_ = true;
    changed_.notify_all();
}

void Keeper::stop() {
    {
        MutexLock lock(mutex_);
        stopped_ = true;
        changed_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
}

void Keeper::run() {
    name_this_thread("local-keeper");
    int64_t next_ns = Clock::system().boot_ns() + kNsPerSecond;
    while (true) {
        uint64_t body = 0;
        bool must_drop = false;
        {
            MutexLock lock(mutex_);
            while (!stopped_ && dead_.empty() && !has_removed_snap_ && changed_.wait_until(mutex_, next_ns)) {
            }
            if (stopped_) break;
            if (!dead_.empty()) {
                body = dead_.front();
                dead_.pop_front();
            }
            std::swap(must_drop, has_removed_snap_);
        }
        Status status = body != 0 ? remove_rows(body) : Status();
        if (status.ok() && must_drop) status = drop_unseen();
        if (!status.ok()) log_warning("the embedded store could not tidy up", {{"error", status.error().text()}});
        recycle_files();
        if (Clock::system().boot_ns() < next_ns) continue;
        mark();
        next_ns = Clock::system().boot_ns() + kNsPerSecond;
    }
    mark();
}

// Not synced: after a crash the `d` record is still there, and the rest is done again.
Status Keeper::remove_rows(uint64_t body) {
    for (Family family : {rows_.omap(), rows_.bytes()})
        while (TRY(remove_step(family, body))) {
            MutexLock lock(mutex_);
            if (stopped_) return {};
        }
    rocksdb::WriteBatch batch;
    batch.Delete(rows_.other(), number_key(kDeadBodyKey, body));
    return write(batch);
}

Status Keeper::write(rocksdb::WriteBatch& batch) {
    auto status = rows_.db().Write(rocksdb::WriteOptions(), &batch);
    return status.ok() ? Status() : Status(translate(status, "cannot write what is tidied up"));
}

// True: there may be more.
Result<bool> Keeper::remove_step(Family family, uint64_t body) {
    rocksdb::WriteBatch batch;
    std::string prefix = body_key(body);
    TRY(rows_.scan(family, prefix, prefix, nullptr, [&](std::string_view key, std::string_view) -> Result<bool> {
        batch.Delete(family, rocksdb::Slice(key.data(), key.size()));
        return static_cast<size_t>(batch.Count()) < kRowsPerStep;
    }));
    if (batch.Count() == 0) return false;
    bool is_full_step = static_cast<size_t>(batch.Count()) == kRowsPerStep;
    TRY(write(batch));
    return is_full_step;
}

void Keeper::recycle_files() {
    rocksdb::WriteBatch batch;
    for (uint64_t number : files_.recycle()) batch.Delete(rows_.other(), number_key(kFreeFileKey, number));
    if (batch.Count() > 0) (void)write(batch);  // after a crash they are looked for again
}

// Copies of objects that no living snapshot sees.
Status Keeper::drop_unseen() {
    std::set<uint64_t> removed;
    uint64_t next_snap = 1;
    TRY(committer_->run_inner([&](Ground& ground, Batch&) -> Status {
        removed = ground.removed_snaps;
        next_snap = ground.counters.snap;
        return {};
    }));
    if (removed.empty()) return {};
    std::vector<std::string> unseen;
    TRY(rows_.scan(rows_.objects(), "", "", nullptr, [&](std::string_view key, std::string_view value) -> Result<bool> {
        auto parsed = parse_object_key(key);
        auto head = decode_head(value);
        if (!parsed.ok() || !head.ok() || parsed->snap == SnapId::head) return true;
        bool is_seen = false;
        for (uint64_t s = head->snap + 1; s <= raw(parsed->snap) && s < next_snap && !is_seen; ++s)
            is_seen = !removed.contains(s);
        if (!is_seen) unseen.emplace_back(key);
        return true;
    }));
    for (const auto& key : unseen) {
        {
            MutexLock lock(mutex_);
            if (stopped_) return {};
        }
        TRY(drop(key));
    }
    return {};
}

// The copy's file goes to the next newer state that borrows it, if there is one.
Status Keeper::drop(const std::string& key) {
    return committer_->run_inner([&](Ground& ground, Batch& batch) -> Status {
        auto parsed = TRY(parse_object_key(key));
        auto value = TRY(ground.rows.get(ground.rows.objects(), key));
        if (!value) return {};
        Head copy = TRY(decode_head(*value));
        std::string heir_key;
        std::optional<Head> heir;
        std::string prefix = object_prefix(parsed.object);
        TRY(ground.rows.scan(ground.rows.objects(), key + '\0', prefix, nullptr,
                             [&](std::string_view newer, std::string_view bytes) -> Result<bool> {
                                 heir_key = newer;
                                 heir = TRY(decode_head(bytes));
                                 return false;
                             }));
        if (heir && heir_key == object_key(parsed.object)) heir = TRY(ground.head_of(heir_key));  // batch included
        bool inherits = heir && copy.has(Head::in_file) && heir->has(Head::borrowed) && heir->file == copy.file;
        if (inherits && !copy.has(Head::borrowed)) {
            heir->flags = static_cast<uint8_t>(heir->flags & ~Head::borrowed);
            batch.writes.Put(ground.rows.objects(), heir_key, encode_head(*heir));
            if (ground.heads.contains(heir_key)) ground.heads[heir_key] = heir;
            batch.touched.insert(heir_key);
        } else if (copy.has(Head::in_file) && !copy.has(Head::borrowed)) {
            batch.writes.Put(ground.rows.other(), number_key(kFreeFileKey, copy.file), "");
            batch.freed_files.push_back(copy.file);
        }
        batch.writes.Delete(ground.rows.objects(), key);
        batch.writes.Put(ground.rows.other(), number_key(kDeadBodyKey, copy.body), "");
        batch.dead_bodies.push_back(copy.body);
        return {};
    });
}

void Keeper::mark() {
    uint64_t sequence = committer_->durable_sequence();
    if (sequence == marked_) return;
    Status status = directory_.set_mark(sequence);
    if (status.ok()) marked_ = sequence;
    else log_warning("the embedded store could not mark its log", {{"error", status.error().text()}});
}

}  // namespace meshfs::local
