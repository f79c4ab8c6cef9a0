// NAMES, REMOVED FILES, LISTING, PERMISSIONS AND ATTRIBUTES of meshfs-semantics(7).
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <atomic>

#include "test/semantics/two_mounts.h"

namespace meshfs::test {
namespace {

class Names : public TwoMounts {};

TEST_F(Names, AreSeenOnOtherMountsAtOnce) {
    ASSERT_OK(a().mkdir("/d"));
    ASSERT_OK(a().write_file("/d/f", "x"));
    EXPECT_OK(b().stat("/d/f"));
    ASSERT_OK(b().rename("/d/f", "/d/g"));
    EXPECT_ERRNO(a().stat("/d/f"), ENOENT);
    EXPECT_OK(a().stat("/d/g"));
    ASSERT_OK(a().unlink("/d/g"));
    EXPECT_ERRNO(b().stat("/d/g"), ENOENT);
    ASSERT_OK(b().rmdir("/d"));
    EXPECT_ERRNO(a().stat("/d"), ENOENT);
}

TEST_F(Names, AreMadeOnceAmongAllMounts) {
    ASSERT_OK(a().create("/f", O_RDWR | O_CREAT | O_EXCL));
    EXPECT_ERRNO(b().create("/f", O_RDWR | O_CREAT | O_EXCL), EEXIST);
    ASSERT_OK(b().mkdir("/d"));
    EXPECT_ERRNO(a().mkdir("/d"), EEXIST);
}

TEST_F(Names, ARenameReplacesInOneStep) {
    ASSERT_OK(a().write_file("/old", "old"));
    ASSERT_OK(a().write_file("/new", "new"));
    Ino moved = a().ino("/new");
    ASSERT_OK(a().rename("/new", "/old"));
    EXPECT_EQ(b().ino("/old"), moved);
    EXPECT_EQ(must(b().read_file("/old")), "new");
    EXPECT_ERRNO(b().stat("/new"), ENOENT);
}

TEST_F(Names, ARenameCanRefuseToReplaceOrExchange) {
    ASSERT_OK(a().write_file("/x", "x"));
    ASSERT_OK(a().write_file("/y", "y"));
    EXPECT_ERRNO(b().rename("/x", "/y", RENAME_NOREPLACE), EEXIST);
    ASSERT_OK(b().rename("/x", "/y", RENAME_EXCHANGE));
    EXPECT_EQ(must(a().read_file("/x")), "y");
    EXPECT_EQ(must(a().read_file("/y")), "x");
}

TEST_F(Names, WhatAFileHadBeforeTheRenameIsStoredBeforeIt) {
    // The usual way to replace a file without a moment in which it is broken.
    auto opened = must(a().create("/config.new"));
    ASSERT_OK(a().write(opened.handle, 0, "all of it"));
    ASSERT_OK(a().rename("/config.new", "/config"));
    EXPECT_EQ(must(b().read_file("/config")), "all of it");
    ASSERT_OK(a().close(opened.handle));
}

TEST_F(Names, AreAnyBytesUpTo255) {
    std::string longest(255, '\xff');
    ASSERT_OK(a().write_file("/" + longest, "x"));
    EXPECT_OK(b().stat("/" + longest));
    EXPECT_ERRNO(a().write_file("/" + longest + "x", "x"), ENAMETOOLONG);
    ASSERT_OK(a().write_file("/A", "A"));
    EXPECT_ERRNO(b().stat("/a"), ENOENT);  // no case folding
}

TEST_F(Names, SeveralCanLeadToOneFile) {
    ASSERT_OK(a().write_file("/first", "x"));
    ASSERT_OK(a().vfs->link(a().root, a().ino("/first"), kRootIno, "second"));
    EXPECT_EQ(b().ino("/first"), b().ino("/second"));
    EXPECT_EQ(inode(b(), "/second").links, 2u);
    ASSERT_OK(b().unlink("/first"));
    EXPECT_EQ(must(a().read_file("/second")), "x");
    EXPECT_EQ(inode(a(), "/second").links, 1u);
}

class RemovedFiles : public TwoMounts {};

TEST_F(RemovedFiles, LiveUntilTheLastCloseOnTheMountThatHasThemOpen) {
    ASSERT_OK(a().write_file("/f", std::string(100'000, 'x')));
    auto opened = must(a().open("/f"));
    ASSERT_OK(a().unlink("/f"));
    EXPECT_ERRNO(b().stat("/f"), ENOENT);
    EXPECT_EQ(must(a().read(opened.handle, 99'990, 100)), std::string(10, 'x'));
    EXPECT_OK(a().write(opened.handle, 0, "still"));
    EXPECT_EQ(must(a().read(opened.handle, 0, 5)), "still");
    EXPECT_OK(a().close(opened.handle));
}

TEST_F(RemovedFiles, WithoutANameCanBeGivenOne) {
    auto opened = must(a().vfs->tmpfile(a().root, kRootIno, 0600, O_RDWR));
    ASSERT_OK(a().write(opened.handle, 0, "made in peace"));
    EXPECT_TRUE(b().names("/").size() == 2);  // . and ..
    ASSERT_OK(a().vfs->link(a().root, opened.attributes.inode.ino, kRootIno, "f"));
    ASSERT_OK(a().close(opened.handle));
    EXPECT_EQ(must(b().read_file("/f")), "made in peace");
}

class Listing : public TwoMounts {};

TEST_F(Listing, ShowsEachNameOnceWhateverHappensToOthers) {
    std::vector<std::string> stay, go;
    for (int i = 0; i < 60; ++i) {
        std::string name = "f" + std::to_string(100 + i);
        must(a().write_file("/" + name, ""));
        (i % 2 == 0 ? stay : go).push_back(name);
    }
    uint64_t handle = must(b().vfs->opendir(b().root, kRootIno));
    std::vector<std::string> seen;
    for (uint64_t cookie = 0;;) {
        auto page = must(b().vfs->readdir(handle, cookie, 7, false));
        if (page.empty()) break;
        for (const auto& entry : page) seen.push_back(entry.name);
        cookie = page.back().cookie;
        if (!go.empty()) must(a().unlink("/" + go.back())), go.pop_back();
    }
    b().vfs->releasedir(handle);
    for (const auto& name : stay) EXPECT_EQ(std::count(seen.begin(), seen.end(), name), 1) << name;
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(std::adjacent_find(seen.begin(), seen.end()), seen.end());
}

// The kernel keeps what it was promised, until it is told.
class Kept : public TwoMounts {
protected:
    Kept() : TwoMounts(3600 * kNsPerSecond, {.hold = true}) {}
};

TEST_F(Kept, AttributesAreTakenBackBeforeAnotherMountChangesThem) {
    std::atomic<int> told{0};
    a().vfs->set_invalidator({.attributes_at_once = [&](const std::vector<Ino>&) { ++told; }});
    Ino directory = must(a().mkdir("/d")).inode.ino;
    ASSERT_OK(a().write_file("/d/f", "x"));
    auto found = must(a().vfs->lookup(a().root, directory, "f"));
    EXPECT_EQ(found.name_valid_ns, 0);
    EXPECT_GT(found.valid_ns, 0);
    int before = told;
    ASSERT_OK(set_mode(b(), "/d/f", 0600));
    EXPECT_GT(told, before);
    EXPECT_EQ(must(a().vfs->lookup(a().root, directory, "f")).inode.mode & 07777, 0600u);
    a().vfs->set_invalidator({});
}

class AttributesAndRights : public TwoMounts {};

TEST_F(AttributesAndRights, AreSeenOnOtherMountsAtOnce) {
    ASSERT_OK(a().write_file("/f", "x"));
    ASSERT_OK(set_mode(a(), "/f", 0640));
    EXPECT_EQ(inode(b(), "/f").mode & 07777, 0640u);
    SetAttributes set;
    set.uid = 7;
    set.gid = 8;
    ASSERT_OK(b().vfs->setattr(b().root, b().ino("/f"), set));
    EXPECT_EQ(inode(a(), "/f").uid, 7u);
    EXPECT_EQ(inode(a(), "/f").gid, 8u);
}

TEST_F(AttributesAndRights, TimesHaveNanosecondsAndMayBeBefore1970) {
    ASSERT_OK(a().write_file("/f", "x"));
    SetAttributes set;
    set.mtime = Time{-1, 999'999'999};
    ASSERT_OK(a().vfs->setattr(a().root, a().ino("/f"), set));
    EXPECT_EQ(inode(b(), "/f").mtime, *set.mtime);
}

TEST_F(AttributesAndRights, ExtendedOnesAreSeenAtOnceAndHaveTheirConditions) {
    ASSERT_OK(a().write_file("/f", "x"));
    Ino ino = a().ino("/f");
    ASSERT_OK(a().vfs->setxattr(a().root, ino, "user.k", "v", XATTR_CREATE, false));
    EXPECT_EQ(must(b().vfs->getxattr(b().root, ino, "user.k")), "v");
    EXPECT_ERRNO(b().vfs->setxattr(b().root, ino, "user.k", "w", XATTR_CREATE, false), EEXIST);
    EXPECT_ERRNO(b().vfs->setxattr(b().root, ino, "user.other", "w", XATTR_REPLACE, false), ENODATA);
    ASSERT_OK(b().vfs->removexattr(b().root, ino, "user.k"));
    EXPECT_ERRNO(a().vfs->getxattr(a().root, ino, "user.k"), ENODATA);
    EXPECT_OK(a().vfs->setxattr(a().root, ino, "user.k", std::string(40'000, 'x'), 0, false));
    EXPECT_ERRNO(b().vfs->setxattr(b().root, ino, "user.l", std::string(40'000, 'x'), 0, false), ENOSPC);
}

TEST_F(AttributesAndRights, AChangeOfOwnerTakesSetuidAway) {
    ASSERT_OK(a().write_file("/f", "x"));
    ASSERT_OK(set_mode(a(), "/f", 06755));
    SetAttributes set;
    set.uid = 9;
    ASSERT_OK(a().vfs->setattr(a().root, a().ino("/f"), set));
    EXPECT_EQ(inode(b(), "/f").mode & 07777, 0755u);
}

}  // namespace
}  // namespace meshfs::test
