// From the root through every directory: its groups, its place, its range map.
#pragma once

#include <map>
#include <memory>
#include <set>

#include "fs/vfs/check/group_pass.h"
#include "fs/vfs/check/id_set.h"
#include "fs/vfs/check/report.h"

namespace meshfs::check {

class Walk {
public:
    // What inodes outside their names and files' blobs are judged by, once all directories were seen.
    struct Seen {
        IdSet groups;                    // of directories that have a name, and of removed ones in `u`
        IdSet mapped;                    // blobs
        std::set<BlobId> mapped_twice;   // or by a file that was met twice
        std::map<Ino, uint64_t> linked;  // number -> names, of files that have h.<ino>
        std::vector<BlobUse> blobs;      // all, with `deep` only
    };

    Walk(Scene& scene, Report& report, const CheckOptions& options)
        : scene_(scene), report_(report), options_(options) {}
    Status run();
    Seen& seen() { return seen_; }
    // Walks again without judging: who maps these blobs, how many names these numbers have.
    struct Recount {
        std::map<BlobId, std::set<Ino>> owners;
        std::map<Ino, uint64_t> linked;
    };
    Result<Recount> recount(std::set<BlobId> blobs, const std::set<Ino>& linked);

private:
    struct Task {
        Ino directory{};
        std::string path;  // printable
        // Its dentry; of the root nothing is meant.
        Ino parent{};
        ObjectName named_in;
        std::string name;
        Place place;
        bool is_root() const { return directory == kRootIno; }
    };
    using Pass = std::unique_ptr<GroupPass>;
    Status walk_all();
    void work();
    Status check_directory(const Task& task);
    Result<std::vector<GroupRole>> ranges_of(const Task& task, const GroupPass& header);
    // Reads a group until what is wrong is certain, tells and mends it.
    Result<Pass> look(const GroupRole& role, const Task& task);
    Result<Pass> look_once(const GroupRole& role, const Task& task);
    // Adds to the suspects of a pass what the group alone does not show.
    Status judge_lease(GroupPass& pass, const GroupRole& role, const Task& task);
    Status judge_missing(GroupPass& pass, const GroupRole& role, const Task& task);
    void judge_inode(GroupPass& pass, const GroupRole& role, const Task& task);
    Status judge_place(GroupPass& pass, const GroupRole& role, const Task& task);
    void judge_ranges(GroupPass& pass, const GroupRole& role);
    Result<bool> is_named_by(Ino directory, Ino parent, const std::string& name);
    void take_over(const Task& task, const GroupPass& pass);
    void push(std::vector<Task> tasks);

    Scene& scene_;
    Report& report_;
    const CheckOptions& options_;
    Mutex mutex_;
    CondVar changed_;
    std::vector<Task> tasks_ GUARDED_BY(mutex_);  // the last first: depth before breadth keeps it short
    size_t working_ GUARDED_BY(mutex_) = 0;
    Status error_ GUARDED_BY(mutex_);
    IdSet visited_ GUARDED_BY(mutex_);  // headers, in this walk
    bool is_recount_ = false;           // constant while threads run
    Recount recount_ GUARDED_BY(mutex_);
    Seen seen_;  // guarded by mutex_ while threads run
};

}  // namespace meshfs::check
