// One file written from several mounts.
#include "fs/vfs/sharing.h"

#include <thread>

#include "test/fixtures.h"

namespace meshfs::test {
namespace {

class SharingTest : public testing::Test {
protected:
    SharingTest() : cluster_(std::make_shared<MemoryCluster>()) {
        MemoryStore store(cluster_);
        must(format_volume(store, Clock::system(), {.lease_seconds = 1}));
        store.stop();
        add_mount();
        add_mount();
    }
    // They publish by themselves only when they must.
    void add_mount() {
        VfsSettings settings;
        settings.commit_ns = 3600 * kNsPerSecond;
        mounts_.push_back(std::make_unique<Mount>(cluster_, settings));
    }
    Mount& a() { return *mounts_[0]; }
    Mount& b() { return *mounts_[1]; }
    Inode inode(const std::string& path) { return must(a().meta->get(a().ino(path))); }
    std::string read(Mount& m, uint64_t handle) { return must(m.read(handle, 0, 1 << 20)); }

    std::shared_ptr<MemoryCluster> cluster_;
    std::vector<std::unique_ptr<Mount>> mounts_;
};

TEST_F(SharingTest, WhoWritesAloneIsInTheInodeUntilItsClose) {
    ASSERT_OK(a().write_file("/f", "first"));
    EXPECT_EQ(inode("/f").writer, kNobody);
    auto opened = must(a().open("/f"));
    EXPECT_EQ(inode("/f").writer, kNobody);
    ASSERT_OK(a().write(opened.handle, 0, "F"));
    EXPECT_EQ(inode("/f").writer, a().meta->session());
    EXPECT_EQ(inode("/f").write_version % 2, 1u);
    EXPECT_EQ(must(b().read_file("/f")), "first");
    ASSERT_OK(a().close(opened.handle));
    EXPECT_EQ(inode("/f").writer, kNobody);
    EXPECT_EQ(inode("/f").write_version % 2, 0u);
    EXPECT_EQ(must(b().read_file("/f")), "First");
}

TEST_F(SharingTest, WhatFdatasyncStoredInPlaceOutlivesItsMountAndIsNotTakenForStable) {
    ASSERT_OK(a().write_file("/f", std::string(200'000, '-')));
    EXPECT_EQ(must(b().read_file("/f")).substr(0, 2), "--");
    ASSERT_TRUE(must(b().open("/f", O_RDONLY)).keep_cache);
    auto opened = must(a().open("/f"));
    ASSERT_OK(a().write(opened.handle, 0, "aaaa"));
    ASSERT_OK(a().vfs->fsync(opened.handle, true));
    uint64_t version = inode("/f").content_version;
    EXPECT_FALSE(must(b().open("/f", O_RDONLY)).keep_cache) << "what it has of this version may be older";
    EXPECT_EQ(must(b().read_file("/f")).substr(0, 5), "aaaa-");
    ASSERT_OK(a().write(opened.handle, 2, "bb"));
    ASSERT_OK(a().vfs->fsync(opened.handle, true));
    EXPECT_EQ(inode("/f").content_version, version) << "no metadata was written";
    ASSERT_OK(a().write(opened.handle, 300'000, "end"));
    ASSERT_OK(a().vfs->fsync(opened.handle, true));
    EXPECT_GT(inode("/f").content_version, version) << "the size is needed to find the bytes";
    ASSERT_OK(a().write(opened.handle, 1, "c"));
    ASSERT_OK(a().vfs->fsync(opened.handle, true));
    a().kill();
    auto there = must(b().open("/f", O_RDONLY));
    EXPECT_FALSE(there.keep_cache);
    EXPECT_EQ(read(b(), there.handle).substr(0, 5), "acbb-");
    EXPECT_EQ(there.attributes.inode.map.size, 300'003u);
}

// Its owner gives a file privileges elsewhere, while somebody else has it open here.
TEST_F(SharingTest, PrivilegesThatCameFromElsewhereGoWithWhatIsWritten) {
    ASSERT_OK(a().write_file("/f", "trusted"));
    auto opened = must(a().open("/f"));
    SetAttributes set;
    set.mode = 06755;
    ASSERT_OK(b().vfs->setattr(b().root, b().ino("/f"), set));
    ASSERT_OK(a().write(opened.handle, 0, "evil", true));
    ASSERT_OK(a().close(opened.handle));
    EXPECT_EQ(inode("/f").mode, S_IFREG | 0755u);
    EXPECT_EQ(must(b().read_file("/f")), "evilted");
}

TEST_F(SharingTest, WhatFdatasyncLeftIsPublishedByFsync) {
    ASSERT_OK(a().write_file("/f", std::string(20'000, '-')));
    auto opened = must(a().open("/f"));
    ASSERT_OK(a().write(opened.handle, 0, "aaaa"));
    ASSERT_OK(a().vfs->fsync(opened.handle, true));
    uint64_t version = inode("/f").content_version;
    ASSERT_OK(a().vfs->fsync(opened.handle, false));
    EXPECT_EQ(inode("/f").content_version, version + 1);
    ASSERT_OK(a().close(opened.handle));
}

TEST_F(SharingTest, ASecondWriterSeesWhatTheFirstWroteAndBothSeeAllFromThenOn) {
    ASSERT_OK(a().write_file("/f", std::string(20'000, '-')));
    auto of_a = must(a().open("/f")), of_b = must(b().open("/f"));
    ASSERT_OK(a().write(of_a.handle, 0, "aaaa"));  // in memory
    ASSERT_OK(b().write(of_b.handle, 2, "bb"));
    EXPECT_EQ(read(b(), of_b.handle).substr(0, 5), "aabb-");
    EXPECT_EQ(read(a(), of_a.handle).substr(0, 5), "aabb-");
    EXPECT_EQ(inode("/f").writer, kSeveral);
    ASSERT_OK(a().write(of_a.handle, 30'000, "end"));
    EXPECT_EQ(read(b(), of_b.handle).size(), 30'003u);
    EXPECT_TRUE(must(b().open("/f", O_RDONLY)).direct_io);
    SetAttributes cut;
    cut.size = 3;
    ASSERT_OK(b().vfs->setattr(b().root, b().ino("/f"), cut));
    EXPECT_EQ(read(a(), of_a.handle), "aab");
    ASSERT_OK(a().vfs->fallocate(of_a.handle, 0, {0, 6}, false));
    EXPECT_EQ(read(b(), of_b.handle), std::string("aab\0\0\0", 6));
    ASSERT_OK(a().close(of_a.handle));
    ASSERT_OK(b().write(of_b.handle, 5, "z"));
    ASSERT_OK(b().close(of_b.handle));
    EXPECT_EQ(must(a().read_file("/f")), std::string("aab\0\0z", 6));
}

TEST_F(SharingTest, WhoIsLeftIsAloneAgain) {
    ASSERT_OK(a().write_file("/f", "x"));
    auto of_a = must(a().open("/f")), of_b = must(b().open("/f"));
    ASSERT_OK(a().write(of_a.handle, 0, "a"));
    ASSERT_OK(b().write(of_b.handle, 0, "b"));
    ASSERT_OK(b().close(of_b.handle));
    EXPECT_EQ(inode("/f").writer, kSeveral);
    ASSERT_OK(a().close(of_a.handle));
    of_b = must(b().open("/f"));
    ASSERT_OK(b().write(of_b.handle, 0, "c"));
    EXPECT_EQ(inode("/f").writer, b().meta->session());
    ASSERT_OK(b().close(of_b.handle));
    EXPECT_EQ(must(a().read_file("/f")), "c");
}

// Who asked comes late, as on a busy machine: meanwhile the other looks many times whether it is alone.
TEST_F(SharingTest, RoomThatWasMadeIsKeptForWhoAskedForIt) {
    ASSERT_OK(a().write_file("/f", std::string(100, '.')));
    auto of_a = must(a().open("/f")), of_b = must(b().open("/f"));
    ASSERT_OK(a().write(of_a.handle, 0, "a"));
    a().vfs->set_commit(kNsPerMs / 10);
    ASSERT_OK(b().write(of_b.handle, 1, "b"));
    EXPECT_EQ(inode("/f").writer, kSeveral);
    EXPECT_EQ(read(b(), of_b.handle).substr(0, 3), "ab.");
    ASSERT_OK(b().close(of_b.handle));
    while (inode("/f").writer != a().meta->session()) Clock::system().sleep_ns(kNsPerMs);
    ASSERT_OK(a().close(of_a.handle));
}

TEST_F(SharingTest, ADeadWritersNameIsReplacedAndWhatItSyncedIsThere) {
    auto of_a = must(a().create("/f"));
    ASSERT_OK(a().write(of_a.handle, 0, std::string(100'000, 's')));
    ASSERT_OK(a().vfs->fsync(of_a.handle, false));
    ASSERT_OK(a().write(of_a.handle, 100'000, std::string(50'000, 'u')));  // never published
    a().kill();
    auto of_b = must(b().open("/f", O_WRONLY | O_APPEND));
    ASSERT_OK(b().write(of_b.handle, 0, "bb"));
    ASSERT_OK(b().close(of_b.handle));
    EXPECT_EQ(must(b().read_file("/f")), std::string(100'000, 's') + "bb");
    EXPECT_EQ(must(b().meta->get(b().ino("/f"))).map.extents.size(), 2u);  // not where late bytes could lie
}

// Each appends records of its own from two threads; every one is there once, whole, in order.
TEST_F(SharingTest, EveryRecordAppendedIsThereOnceAndWhole) {
    constexpr int kThreads = 2, kRecords = 25;
    add_mount();
    ASSERT_OK(a().write_file("/log", ""));
    std::vector<std::thread> threads;
    for (size_t m = 0; m < mounts_.size(); ++m) {
        for (int t = 0; t < kThreads; ++t) {
            threads.emplace_back([this, m, t] {
                Mount& mount = *mounts_[m];
                auto log = must(mount.open("/log", O_WRONLY | O_APPEND));
                for (int i = 0; i < kRecords; ++i) {
                    std::string name = std::to_string(m) + "." + std::to_string(t) + "." + std::to_string(i);
                    EXPECT_OK(mount.write(log.handle, 0, name + std::string(1 + (i * 977) % 5000, ' ') + "\n"));
                }
                EXPECT_OK(mount.close(log.handle));
            });
        }
    }
    for (auto& thread : threads) thread.join();
    std::string bytes = must(a().read_file("/log"));
    std::map<std::string, int> seen;
    for (size_t at = 0; at < bytes.size();) {
        size_t end = bytes.find('\n', at), blank = bytes.find(' ', at);
        ASSERT_LT(blank, end);
        std::string who = bytes.substr(at, bytes.rfind('.', blank) - at);
        int number = seen[who]++;
        ASSERT_EQ(bytes.substr(at, blank - at), who + "." + std::to_string(number));
        ASSERT_EQ(end - blank, 1u + static_cast<size_t>(number * 977) % 5000);
        ASSERT_EQ(bytes.find_first_not_of(' ', blank), end);
        at = end + 1;
    }
    EXPECT_EQ(seen.size(), mounts_.size() * kThreads);
    for (auto& [who, count] : seen) EXPECT_EQ(count, kRecords) << who;
}

}  // namespace
}  // namespace meshfs::test
