// Two mounts of one volume: what one does, the other sees.
#include <set>
#include <thread>

#include "test/fixtures.h"

namespace meshfs::test {
namespace {

class TwoMounts : public VfsTest {
protected:
    TwoMounts() : VfsTest(quick()), other_(std::make_unique<Mount>(cluster_, quick())) {}
    static VfsSettings quick() {
        VfsSettings settings;
        settings.commit_ns = 50 * kNsPerMs;
        return settings;
    }
    Mount& a() { return *mount_; }
    Mount& b() { return *other_; }
    std::unique_ptr<Mount> other_;
};

TEST_F(TwoMounts, NamesAndAttributesAreSeenAtOnce) {
    ASSERT_OK(a().mkdir("/d"));
    ASSERT_OK(b().mkdir("/d/e"));
    EXPECT_ERRNO(a().mkdir("/d/e"), EEXIST);
    EXPECT_ERRNO(a().rmdir("/d"), ENOTEMPTY);
    ASSERT_OK(a().rename("/d/e", "/d/f"));
    EXPECT_ERRNO(b().stat("/d/e"), ENOENT);
    SetAttributes set;
    set.mode = 0700;
    ASSERT_OK(b().vfs->setattr(b().root, b().ino("/d/f"), set));
    EXPECT_EQ(a().stat("/d/f")->inode.mode, S_IFDIR | 0700u);
    ASSERT_OK(b().rmdir("/d/f"));
    ASSERT_OK(a().rmdir("/d"));
    EXPECT_ERRNO(b().stat("/d"), ENOENT);
}

TEST_F(TwoMounts, BytesAreSeenAtTheOpenAfterTheClose) {
    ASSERT_OK(a().write_file("/f", "first"));
    EXPECT_EQ(must(b().read_file("/f")), "first");
    auto early = must(b().open("/f", O_RDONLY));
    ASSERT_OK(a().write_file("/f", "SECOND, longer"));
    EXPECT_EQ(must(b().read_file("/f")), "SECOND, longer");
    ASSERT_OK(b().close(early.handle));
    ASSERT_OK(b().write_file("/f", "third"));
    EXPECT_EQ(must(a().read_file("/f")), "thirdD, longer");
}

TEST_F(TwoMounts, PagesAreKeptOnlyIfNobodyElseWrote) {
    ASSERT_OK(a().write_file("/f", "first"));
    auto once = must(a().open("/f", O_RDONLY));
    EXPECT_TRUE(once.keep_cache);
    ASSERT_OK(a().close(once.handle));
    ASSERT_OK(b().write_file("/f", "other"));
    auto again = must(a().open("/f", O_RDONLY));
    EXPECT_FALSE(again.keep_cache);
    ASSERT_OK(a().close(again.handle));
    auto third = must(a().open("/f", O_RDONLY));
    EXPECT_TRUE(third.keep_cache);
    ASSERT_OK(a().close(third.handle));
}

TEST_F(TwoMounts, WritersOfDifferentPartsDoNotLoseEachOthersBytes) {
    constexpr size_t kPart = 128 << 10;
    ASSERT_OK(a().write_file("/f", std::string(2 * kPart, '-')));
    auto ha = must(a().open("/f"));
    auto hb = must(b().open("/f"));
    ASSERT_OK(a().write(ha.handle, 0, std::string(kPart, 'a')));
    ASSERT_OK(b().write(hb.handle, kPart, std::string(kPart, 'b')));
    ASSERT_OK(a().close(ha.handle));
    ASSERT_OK(b().close(hb.handle));
    std::string wanted = std::string(kPart, 'a') + std::string(kPart, 'b');
    EXPECT_TRUE(must(a().read_file("/f")) == wanted);
    EXPECT_TRUE(must(b().read_file("/f")) == wanted);
}

TEST_F(TwoMounts, WritersOfANewFileDoNotLoseEachOthersBytes) {
    constexpr size_t kPart = 128 << 10;
    auto ha = must(a().create("/f"));
    auto hb = must(b().open("/f"));
    ASSERT_OK(a().write(ha.handle, 0, std::string(kPart, 'a')));
    ASSERT_OK(b().write(hb.handle, kPart, std::string(kPart, 'b')));
    ASSERT_OK(a().close(ha.handle));
    ASSERT_OK(b().close(hb.handle));
    std::string wanted = std::string(kPart, 'a') + std::string(kPart, 'b');
    EXPECT_TRUE(must(a().read_file("/f")) == wanted);
    EXPECT_TRUE(must(b().read_file("/f")) == wanted);
}

TEST_F(TwoMounts, AppendsLoseNothing) {
    constexpr int kRecords = 40;
    ASSERT_OK(a().write_file("/log", ""));
    auto append = [](Mount& mount, char who) {
        auto opened = must(mount.open("/log", O_WRONLY | O_APPEND));
        EXPECT_TRUE(opened.direct_io);
        for (int i = 0; i < kRecords; ++i) {
            std::string record = std::string(1, who) + std::to_string(100 + i);
            EXPECT_OK(mount.write(opened.handle, 0, record + std::string(300 - record.size() - 1, '.') + "\n"));
        }
        EXPECT_OK(mount.close(opened.handle));
    };
    std::thread one([&] { append(a(), 'a'); });
    append(b(), 'b');
    one.join();
    std::string log = must(b().read_file("/log"));
    ASSERT_EQ(log.size(), 2u * kRecords * 300);
    std::set<std::string> seen;
    for (size_t at = 0; at < log.size(); at += 300) {
        EXPECT_EQ(log[at + 299], '\n');
        seen.insert(log.substr(at, 4));
    }
    EXPECT_EQ(seen.size(), 2u * kRecords);
}

TEST_F(TwoMounts, LocksExclude) {
    ASSERT_OK(a().write_file("/f", "x"));
    Ino ino = a().ino("/f");
    auto ha = must(a().open("/f"));
    auto hb = must(b().open("/f"));
    Vfs::LockRequest la{ha.handle, 11, F_WRLCK, 0, 99, 4711, false};
    Vfs::LockRequest lb{hb.handle, 11, F_WRLCK, 50, 150, 4712, false};
    ASSERT_OK(a().vfs->setlk(ino, la));
    EXPECT_ERRNO(b().vfs->setlk(ino, lb), EAGAIN);
    auto who = must(b().vfs->getlk(ino, lb));
    EXPECT_EQ(who.type, F_WRLCK);
    EXPECT_EQ(who.last, 99u);
    EXPECT_EQ(who.pid, 0u);  // a process of another mount
    Awaited<void> granted;
    b().vfs->setlkw(ino, lb, 1, granted.then());
    ASSERT_OK(a().close(ha.handle, 11));
    EXPECT_OK(granted.wait());
    Awaited<void> cancelled;
    auto again = must(a().open("/f"));
    la.handle = again.handle;
    a().vfs->setlkw(ino, la, 2, cancelled.then());
    a().vfs->cancel_setlk(2);
    EXPECT_ERRNO(cancelled.wait(), EINTR);
    ASSERT_OK(a().close(again.handle));
    ASSERT_OK(b().close(hb.handle, 11));
}

TEST_F(TwoMounts, AFileUnlinkedElsewhereStaysReadableWhileItIsOpen) {
    std::string bytes(1 << 20, 'q');
    ASSERT_OK(a().write_file("/f", bytes));
    auto opened = must(b().open("/f"));
    ASSERT_OK(a().unlink("/f"));
    for (int i = 0; i < 5; ++i) a().meta->tick();
    EXPECT_ERRNO(b().stat("/f"), ENOENT);
    EXPECT_TRUE(must(b().read(opened.handle, 0, 2 << 20)) == bytes);
    ASSERT_OK(b().write(opened.handle, 0, "w"));
    EXPECT_OK(b().vfs->fsync(opened.handle, false));
    EXPECT_OK(b().close(opened.handle));
}

TEST_F(TwoMounts, ATruncationElsewhereIsSeenAtTheNextOpen) {
    ASSERT_OK(a().write_file("/f", std::string(1 << 20, 'x')));
    EXPECT_EQ(must(b().read_file("/f")).size(), 1u << 20);
    SetAttributes set;
    set.size = 10;
    ASSERT_OK(a().vfs->setattr(a().root, a().ino("/f"), set));
    EXPECT_EQ(b().stat("/f")->inode.map.size, 10u);
    set.size = 20;
    ASSERT_OK(b().vfs->setattr(b().root, b().ino("/f"), set));
    EXPECT_EQ(must(a().read_file("/f")), std::string(10, 'x') + std::string(10, '\0'));
}

}  // namespace
}  // namespace meshfs::test
