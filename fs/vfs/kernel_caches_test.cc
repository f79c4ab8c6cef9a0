// What the kernel may keep of the answers of a mount that holds groups, played by a map and a version, as Linux does: attributes
// asked for before others were taken back are not kept.
#include <atomic>
#include <map>

#include "fs/base/thread.h"
#include "test/fixtures.h"

namespace meshfs::test {
namespace {

class Kernel {
public:
    explicit Kernel(Mount& mount) : mount_(mount) {
        mount.vfs->set_invalidator({.attributes_at_once = [this](const std::vector<Ino>& inodes) {
            MutexLock lock(mutex_);
            ++version_;
            for (Ino ino : inodes) attributes_.erase(ino);
        }});
    }
    ~Kernel() { mount_.vfs->set_invalidator({}); }

    Result<Inode> stat(Ino directory, const std::string& name) {
        return TRY(keep([&] { return mount_.vfs->lookup(mount_.root, directory, name); })).inode;
    }
    Result<Inode> fstat(Ino ino) { return TRY(attributes(ino)).inode; }
    uint64_t blocks(Ino ino) { return must(attributes(ino)).blocks; }
    uint64_t kept() const { return kept_; }

private:
    Result<Attributes> attributes(Ino ino) {
        {
            MutexLock lock(mutex_);
            auto kept = attributes_.find(ino);
            if (kept != attributes_.end()) {
                ++kept_;
                return kept->second;
            }
        }
        return keep([&] { return mount_.vfs->getattr(mount_.root, ino, 0); });
    }
    template <class Ask>
    Result<Attributes> keep(const Ask& ask) {
        uint64_t version;
        {
            MutexLock lock(mutex_);
            version = version_;
        }
        auto found = ask();
        if (!found.ok()) return found.error();
        EXPECT_EQ(found->name_valid_ns, 0);
        MutexLock lock(mutex_);
        if (found->valid_ns > 0 && version == version_) attributes_[found->inode.ino] = *found;
        return found;
    }

    Mount& mount_;
    std::atomic<uint64_t> kept_{0};
    Mutex mutex_;
    uint64_t version_ GUARDED_BY(mutex_) = 0;
    std::map<Ino, Attributes> attributes_ GUARDED_BY(mutex_);
};

constexpr int64_t kChanges = 5;
constexpr int64_t kNameKeptNs = kNsPerSecond / 2;

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
    EXPECT_EQ(must(a_->vfs->lookup(a_->root, a_->ino("/d"), "f")).valid_ns, 0);
}

TEST_F(KernelCaches, AreAskedOnceForWhatIsHeld) {
    Kernel kernel(*a_);
    Ino directory = must(a_->mkdir("/d")).inode.ino;
    ASSERT_OK(a_->write_file("/d/f", "x"));
    Ino file = must(kernel.stat(directory, "f")).ino;
    for (int i = 0; i < 3; ++i) {
        ASSERT_OK(kernel.fstat(file));
        ASSERT_OK(kernel.fstat(directory));
    }
    EXPECT_EQ(kernel.kept(), 5u);
}

TEST_F(KernelCaches, AreTakenBackBeforeAnotherMountChangesWhatTheyKeep) {
    Kernel kernel(*a_);
    Ino directory = must(a_->mkdir("/d")).inode.ino;
    ASSERT_OK(a_->vfs->mknod(a_->root, directory, "f", S_IFREG | 0644, 0));
    Ino file = must(kernel.stat(directory, "f")).ino;
    ASSERT_OK(set_mtime(*b_, b_->ino("/d/f"), 77));
    EXPECT_EQ(must(kernel.fstat(file)).mtime.seconds, 77);
    ASSERT_OK(kernel.fstat(directory));
    ASSERT_OK(b_->mkdir("/d/e"));
    EXPECT_EQ(must(kernel.fstat(directory)).links, 3u);
}

// What is written here and not published is shown, and the room it takes once it is: of a file with a hole that is another.
TEST_F(KernelCaches, AreTakenBackWhenWhatWasWrittenTakesItsRoom) {
    Kernel kernel(*a_);
    auto opened = must(a_->create("/f", O_RDWR | O_CREAT));
    Ino file = opened.attributes.inode.ino;
    ASSERT_OK(a_->write(opened.handle, 16u << 20, std::string(102'400, 'x')));
    EXPECT_EQ(kernel.blocks(file), ((16u << 20) + 102'400) / 512);
    ASSERT_OK(a_->vfs->fsync(opened.handle, false));
    EXPECT_EQ(kernel.blocks(file), 102'400u / 512);
    a_->vfs->release(opened.handle, false);
}

TEST_F(KernelCaches, AreKeptWhenAPublicationChangesNothingThatIsShown) {
    Kernel kernel(*a_);
    auto opened = must(a_->create("/f", O_RDWR | O_CREAT));
    Ino file = opened.attributes.inode.ino;
    ASSERT_OK(a_->write(opened.handle, 0, std::string(4096, 'x')));
    EXPECT_EQ(kernel.blocks(file), 8u);
    ASSERT_OK(a_->vfs->fsync(opened.handle, false));
    EXPECT_EQ(kernel.blocks(file), 8u);
    EXPECT_EQ(kernel.kept(), 1u);
    EXPECT_EQ(must(a_->vfs->getattr(a_->root, file, 0)).blocks, 8u);
    a_->vfs->release(opened.handle, false);
}

// Reading through the kernel of one mount while another changes: nothing is seen that was over before the look began.
TEST_F(KernelCaches, NeverShowWhatWasOverBeforeTheLook) {
    Kernel kernel(*a_);
    for (int round = 0; round < 60; ++round) {
        std::string name = "d" + std::to_string(round);
        Ino directory = must(a_->mkdir("/" + name)).inode.ino;
        ASSERT_OK(a_->vfs->mknod(a_->root, directory, "f", S_IFREG | 0644, 0));
        Ino file = must(kernel.stat(directory, "f")).ino;
        std::atomic<int64_t> changed{0};
        std::atomic<bool> is_over{false};
        std::vector<Thread> readers;
        for (int i = 0; i < 2; ++i)
            readers.emplace_back("reader", [&] {
                while (!is_over) {
                    int64_t before = changed;
                    auto seen = kernel.fstat(file);
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
    }
    EXPECT_GT(kernel.kept(), 0u);
}

// Names cannot be taken back: who comes waits until they are over.
TEST(KernelsOfAMountAlone, KeepNamesAndWhatIsMade) {
    auto cluster = std::make_shared<MemoryCluster>();
    MemoryStore store(cluster);
    must(format_volume(store, Clock::system(), {.lease_seconds = 5}));
    store.stop();
    Mount a(cluster, VfsSettings{}, MetaOptions{.hold = true, .names = MetaOptions::Names::alone});
    std::vector<std::string> told;
    a.vfs->set_invalidator({.keeps_names = true,
                            .entry = [&told](Ino, const std::string& name) { told.push_back(name); },
                            .attributes_at_once = [](const std::vector<Ino>&) {}});
    ASSERT_OK(a.mkdir("/first"));  // the group is taken
    while (must(a.vfs->lookup(a.root, kRootIno, "first")).name_valid_ns == 0) Clock::system().sleep_ns(kNsPerMs);  // it looks around
    Attributes d = must(a.mkdir("/d"));
    EXPECT_EQ(d.name_valid_ns, kNameKeptNs);
    EXPECT_EQ(d.valid_ns, 0);  // its own group, which is another
    auto opened = must(a.create("/d/f", O_RDWR | O_CREAT));
    EXPECT_EQ(opened.attributes.name_valid_ns, kNameKeptNs);
    EXPECT_EQ(opened.attributes.valid_ns, kNameKeptNs);
    a.vfs->release(opened.handle, false);
    // Of what the kernel did not ask for it is told.
    ASSERT_OK(a.vfs->mkdir(a.root, d.inode.ino, "by the kernel", 0755));
    EXPECT_TRUE(told.empty());
    ASSERT_OK(a.vfs->rmdir({.is_plugin = true}, d.inode.ino, "by the kernel"));
    EXPECT_EQ(told, std::vector<std::string>{"by the kernel"});

    Mount b(cluster, VfsSettings{}, MetaOptions{.hold = true, .names = MetaOptions::Names::alone});
    ASSERT_OK(a.vfs->syncfs());
    const int64_t began = Clock::system().boot_ns();
    EXPECT_EQ(must(a.vfs->lookup(a.root, d.inode.ino, "f")).name_valid_ns, kNameKeptNs);
    ASSERT_OK(b.vfs->unlink(b.root, d.inode.ino, "f"));
    EXPECT_GE(Clock::system().boot_ns() - began, 4 * kNameKeptNs);
    EXPECT_EQ(must(a.mkdir("/e")).name_valid_ns, 0);
    EXPECT_EQ(must(b.mkdir("/g")).name_valid_ns, 0);
    a.vfs->set_invalidator({});
}

}  // namespace
}  // namespace meshfs::test
