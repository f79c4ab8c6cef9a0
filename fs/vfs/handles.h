// One open of a file or directory, and the numbers under which they are known outside.
#pragma once

#include <fcntl.h>

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "fs/base/mutex.h"
#include "fs/base/result.h"
#include "fs/base/types.h"
#include "fs/vfs/open_inodes.h"

namespace meshfs {

struct Handle {
    enum class Kind : uint8_t { file, directory, served_file, served_directory };
    Kind kind = Kind::file;
    Ino ino{};
    int flags = 0;                    // of open(2)
    std::shared_ptr<OpenInode> file;  // kind file
    uint64_t served_handle = 0;       // the plugin's
    bool checked = false;             // opened by somebody else than the kernel
    std::atomic<uint32_t> errors_known{0};
    std::atomic<bool> has_lost_lock{false};  // with the session under which it was taken: only to be closed

    bool writes() const { return (flags & O_ACCMODE) != O_RDONLY; }
    bool appends() const { return (flags & O_APPEND) != 0; }
    bool is_synchronous() const { return (flags & (O_SYNC | O_DSYNC)) != 0; }

    Mutex mutex;
    // Of a directory: where the last page ended, so that the next need not look a cookie up.
    uint64_t last_cookie GUARDED_BY(mutex) = 0;
    std::string last_name GUARDED_BY(mutex);
    // Locks taken through this handle: is it flock, owner.
    std::set<std::pair<bool, uint64_t>> lock_owners GUARDED_BY(mutex);
};

// Numbers are counted up and never given out again.  Any thread.
class HandleTable {
public:
    uint64_t add(std::shared_ptr<Handle> handle) {
        MutexLock lock(mutex_);
        handles_[++last_] = std::move(handle);
        return last_;
    }
    Result<std::shared_ptr<Handle>> find(uint64_t number) {
        MutexLock lock(mutex_);
        auto at = handles_.find(number);
        if (at == handles_.end()) return fail(EBADF);
        return at->second;
    }
    std::shared_ptr<Handle> remove(uint64_t number) {  // null: there is none
        MutexLock lock(mutex_);
        auto at = handles_.find(number);
        if (at == handles_.end()) return nullptr;
        auto handle = std::move(at->second);
        handles_.erase(at);
        return handle;
    }
    std::vector<std::shared_ptr<Handle>> all() {
        MutexLock lock(mutex_);
        std::vector<std::shared_ptr<Handle>> handles;
        for (auto& [number, handle] : handles_) handles.push_back(handle);
        return handles;
    }
    std::vector<uint64_t> numbers() {
        MutexLock lock(mutex_);
        std::vector<uint64_t> all;
        for (auto& [number, handle] : handles_) all.push_back(number);
        return all;
    }
    size_t size() {
        MutexLock lock(mutex_);
        return handles_.size();
    }

private:
    Mutex mutex_;
    uint64_t last_ GUARDED_BY(mutex_) = 0;
    std::unordered_map<uint64_t, std::shared_ptr<Handle>> handles_ GUARDED_BY(mutex_);
};

}  // namespace meshfs
