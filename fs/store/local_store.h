// The embedded store: a directory of this machine, RocksDB for names and small things, files for long bytes.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "fs/store/source.h"
#include "fs/store/store.h"

namespace rocksdb {
class Env;
}

namespace meshfs {

namespace local {
// What a test puts between the store and the disk.
struct DiskParts {
    rocksdb::Env* env = nullptr;              // not owned; outlives the store
    std::function<void(int fd)> synced;       // called after each sync of a file in files/
    uint64_t room_bytes = 0;                  // not 0: the store is full when files and map hold so much
};
}  // namespace local

// ENOENT (not a store), ENOTEMPTY (options.make_directory and DIR holds other files), EBUSY ("in use by process
// 4711"), EIO (damaged, or commits were lost).  One process at a time; any thread.
Result<std::unique_ptr<Store>> open_local_store(const Source& source, const StoreOptions& options);
Result<std::unique_ptr<Store>> open_local_store(const Source& source, const StoreOptions& options,
                                                local::DiskParts parts);

}  // namespace meshfs
