// What the kernel may keep of the answers of a mount that holds groups, played by a map and an epoch, as Linux does: what was asked
// for before the epoch rose is not kept.
#include <atomic>
#include <map>
#include <thread>

#include "fs/base/thread.h"
#include "test/fixtures.h"

namespace meshfs::test {
namespace {

class Kernel {
public:
    explicit Kernel(Mount& mount) : mount_(mount) {
        mount.vfs->set_invalidator({.at_once = [this](const std::vector<Ino>& inodes) {
            MutexLock lock(mutex_);
            ++epoch_;
            for (Ino ino : inodes) attributes_.erase(ino);
        }});
    }
    ~Kernel() { mount_.vfs->set_invalidator({}); }

    // stat(2) of a name; ENOENT.
    Result<Inode> stat(Ino directory, const std::string& name) {
        uint64_t epoch;
        {
            MutexLock lock(mutex_);
            auto kept = names_.find({directory, name});
            if (kept != names_.end() && kept->second.epoch == epoch_) {
                ++kept_;
                if (kept->second.ino == Ino{}) return fail(ENOENT);
                auto attributes = attributes_.find(kept->second.ino);
                if (attributes != attributes_.end()) return attributes->second;
            }
            epoch = epoch_;
        }
        int64_t absent_ns = 0;
        auto found = mount_.vfs->lookup(mount_.root, directory, name, &absent_ns);
        MutexLock lock(mutex_);
        if (!found.ok()) {
            if (absent_ns > 0) names_[{directory, name}] = {Ino{}, epoch};
            return found.error();
        }
        if (found->name_valid_ns > 0) names_[{directory, name}] = {found->inode.ino, epoch};
        if (found->valid_ns > 0 && epoch == epoch_) attributes_[found->inode.ino] = found->inode;
        return found->inode;
    }
    uint64_t kept() const { return kept_; }
    uint64_t epoch() {
        MutexLock lock(mutex_);
        return epoch_;
    }

private:
    struct Entry {
        Ino ino{};  // {}: no such name
        uint64_t epoch = 0;
    };
    Mount& mount_;
    std::atomic<uint64_t> kept_{0};
    Mutex mutex_;
    uint64_t epoch_ GUARDED_BY(mutex_) = 0;
    std::map<std::pair<Ino, std::string>, Entry> names_ GUARDED_BY(mutex_);
    std::map<Ino, Inode> attributes_ GUARDED_BY(mutex_);
};

constexpr int64_t kChanges = 5;

class KernelCaches : public testing::Test {
protected:
    KernelCaches() {
        auto cluster = std::make_shared<MemoryCluster>();
        MemoryStore store(cluster);
        must(format_volume(store, Clock::system(), {.lease_seconds = 5}));
        store.stop();
        a_ = std::make_unique<Mount>(cluster, VfsSettings{}, MetaOptions{.hold = true});
        b_ = std::make_unique<Mount>(cluster, VfsSettings{}, MetaOptions{.hold = true});
    }
    static Status set_mtime(Mount& mount, Ino ino, int64_t seconds) {
        SetAttributes set;
        set.mtime = Time{seconds, 0};
        auto done = mount.vfs->setattr(mount.root, ino, set);
        return done.ok() ? Status() : done.error();
    }
    std::unique_ptr<Mount> a_, b_;
};

TEST_F(KernelCaches, KeepNothingWhereNobodyHearsThatItChanged) {
    ASSERT_OK(a_->mkdir("/d"));
    ASSERT_OK(a_->write_file("/d/f", "x"));
    auto found = must(a_->vfs->lookup(a_->root, a_->ino("/d"), "f"));
    EXPECT_EQ(found.valid_ns, 0);
    EXPECT_EQ(found.name_valid_ns, 0);
}

TEST_F(KernelCaches, AreAskedOnceForWhatIsHeld) {
    Kernel kernel(*a_);
    Ino directory = must(a_->mkdir("/d")).inode.ino;
    ASSERT_OK(a_->write_file("/d/f", "x"));
    for (int i = 0; i < 3; ++i) {
        ASSERT_OK(kernel.stat(kRootIno, "d"));
        ASSERT_OK(kernel.stat(directory, "f"));
        EXPECT_ERRNO(kernel.stat(directory, "absent"), ENOENT);
    }
    EXPECT_EQ(kernel.kept(), 6u);
}

TEST_F(KernelCaches, AreTakenBackBeforeAnotherMountChangesWhatTheyKeep) {
    Kernel kernel(*a_);
    Ino directory = must(a_->mkdir("/d")).inode.ino;
    ASSERT_OK(a_->vfs->mknod(a_->root, directory, "f", S_IFREG | 0644, 0));
    ASSERT_OK(kernel.stat(directory, "f"));
    EXPECT_ERRNO(kernel.stat(directory, "g"), ENOENT);
    ASSERT_OK(set_mtime(*b_, b_->ino("/d/f"), 77));
    EXPECT_EQ(must(kernel.stat(directory, "f")).mtime.seconds, 77);
    ASSERT_OK(b_->rename("/d/f", "/d/g"));
    EXPECT_ERRNO(kernel.stat(directory, "f"), ENOENT);
    EXPECT_OK(kernel.stat(directory, "g"));
}

// Reading through the kernel of one mount while another changes: nothing is seen that was over before the look began.
TEST_F(KernelCaches, NeverShowWhatWasOverBeforeTheLook) {
    Kernel kernel(*a_);
    uint64_t kept = 0;
    for (int round = 0; round < 60; ++round) {
        std::string name = "d" + std::to_string(round);
        Ino directory = must(a_->mkdir("/" + name)).inode.ino;
        ASSERT_OK(a_->vfs->mknod(a_->root, directory, "f", S_IFREG | 0644, 0));
        std::atomic<int64_t> changed{0};
        std::atomic<bool> is_over{false};
        std::vector<Thread> readers;
        for (int i = 0; i < 2; ++i)
            readers.emplace_back("reader", [&] {
                while (!is_over) {
                    int64_t before = changed;
                    auto seen = kernel.stat(directory, "f");
                    ASSERT_OK(seen);
                    if (before > 0) {
                        ASSERT_GE(seen->mtime.seconds, before);
                        ASSERT_LE(seen->mtime.seconds, kChanges);
                    }
                }
            });
        for (int64_t time = 1; time <= kChanges; ++time) {
            EXPECT_OK(set_mtime(*b_, b_->ino("/" + name + "/f"), time));
            changed = time;
        }
        is_over = true;
        for (auto& reader : readers) reader.join();
        kept += kernel.kept();
    }
    EXPECT_GT(kept, 0u);
}

}  // namespace
}  // namespace meshfs::test
