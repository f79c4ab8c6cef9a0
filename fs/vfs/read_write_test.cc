#include <linux/falloc.h>

#include <random>

#include "test/fixtures.h"

namespace meshfs::test {
namespace {

class ReadWrite : public VfsTest {
protected:
    static std::string pattern(size_t size, unsigned seed) {
        std::mt19937 random(seed);
        std::string bytes(size, '\0');
        for (char& c : bytes) c = static_cast<char>(random());
        return bytes;
    }
};

TEST_F(ReadWrite, BytesComeBack) {
    for (size_t size : {0u, 1u, 4096u, 4097u, 1u << 20, 9u << 20}) {
        std::string bytes = pattern(size, 1);
        ASSERT_OK(m().write_file("/f" + std::to_string(size), bytes));
        EXPECT_TRUE(must(m().read_file("/f" + std::to_string(size))) == bytes) << size;
    }
}

TEST_F(ReadWrite, StatSeesWhatIsNotYetPublished) {
    auto opened = must(m().create("/f"));
    Time before = m().stat("/f")->inode.mtime;
    ASSERT_OK(m().write(opened.handle, 100, "end"));
    auto now = m().stat("/f");
    ASSERT_OK(now);
    EXPECT_EQ(now->inode.map.size, 103u);
    EXPECT_GT(now->inode.mtime, before);
    EXPECT_EQ(now->inode.mtime, now->inode.ctime);
    EXPECT_GT(now->blocks, 0u);
    EXPECT_EQ(must(m().read(opened.handle, 99, 10)), std::string("\0end", 4));
    ASSERT_OK(m().close(opened.handle));
}

TEST_F(ReadWrite, HandlesKnowTheirMode) {
    ASSERT_OK(m().write_file("/f", "x"));
    auto readable = must(m().open("/f", O_RDONLY));
    EXPECT_ERRNO(m().write(readable.handle, 0, "y"), EBADF);
    EXPECT_ERRNO(vfs().fallocate(readable.handle, 0, {0, 1}), EBADF);
    EXPECT_TRUE(readable.no_flush);
    ASSERT_OK(m().close(readable.handle));
    EXPECT_ERRNO(m().read(readable.handle, 0, 1), EBADF);
    EXPECT_ERRNO(vfs().fsync(readable.handle, false), EBADF);
    EXPECT_ERRNO(vfs().open(m().root, kRootIno, O_RDONLY), EISDIR);
}

TEST_F(ReadWrite, OpeningWithTruncEmpties) {
    ASSERT_OK(m().write_file("/f", "something"));
    auto opened = must(m().open("/f", O_RDWR | O_TRUNC));
    EXPECT_EQ(opened.attributes.inode.map.size, 0u);
    EXPECT_EQ(must(m().read(opened.handle, 0, 100)), "");
    ASSERT_OK(m().close(opened.handle));
    EXPECT_EQ(m().stat("/f")->inode.map.size, 0u);
}

TEST_F(ReadWrite, AppendsGoToTheEndWhateverTheOffset) {
    auto a = must(m().create("/f", O_RDWR | O_CREAT | O_APPEND));
    auto b = must(m().open("/f", O_WRONLY | O_APPEND));
    ASSERT_OK(m().write(a.handle, 0, "one "));
    ASSERT_OK(m().write(b.handle, 0, "two "));
    ASSERT_OK(m().write(a.handle, 0, "three"));
    EXPECT_EQ(must(m().read(a.handle, 0, 100)), "one two three");
    ASSERT_OK(m().close(a.handle));
    ASSERT_OK(m().close(b.handle));
    EXPECT_EQ(must(m().read_file("/f")), "one two three");
}

TEST_F(ReadWrite, ContentVersionRisesWithPublishedBytesOnly) {
    auto opened = must(m().create("/f"));
    ASSERT_OK(m().write(opened.handle, 0, "1"));
    ASSERT_OK(vfs().fsync(opened.handle, false));
    uint64_t first = m().stat("/f")->inode.content_version;
    ASSERT_OK(vfs().fsync(opened.handle, false));
    EXPECT_EQ(m().stat("/f")->inode.content_version, first);
    ASSERT_OK(m().write(opened.handle, 0, "2"));
    ASSERT_OK(vfs().fsync(opened.handle, false));
    EXPECT_GT(m().stat("/f")->inode.content_version, first);
    ASSERT_OK(m().close(opened.handle));
}

TEST_F(ReadWrite, AnUnlinkedOpenFileLivesOn) {
    auto opened = must(m().create("/f"));
    ASSERT_OK(m().write(opened.handle, 0, "still here"));
    ASSERT_OK(m().unlink("/f"));
    EXPECT_EQ(must(m().read(opened.handle, 0, 100)), "still here");
    ASSERT_OK(m().write(opened.handle, 10, "!"));
    ASSERT_OK(vfs().fsync(opened.handle, false));
    EXPECT_EQ(must(m().read(opened.handle, 0, 100)), "still here!");
    auto attributes = vfs().getattr(m().root, opened.attributes.inode.ino, opened.handle);
    ASSERT_OK(attributes);
    EXPECT_EQ(attributes->inode.links, 0u);
    ASSERT_OK(m().close(opened.handle));
    EXPECT_ERRNO(vfs().open(m().root, opened.attributes.inode.ino, O_RDONLY), ESTALE);
}

TEST_F(ReadWrite, FallocateGrowsZeroesAndPunches) {
    auto opened = must(m().create("/f"));
    std::string bytes = pattern(64 << 10, 2);
    ASSERT_OK(m().write(opened.handle, 0, bytes));
    ASSERT_OK(vfs().fallocate(opened.handle, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, {4096, 8192}));
    std::fill_n(bytes.begin() + 4096, 8192, '\0');
    ASSERT_OK(vfs().fallocate(opened.handle, FALLOC_FL_ZERO_RANGE, {60 << 10, 8 << 10}));
    std::fill(bytes.begin() + (60 << 10), bytes.end(), '\0');
    bytes.resize(68 << 10);
    EXPECT_TRUE(must(m().read(opened.handle, 0, 1 << 20)) == bytes);
    ASSERT_OK(vfs().fallocate(opened.handle, 0, {0, 100 << 10}));
    EXPECT_EQ(m().stat("/f")->inode.map.size, 100u << 10);
    ASSERT_OK(vfs().fallocate(opened.handle, FALLOC_FL_KEEP_SIZE, {0, 200 << 10}));
    EXPECT_EQ(m().stat("/f")->inode.map.size, 100u << 10);
    EXPECT_ERRNO(vfs().fallocate(opened.handle, FALLOC_FL_PUNCH_HOLE, {0, 1}), EOPNOTSUPP);
    EXPECT_ERRNO(vfs().fallocate(opened.handle, FALLOC_FL_COLLAPSE_RANGE, {0, 4096}), EOPNOTSUPP);
    EXPECT_ERRNO(vfs().fallocate(opened.handle, 0, {0, 0}), EINVAL);
    EXPECT_ERRNO(vfs().fallocate(opened.handle, 0, {kFileSizeMax, 1}), EFBIG);
    ASSERT_OK(m().close(opened.handle));
}

TEST_F(ReadWrite, SeekFindsDataAndHoles) {
    auto opened = must(m().create("/f"));
    ASSERT_OK(m().write(opened.handle, 64 << 20, "data"));
    EXPECT_EQ(must(vfs().seek(opened.handle, 0, SEEK_HOLE)), 0u);
    uint64_t data = must(vfs().seek(opened.handle, 0, SEEK_DATA));
    EXPECT_LE(data, 64u << 20);
    EXPECT_GT(data, 0u);
    EXPECT_EQ(must(vfs().seek(opened.handle, 64 << 20, SEEK_HOLE)), (64u << 20) + 4);
    EXPECT_ERRNO(vfs().seek(opened.handle, 1 << 30, SEEK_DATA), ENXIO);
    EXPECT_ERRNO(vfs().seek(opened.handle, 0, SEEK_SET), EINVAL);
    ASSERT_OK(m().close(opened.handle));
}

TEST_F(ReadWrite, CopyRangeCopiesInTheDaemon) {
    std::string bytes = pattern(3 << 20, 3);
    ASSERT_OK(m().write_file("/a", bytes));
    auto a = must(m().open("/a", O_RDWR));
    auto b = must(m().create("/b"));
    EXPECT_EQ(must(vfs().copy_range(a.handle, 1000, b.handle, 10, 2 << 20)), 2u << 20);
    EXPECT_TRUE(must(m().read(b.handle, 10, 4 << 20)) == bytes.substr(1000, 2 << 20));
    EXPECT_EQ(must(vfs().copy_range(a.handle, bytes.size() - 5, b.handle, 0, 100)), 5u);
    EXPECT_EQ(must(vfs().copy_range(a.handle, bytes.size(), b.handle, 0, 100)), 0u);
    EXPECT_ERRNO(vfs().copy_range(a.handle, 0, a.handle, 10, 100), EINVAL);
    ASSERT_OK(m().close(a.handle));
    ASSERT_OK(m().close(b.handle));
}

TEST_F(ReadWrite, TheLargestFileHasItsLastByte) {
    auto opened = must(m().create("/f"));
    ASSERT_OK(m().write(opened.handle, kFileSizeMax - 1, "z"));
    EXPECT_EQ(m().stat("/f")->inode.map.size, kFileSizeMax);
    EXPECT_EQ(must(m().read(opened.handle, kFileSizeMax - 2, 10)), std::string("\0z", 2));
    EXPECT_ERRNO(m().write(opened.handle, kFileSizeMax, "z"), EFBIG);
    ASSERT_OK(m().close(opened.handle));
}

TEST_F(ReadWrite, AFailedWriteBackIsToldOnceToEachHandle) {
    auto a = must(m().create("/f"));
    auto b = must(m().open("/f", O_RDWR));
    ASSERT_OK(m().write(a.handle, 0, pattern(64 << 10, 4)));
    m().faults->set_plan({.error = 1, .error_code = ENOSPC});
    EXPECT_ERRNO(vfs().fsync(a.handle, false), ENOSPC);
    m().faults->set_plan({});
    EXPECT_ERRNO(vfs().flush(b.handle, 0), ENOSPC);
    EXPECT_OK(vfs().fsync(a.handle, false));  // the bytes were kept, and are stored now
    EXPECT_OK(vfs().fsync(b.handle, false));
    EXPECT_TRUE(must(m().read(a.handle, 0, 1 << 20)) == pattern(64 << 10, 4));
    ASSERT_OK(m().close(a.handle));
    ASSERT_OK(m().close(b.handle));
}

TEST_F(ReadWrite, ReadingMovesTheAccessTimeAtMostOnceUnderRelatime) {
    ASSERT_OK(m().write_file("/f", "read me"));
    Time before = m().stat("/f")->inode.atime;
    EXPECT_EQ(must(m().read_file("/f")), "read me");
    Time first = m().stat("/f")->inode.atime;
    EXPECT_GT(first, before);
    EXPECT_EQ(must(m().read_file("/f")), "read me");
    EXPECT_EQ(m().stat("/f")->inode.atime, first);
}

}  // namespace
}  // namespace meshfs::test
