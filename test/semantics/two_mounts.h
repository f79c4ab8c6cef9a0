// Two mounts, `a` and `b`, of one volume in memory.
#pragma once

#include "test/fixtures.h"

namespace meshfs::test {

class TwoMounts : public testing::Test {
protected:
    // Nothing is published by itself in that time: what a test sees, it asked for.
    explicit TwoMounts(int64_t commit_ns = 3600 * kNsPerSecond, MetaOptions options = {}) {
        auto cluster = std::make_shared<MemoryCluster>();
        MemoryStore store(cluster);
        must(format_volume(store, Clock::system(), {.lease_seconds = 5}));
        store.stop();
        VfsSettings settings;
        settings.commit_ns = commit_ns;
        a_ = std::make_unique<Mount>(cluster, settings, options);
        b_ = std::make_unique<Mount>(cluster, settings, options);
    }
    Mount& a() { return *a_; }
    Mount& b() { return *b_; }

    // A build that refuses locks of other mounts' files: what stands on them is skipped, not passed.
    bool has_locks() {
        must(a().write_file("/probe", "x"));
        return a().meta->lock(a().ino("/probe"), FileLock{.owner = 1}, nullptr).code() != EOPNOTSUPP;
    }

    static Inode inode(Mount& mount, const std::string& path) { return must(mount.stat(path)).inode; }
    static Status set_mode(Mount& mount, const std::string& path, uint32_t mode) {
        SetAttributes set;
        set.mode = mode;
        auto done = mount.vfs->setattr(mount.root, mount.ino(path), set);
        return done.ok() ? Status() : done.error();
    }
    static Status set_size(Mount& mount, const std::string& path, uint64_t size) {
        SetAttributes set;
        set.size = size;
        auto done = mount.vfs->setattr(mount.root, mount.ino(path), set);
        return done.ok() ? Status() : done.error();
    }

private:
    std::unique_ptr<Mount> a_, b_;
};

}  // namespace meshfs::test
