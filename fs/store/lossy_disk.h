// A disk below the embedded store whose power can be cut: what was not synced may be lost, page by page.
//
// Tests only.  Contents are what is lost; names (creating, renaming, removing files) last at once.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "fs/base/mutex.h"
#include "fs/store/local_store.h"

namespace meshfs {

class LossyDisk {
public:
    explicit LossyDisk(std::string store_path);  // DIR
    ~LossyDisk();
    local::DiskParts parts();

    // Power goes: from here on nothing more becomes durable.  The store may then be destroyed at leisure.
    void cut();
    // Makes DIR what a disk would show afterwards: all that was synced and, of the rest, 4 KiB pages as `seed` has it.
    void restore(uint64_t seed);

private:
    class Disk;
    friend class LossyFile;
    void synced(const std::string& path);
    const std::string path_;
    Mutex mutex_;
    bool is_cut_ GUARDED_BY(mutex_) = false;
    std::map<std::string, std::string> durable_ GUARDED_BY(mutex_);  // contents by path, of synced files
    std::map<std::string, std::string> written_ GUARDED_BY(mutex_);  // all contents when power went
    std::string mark_ GUARDED_BY(mutex_);
    std::unique_ptr<rocksdb::Env> env_;
};

}  // namespace meshfs
