// Files that are open and have no name any more.
#include <thread>

#include "test/fixtures.h"

namespace meshfs::test {
namespace {

class UnlinkedTest : public VfsTest {};

TEST_F(UnlinkedTest, AFileOutlivesItsNameAndItsDirectory) {
    must(m().mkdir("/d"));
    uint64_t handle = must(m().create("/d/f")).handle;
    EXPECT_OK(m().write(handle, 0, "before"));
    ASSERT_OK(m().unlink("/d/f"));
    ASSERT_OK(m().rmdir("/d"));
    EXPECT_OK(m().write(handle, 6, std::string(100'000, 'x')));
    EXPECT_OK(vfs().fsync(handle, false));
    EXPECT_EQ(must(m().read(handle, 0, 8)), "beforexx");
    EXPECT_OK(vfs().syncfs());
    EXPECT_OK(m().close(handle));
}

// What was only read has a time to publish, too; `rm -rf` may not make a umount fail.
TEST_F(UnlinkedTest, WhatWasReadBeforeItsDirectoryWentKeepsNobodyFromUnmounting) {
    must(m().mkdir("/d"));
    must(m().write_file("/d/f", "bytes"));
    EXPECT_EQ(must(m().read_file("/d/f")), "bytes");
    ASSERT_OK(m().unlink("/d/f"));
    ASSERT_OK(m().rmdir("/d"));
    EXPECT_OK(vfs().syncfs());
}

// The other mount has it open, too: what was published is not ours to give up.
TEST(UnlinkedOnTwoMounts, WhatCannotBeStoredTakesNothingFromWhoReadsElsewhere) {
    auto cluster = std::make_shared<MemoryCluster>(8u << 20);
    {
        MemoryStore store(cluster);
        must(format_volume(store, Clock::system(), {.lease_seconds = 5}));
        store.stop();
    }
    Mount a(cluster, {.commit_ns = 10 * kNsPerMs}), b(cluster);
    const std::string published(1u << 20, 'p');
    ASSERT_OK(a.write_file("/f", published));
    const Ino ino = b.ino("/f");
    uint64_t reader = must(b.open("/f", O_RDONLY)).handle;
    EXPECT_EQ(must(b.read(reader, 0, 2)), "pp");

    uint64_t writer = must(a.open("/f")).handle;
    for (uint64_t at = published.size(); at < 16u << 20; at += published.size()) EXPECT_OK(a.write(writer, at, published));
    ASSERT_OK(a.unlink("/f"));
    EXPECT_ERRNO(a.close(writer), ENOSPC);
    for (int tries = 0; !a.vfs->syncfs().ok(); ++tries) {
        ASSERT_LT(tries, 1000) << "what nobody can read any more is kept for ever";
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    // At least that: some of the rest may have been published before there was no room.
    EXPECT_GE(must(b.vfs->getattr(b.root, ino, reader)).inode.map.size, published.size());
    EXPECT_EQ(must(b.read(reader, 0, published.size())), published);
    EXPECT_OK(b.close(reader));
}

}  // namespace
}  // namespace meshfs::test
