// Files that are open and have no name any more.
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

}  // namespace
}  // namespace meshfs::test
