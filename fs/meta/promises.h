// Inodes and names the kernel may keep for a moment, since they were read of held groups.
//
// A group that is held is changed by nobody else until it is let go of.  So what was read of it may be kept until then,
// or until the session's window ends; and who lets go of it breaks, before anybody else can have it, what was promised
// of it.  A promise is made after the reading, and only if no group came or went in between: what was read may have
// been of before.
//
// Names cannot be taken back (fs/fuse/README.md).  They are kept until a moment, for which waits who lets go of the group.
//
// Threads: any.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fs/base/mutex.h"
#include "fs/base/types.h"

namespace meshfs {

class Promises {
public:
    // These are not to be kept any more; when it returns that is so.  It must not wait for anything that may wait for a group.
    using Broken = std::function<void(const std::vector<Ino>&)>;
    // Nothing is promised unless somebody hears when it is broken.  Null: it is not called any more.
    void on_broken(Broken broken);

    // Moments of this session are after those of the ones before.
    void begin(SessionId session) { moment_ = (uint64_t{raw(session)} << 32) + 1; }
    uint64_t moment() const { return moment_; }
    // Of a group that is held.  False: a group came or went since that moment, or nobody listens, or too many are promised.
    bool make(const std::string& group, Ino inode, uint64_t since);
    bool is_made(const std::string& group, Ino inode);
    // Names of that group, by boot_ns().  False: as make().
    bool keep_names(const std::string& group, uint64_t since, int64_t until);
    int64_t names_kept_until(const std::string& group);  // 0: none are
    // Some went from one group to the other.
    void names_went(const std::string& from, const std::string& to);
    void forget_names(int64_t before);                   // those kept until then
    void taken() { ++moment_; }
    void let_go(const std::string& group);
    void break_all();

private:
    static constexpr size_t kInodesMax = 1u << 17;

    void tell(const std::vector<Ino>& inodes);

    std::atomic<uint64_t> moment_{1};
    Mutex mutex_;
    std::unordered_map<std::string, std::unordered_set<Ino>> groups_ GUARDED_BY(mutex_);
    size_t inodes_ GUARDED_BY(mutex_) = 0;
    static constexpr size_t kGroupsMax = 1u << 16;
    std::unordered_map<std::string, int64_t> names_until_ GUARDED_BY(mutex_);
    std::atomic<int64_t> last_until_{0};  // of them
    std::atomic<bool> is_heard_{false};
    Mutex telling_mutex_;
    Broken broken_ GUARDED_BY(telling_mutex_);
};

}  // namespace meshfs
