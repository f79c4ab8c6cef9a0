// Keeps the embedded store tidy, on a thread of its own: removes the rows of dead bodies, gives retired files
// free, forgets what no snapshot sees, and marks how far the log has got.
#pragma once

#include <deque>
#include <thread>
#include <vector>

#include "fs/store/local_committer.h"
#include "fs/store/local_directory.h"

namespace meshfs::local {

class Keeper {
public:
    static constexpr size_t kRowsPerStep = 1000;

    // dead: bodies a former life left.
    Keeper(Directory& directory, Rows& rows, Files& files, std::deque<uint64_t> dead);
    ~Keeper();  // stop()
    void begin(Committer& committer);
    void note(const std::vector<uint64_t>& dead_bodies, bool has_freed_files);  // any thread, never blocks
    void note_removed_snap();
    void stop();  // what is left is found again at the next open

private:
    void run();
    Status remove_rows(uint64_t body);
    Result<bool> remove_step(Family family, uint64_t body);
    // All that is not the Committer's: RocksDB lets one of the two threads write for both.
    Status write(rocksdb::WriteBatch& batch);
    void recycle_files();
    Status drop_unseen();
    Status drop(const std::string& key);
    void mark();

    Directory& directory_;
    Rows& rows_;
    Files& files_;
    Committer* committer_ = nullptr;
    uint64_t marked_ = 0;
    Mutex mutex_;
    CondVar changed_;
    std::deque<uint64_t> dead_ GUARDED_BY(mutex_);
    bool has_removed_snap_ GUARDED_BY(mutex_) = true;  // one may have been removed just before a crash
    bool stopped_ GUARDED_BY(mutex_) = false;
    std::thread thread_;
};

}  // namespace meshfs::local
