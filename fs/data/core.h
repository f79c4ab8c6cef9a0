// What the files of one mount share: the store, the bounds, who is told to flush.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <utility>
#include <vector>

#include "fs/base/mutex.h"
#include "fs/data/data.h"
#include "fs/data/pack_reader.h"
#include "fs/data/packer.h"

namespace meshfs {

// Answers to writers, given where this ends: after the locks of whoever holds it, for who is answered may end a file.
class Answers {
public:
    Answers() = default;
    Answers(Answers&& other) noexcept : all_(std::exchange(other.all_, {})) {}
    Answers& operator=(Answers&&) = delete;
    ~Answers() {
        for (auto& then : all_) then();
    }
    void add(std::function<void()> then) { all_.push_back(std::move(then)); }
    void add(Answers&& others) {
        for (auto& then : std::exchange(others.all_, {})) all_.push_back(std::move(then));
    }

private:
    std::vector<std::function<void()>> all_;
};

// Bytes accepted and not stored are bounded by `dirty_bytes_max`: past half of it the answers to writers are held
// back and given as fast as bytes reach the store, first come first served.  While the store takes nothing, being full or
// silent, nobody waits: what was accepted is kept, and past that half no more is.
class Budget {
public:
    explicit Budget(uint64_t dirty_bytes_max) : max_(dirty_bytes_max) {}
    // The error with which the store refuses everything, if there is no room for more until that ends.
    Status check_room() const;
    void count(uint64_t bytes);  // as dirty
    // Calls `then`, the answer to a write of so many bytes, now or when there is room: once they are where a flush
    // finds them, for the next thing its caller does may be fsync.
    void answer(uint64_t bytes, std::function<void()> then);
    [[nodiscard]] Answers release(uint64_t bytes);  // stored, or overwritten before they were
    [[nodiscard]] Answers note_refused(const Error& error);  // ENOSPC, EDQUOT, ETIMEDOUT; others concern one file
    void note_stored() { refused_ = 0; }
    // Of the dirty bytes, those that need no flush to be stored.
    void begin_moving(uint64_t bytes) { moving_ += bytes; }
    void end_moving(uint64_t bytes) { moving_ -= bytes; }
    // Writers wait, and for more than what is moving anyway.
    bool needs_flush() const;
    uint64_t dirty() const;
    uint64_t max() const { return max_; }
    void set_max(uint64_t dirty_bytes_max);

private:
    struct Waiting {
        uint64_t bytes;
        std::function<void()> then;
    };
    std::atomic<uint64_t> max_, moving_{0};
    std::atomic<int> refused_{0};  // with what; 0: the last that was sent was stored
    mutable Mutex mutex_;
    uint64_t dirty_ GUARDED_BY(mutex_) = 0;
    std::deque<Waiting> waiting_ GUARDED_BY(mutex_);
};

// How much is on its way to the store at once, over all files: enough to keep it busy, and not so much that what
// somebody waits for stands behind it for long.
class Slots {
public:
    void take(uint64_t bytes);  // waits
    void give(uint64_t bytes);
    uint64_t in_flight() const;

private:
    static constexpr uint64_t kBytesMax = 64u << 20;  // 16 objects of 4 MiB
    static constexpr size_t kCountMax = 256;
    mutable Mutex mutex_;
    CondVar freed_;
    uint64_t bytes_ GUARDED_BY(mutex_) = 0;
    size_t count_ GUARDED_BY(mutex_) = 0;
};

class Data::Core {
public:
    Core(Store& store_in, Clock& clock_in, DataSettings settings_in, DataHooks hooks_in)
        : store(store_in), clock(clock_in), settings(settings_in), hooks(std::move(hooks_in)),
          budget(settings.dirty_bytes_max), packs_read(store_in), packer(*this) {}
    SessionId session() const { return hooks.session ? hooks.session() : SessionId{}; }

    Store& store;
    Clock& clock;
    const DataSettings settings;
    const DataHooks hooks;
    Budget budget;
    Slots slots;
    PackReader packs_read;
    Packer packer;

    // The objects first .. end - 1 of a blob that may exist: all of them, or, of a sparse file so large that asking each
    // would not end, those that a listing of the pool finds.
    Status visit_objects(const Layout& layout, BlobId blob, uint64_t first, uint64_t end,
                         const std::function<void(uint64_t index)>& visit);
};

inline constexpr uint64_t kFlushBytes = 16u << 20;   // dirty beside whole pieces: the file is flushed at once
inline constexpr uint64_t kVisitMax = 1u << 20;      // objects asked one by one; beyond, the pool is listed

}  // namespace meshfs
