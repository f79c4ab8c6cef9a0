// BYTES, SYNC, ERRORS, SEVERAL WRITERS and LOCKS of meshfs-semantics(7).
#include <unistd.h>

#include <thread>

#include "test/semantics/two_mounts.h"

namespace meshfs::test {
namespace {

class Bytes : public TwoMounts {};

TEST_F(Bytes, AreSeenOnTheOwnMountAtOnce) {
    auto writing = must(a().create("/f"));
    auto reading = must(a().open("/f", O_RDONLY));
    ASSERT_OK(a().write(writing.handle, 0, "hello"));
    EXPECT_EQ(must(a().read(reading.handle, 0, 100)), "hello");
    EXPECT_EQ(inode(a(), "/f").map.size, 5u);
    EXPECT_OK(a().close(writing.handle));
    EXPECT_OK(a().close(reading.handle));
}

TEST_F(Bytes, AreSeenOnOtherMountsFromCloseToOpen) {
    ASSERT_OK(a().write_file("/f", "first"));
    EXPECT_EQ(must(b().read_file("/f")), "first");
    auto opened = must(a().open("/f"));
    ASSERT_OK(a().write(opened.handle, 0, std::string(50'000, 'y')));
    ASSERT_OK(a().close(opened.handle));
    EXPECT_EQ(inode(b(), "/f").map.size, 50'000u);
    EXPECT_EQ(must(b().read_file("/f")), std::string(50'000, 'y'));
}

class SmallBytes : public TwoMounts {
protected:
    SmallBytes() : TwoMounts(3600 * kNsPerSecond, {.hold = true, .commit_ns = 3600 * kNsPerSecond}) {}
};

TEST_F(SmallBytes, AreSeenOnOtherMountsFromCloseToOpen) {
    must(a().mkdir("/d"));
    for (int i = 0; i < 10; ++i) ASSERT_OK(a().write_file("/d/" + std::to_string(i), std::string(10'000 + i, 'y')));
    EXPECT_GE(a().vfs->usage().dirty_bytes, 100'000u) << "they wait for each other";
    for (int i = 0; i < 10; ++i) {
        EXPECT_EQ(inode(b(), "/d/" + std::to_string(i)).map.size, 10'000u + i);
        EXPECT_EQ(must(b().read_file("/d/" + std::to_string(i))), std::string(10'000 + i, 'y'));
    }
    EXPECT_EQ(a().vfs->usage().dirty_bytes, 0u);
}

TEST_F(Bytes, CutOffNeverComeBack) {
    ASSERT_OK(a().write_file("/f", std::string(10'000, 'x')));
    ASSERT_OK(set_size(a(), "/f", 100));
    ASSERT_OK(set_size(b(), "/f", 10'000));
    EXPECT_EQ(must(a().read_file("/f")), std::string(100, 'x') + std::string(9'900, '\0'));
}

TEST_F(Bytes, HolesReadAsZerosAndCanBeFound) {
    constexpr uint64_t kFar = 64u << 20;
    auto opened = must(a().create("/f"));
    ASSERT_OK(a().write(opened.handle, kFar, "end"));
    EXPECT_EQ(must(a().read(opened.handle, kFar - 4, 100)), std::string(4, '\0') + "end");
    EXPECT_EQ(must(a().vfs->seek(opened.handle, 0, SEEK_HOLE)), 0u);
    uint64_t data = must(a().vfs->seek(opened.handle, 0, SEEK_DATA));
    EXPECT_GT(data, 0u);
    EXPECT_LE(data, kFar);
    EXPECT_ERRNO(a().vfs->seek(opened.handle, kFar + 3, SEEK_DATA), ENXIO);
    EXPECT_OK(a().close(opened.handle));
    EXPECT_EQ(inode(b(), "/f").map.size, kFar + 3);
}

TEST_F(Bytes, FilesEndAtTheLargestOffset) {
    auto opened = must(a().create("/f"));
    EXPECT_ERRNO(a().write(opened.handle, uint64_t{INT64_MAX} - 1, "12345"), EFBIG);
    ASSERT_OK(set_size(a(), "/f", INT64_MAX));
    EXPECT_EQ(inode(b(), "/f").map.size, uint64_t{INT64_MAX});
    EXPECT_OK(a().close(opened.handle));
}

class Sync : public TwoMounts {};

TEST_F(Sync, WhatWasSyncedIsThereForEverybody) {
    auto opened = must(a().create("/f"));
    ASSERT_OK(a().write(opened.handle, 0, std::string(100'000, 'x')));
    ASSERT_OK(a().vfs->fsync(opened.handle, false));
    a().faults->set_plan({.error = 1, .error_code = EIO});  // this mount stores nothing any more
    EXPECT_EQ(must(b().read_file("/f")), std::string(100'000, 'x'));
    a().faults->set_plan({});
    EXPECT_OK(a().close(opened.handle));
}

TEST_F(Sync, SyncfsIsForAllFiles) {
    std::vector<uint64_t> handles;
    for (int i = 0; i < 5; ++i) {
        handles.push_back(must(a().create("/f" + std::to_string(i))).handle);
        ASSERT_OK(a().write(handles.back(), 0, "x"));
    }
    ASSERT_OK(a().vfs->syncfs());
    for (int i = 0; i < 5; ++i) EXPECT_EQ(must(b().read_file("/f" + std::to_string(i))), "x");
    for (uint64_t handle : handles) EXPECT_OK(a().close(handle));
}

class Errors : public TwoMounts {};

TEST_F(Errors, OfTheStoreReachFsyncAndNothingIsForgotten) {
    auto opened = must(a().create("/f"));
    ASSERT_OK(a().write(opened.handle, 0, std::string(100'000, 'x')));
    a().faults->set_plan({.error = 1, .error_code = ENOSPC});
    EXPECT_ERRNO(a().vfs->fsync(opened.handle, false), ENOSPC);
    EXPECT_ERRNO(a().vfs->fsync(opened.handle, false), ENOSPC);  // it cannot lie the second time
    EXPECT_EQ(must(a().read(opened.handle, 0, 1)), "x");         // and the bytes are here still
    a().faults->set_plan({});
    EXPECT_OK(a().vfs->fsync(opened.handle, false));
    EXPECT_OK(a().close(opened.handle));
    EXPECT_EQ(must(b().read_file("/f")), std::string(100'000, 'x'));
}

TEST_F(Errors, OfTheStoreReachClose) {
    auto opened = must(a().create("/f"));
    ASSERT_OK(a().write(opened.handle, 0, "x"));
    a().faults->set_plan({.error = 1, .error_code = ENOSPC});
    EXPECT_ERRNO(a().vfs->flush(opened.handle, 0), ENOSPC);
    a().faults->set_plan({});
    EXPECT_OK(a().close(opened.handle));
}

// Who appends lets go for another mount each `commit`.
class SeveralWriters : public TwoMounts {
protected:
    SeveralWriters() : TwoMounts(10 * kNsPerMs) {}
};

TEST_F(SeveralWriters, OfDifferentPartsLoseNothing) {
    ASSERT_OK(a().write_file("/f", std::string(20'000, '.')));
    auto first = must(a().open("/f")), second = must(b().open("/f"));
    ASSERT_OK(a().write(first.handle, 0, std::string(5'000, 'a')));
    ASSERT_OK(b().write(second.handle, 10'000, std::string(5'000, 'b')));
    ASSERT_OK(a().close(first.handle));
    ASSERT_OK(b().close(second.handle));
    EXPECT_EQ(must(a().read_file("/f")), std::string(5'000, 'a') + std::string(5'000, '.') + std::string(5'000, 'b') +
                                             std::string(5'000, '.'));
}

TEST_F(SeveralWriters, AppendOneAfterTheOther) {
    if (!has_locks()) GTEST_SKIP() << "locks across mounts are not there yet";
    ASSERT_OK(a().write_file("/log", ""));
    auto first = must(a().open("/log", O_WRONLY | O_APPEND)), second = must(b().open("/log", O_WRONLY | O_APPEND));
    for (int i = 0; i < 10; ++i) {
        ASSERT_OK(a().write(first.handle, 0, "a" + std::to_string(i)));
        ASSERT_OK(b().write(second.handle, 0, "b" + std::to_string(i)));
    }
    ASSERT_OK(a().close(first.handle));
    ASSERT_OK(b().close(second.handle));
    std::string log = must(b().read_file("/log"));
    EXPECT_EQ(log.size(), 40u);
    for (int i = 0; i < 10; ++i)
        for (std::string who : {"a", "b"}) EXPECT_NE(log.find(who + std::to_string(i)), log.npos) << log;
}

class Locks : public TwoMounts {
protected:
    Status set(Mount& mount, uint64_t handle, int type, uint64_t first, uint64_t last, bool flock = false) {
        Vfs::LockRequest request{.handle = handle, .owner = 1, .type = type, .first = first, .last = last, .pid = 1,
                                 .flock = flock};
        auto answer = std::make_shared<Status>(fail(EINPROGRESS));  // it may come after this returned
        mount.vfs->setlk(mount.ino("/f"), request, [answer](Status done) { *answer = done; });
        return *answer;
    }
};

TEST_F(Locks, ExcludeOnAllMounts) {
    if (!has_locks()) GTEST_SKIP() << "locks across mounts are not there yet";
    ASSERT_OK(a().write_file("/f", "x"));
    auto here = must(a().open("/f")), there = must(b().open("/f"));
    ASSERT_OK(set(a(), here.handle, F_WRLCK, 0, 9));
    EXPECT_ERRNO(set(b(), there.handle, F_RDLCK, 9, 20), EAGAIN);
    EXPECT_OK(set(b(), there.handle, F_WRLCK, 10, 20));
    ASSERT_OK(a().close(here.handle, 1));  // and end with the close of their owner
    EXPECT_OK(set(b(), there.handle, F_RDLCK, 9, 20));
    EXPECT_OK(b().close(there.handle, 1));
}

TEST_F(Locks, OfFlockAndFcntlAreApart) {
    if (!has_locks()) GTEST_SKIP() << "locks across mounts are not there yet";
    ASSERT_OK(a().write_file("/f", "x"));
    auto here = must(a().open("/f")), there = must(b().open("/f"));
    ASSERT_OK(set(a(), here.handle, F_WRLCK, 0, UINT64_MAX, true));
    EXPECT_ERRNO(set(b(), there.handle, F_WRLCK, 0, UINT64_MAX, true), EAGAIN);
    EXPECT_OK(set(b(), there.handle, F_WRLCK, 0, UINT64_MAX, false));
    a().vfs->release(here.handle, true);
    EXPECT_OK(set(b(), there.handle, F_WRLCK, 0, UINT64_MAX, true));
    b().vfs->release(there.handle, true);
}

TEST_F(Locks, OfFlockGoWithTheirOwnHandle) {
    if (!has_locks()) GTEST_SKIP() << "locks across mounts are not there yet";
    ASSERT_OK(a().write_file("/f", "x"));
    // The kernel names both by the same address: the first is closed, and released after the second was
    // opened.
    auto first = must(a().open("/f")), second = must(a().open("/f")), there = must(b().open("/f"));
    ASSERT_OK(set(a(), first.handle, F_WRLCK, 0, UINT64_MAX, true));
    EXPECT_ERRNO(set(a(), second.handle, F_WRLCK, 0, UINT64_MAX, true), EAGAIN);
    a().vfs->begin_release(first.handle);
    std::thread releases([&] {
        Clock::system().sleep_ns(20 * kNsPerMs);
        a().vfs->release(first.handle, true);
    });
    EXPECT_OK(set(a(), second.handle, F_WRLCK, 0, UINT64_MAX, true));  // to its program the first is gone
    releases.join();
    EXPECT_ERRNO(set(b(), there.handle, F_WRLCK, 0, UINT64_MAX, true), EAGAIN);
    a().vfs->release(second.handle, true);
    EXPECT_OK(set(b(), there.handle, F_WRLCK, 0, UINT64_MAX, true));
    b().vfs->release(there.handle, true);
}

TEST_F(Locks, OfFcntlStayWithTheProcessThatHasThemAnew) {
    if (!has_locks()) GTEST_SKIP() << "locks across mounts are not there yet";
    ASSERT_OK(a().write_file("/f", "x"));
    auto first = must(a().open("/f")), second = must(a().open("/f")), there = must(b().open("/f"));
    ASSERT_OK(set(a(), first.handle, F_WRLCK, 0, 9));
    ASSERT_OK(a().vfs->flush(first.handle, 1));  // close(2) waits for that, and not for the release
    ASSERT_OK(set(a(), second.handle, F_WRLCK, 0, 9));
    a().vfs->begin_release(first.handle);
    a().vfs->release(first.handle, false);
    EXPECT_ERRNO(set(b(), there.handle, F_WRLCK, 0, 9), EAGAIN);
    ASSERT_OK(a().close(second.handle, 1));
    EXPECT_OK(set(b(), there.handle, F_WRLCK, 0, 9));
    EXPECT_OK(b().close(there.handle, 1));
}

TEST_F(Locks, OfAnOpenFileEndBeforeTheNextOneWithItsAddress) {
    if (!has_locks()) GTEST_SKIP() << "locks across mounts are not there yet";
    ASSERT_OK(a().write_file("/f", "x"));
    auto first = must(a().open("/f")), second = must(a().open("/f")), there = must(b().open("/f"));
    ASSERT_OK(set(a(), first.handle, F_WRLCK, 0, 9));  // as F_OFD_SETLK comes: no close(2) ends it
    a().vfs->begin_release(first.handle);
    std::thread releases([&] {
        Clock::system().sleep_ns(20 * kNsPerMs);
        a().vfs->release(first.handle, false);
    });
    EXPECT_OK(set(a(), second.handle, F_WRLCK, 0, 9));
    releases.join();
    EXPECT_ERRNO(set(b(), there.handle, F_WRLCK, 0, 9), EAGAIN);
    EXPECT_OK(a().close(second.handle, 1));
    EXPECT_OK(b().close(there.handle, 1));
}

TEST_F(Locks, AreAnsweredAfterTheKernelForgotOlderBytes) {
    if (!has_locks()) GTEST_SKIP() << "locks across mounts are not there yet";
    ASSERT_OK(a().write_file("/f", "old"));
    auto here = must(a().open("/f")), there = must(b().open("/f"));
    std::vector<std::function<void()>> told;
    a().vfs->set_invalidator({.inode = [&](Ino, std::function<void()> then) { told.push_back(std::move(then)); }});
    ASSERT_OK(set(b(), there.handle, F_WRLCK, 0, 9));
    ASSERT_OK(b().write(there.handle, 0, "new"));
    ASSERT_OK(set(b(), there.handle, F_UNLCK, 0, 9));
    // A look that is not a lock's takes them over, and the kernel has not heard of it when the lock comes.
    EXPECT_EQ(must(a().read_file("/f")), "new");
    EXPECT_ERRNO(set(a(), here.handle, F_WRLCK, 0, 9), EINPROGRESS);
    for (auto& then : told)
        if (then) then();
    EXPECT_OK(set(a(), here.handle, F_WRLCK, 0, 9));
    a().vfs->set_invalidator({});
    EXPECT_OK(a().close(here.handle, 1));
    EXPECT_OK(b().close(there.handle, 1));
}

}  // namespace
}  // namespace meshfs::test
