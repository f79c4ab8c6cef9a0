#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/xattr.h>

#include "fs/vfs/acl.h"
#include "fs/vfs/directory_atimes.h"
#include "test/fixtures.h"

namespace meshfs::test {
namespace {

class AttributesTest : public VfsTest {
protected:
    Ino file(const std::string& name, uint32_t mode = 0644) {
        must(m().write_file("/" + name, "0123456789"));
        SetAttributes set;
        set.mode = mode;
        return must(vfs().setattr(m().root, m().ino("/" + name), set)).inode.ino;
    }
    Inode get(Ino ino) { return must(vfs().getattr(m().root, ino, 0)).inode; }
};

TEST_F(AttributesTest, ChmodSetsTheTwelveBits) {
    Ino ino = file("f");
    SetAttributes set;
    set.mode = 06751;
    EXPECT_EQ(must(vfs().setattr(m().root, ino, set)).inode.mode, S_IFREG | 06751u);
}

TEST_F(AttributesTest, ChownTakesPrivilegesAway) {
    Ino ino = file("f", 06755);
    ASSERT_OK(vfs().setxattr(m().root, ino, "security.capability", "cap", 0, false));
    SetAttributes set;
    set.uid = 9;
    EXPECT_EQ(must(vfs().setattr(m().root, ino, set)).inode.mode, S_IFREG | 0755u);
    EXPECT_ERRNO(vfs().getxattr(m().root, ino, "security.capability"), ENODATA);
    Ino lock = file("lock", 02644);  // setgid without execute is no privilege
    EXPECT_EQ(must(vfs().setattr(m().root, lock, set)).inode.mode, S_IFREG | 02644u);
}

TEST_F(AttributesTest, TruncatingWorksBothWays) {
    Ino ino = file("f");
    SetAttributes set;
    set.size = 4;
    EXPECT_EQ(must(vfs().setattr(m().root, ino, set)).inode.map.size, 4u);
    EXPECT_EQ(must(m().read_file("/f")), "0123");
    set.size = 8;
    ASSERT_OK(vfs().setattr(m().root, ino, set));
    EXPECT_EQ(must(m().read_file("/f")), std::string("0123\0\0\0\0", 8));
    set.size = uint64_t{1} << 63;
    EXPECT_ERRNO(vfs().setattr(m().root, ino, set), EFBIG);
    EXPECT_ERRNO(vfs().setattr(m().root, kRootIno, set), EFBIG);
    set.size = 0;
    EXPECT_ERRNO(vfs().setattr(m().root, kRootIno, set), EISDIR);
    auto readable = must(m().open("/f", O_RDONLY));
    set.handle = readable.handle;
    EXPECT_ERRNO(vfs().setattr(m().root, ino, set), EINVAL);
    ASSERT_OK(m().close(readable.handle));
}

// Shown at once, and written later.
TEST_F(AttributesTest, ListingADirectoryIsSeenInItsAtime) {
    for (Ino directory : {kRootIno, must(vfs().mkdir(m().root, kRootIno, "d", 0755)).inode.ino}) {
        SetAttributes set;
        set.atime = Time{1, 0};
        must(vfs().setattr(m().root, directory, set));
        uint64_t handle = must(vfs().opendir(m().root, directory));
        must(vfs().readdir(handle, 0, 10, false));
        vfs().releasedir(handle);
        EXPECT_GT(get(directory).atime.seconds, 1);
        set.atime = Time{2, 0};
        must(vfs().setattr(m().root, directory, set));
        EXPECT_EQ(get(directory).atime, *set.atime);
    }
}

TEST(DirectoryAtimesTest, AreGivenOutAfterAWhileOrAtTheEnd) {
    DirectoryAtimes atimes;
    atimes.note(Ino{1}, {5, 0}, 100);
    atimes.note(Ino{2}, {6, 0}, 200);
    atimes.note(Ino{1}, {7, 0}, 300);
    EXPECT_EQ(atimes.of(Ino{1}), (Time{7, 0}));
    EXPECT_TRUE(atimes.take_due(99 + DirectoryAtimes::kAfterNs).empty());
    atimes.forget(Ino{2});
    EXPECT_EQ(atimes.take_due(100 + DirectoryAtimes::kAfterNs), (DirectoryAtimes::Noted{{Ino{1}, {7, 0}}}));
    atimes.written(Ino{1}, {5, 0});
    EXPECT_EQ(atimes.of(Ino{1}), (Time{7, 0}));
    atimes.written(Ino{1}, {7, 0});
    EXPECT_FALSE(atimes.of(Ino{1}));
    atimes.note(Ino{3}, {8, 0}, 400);
    EXPECT_EQ(atimes.take_last().size(), 1u);
}

TEST(DirectoryAtimesTest, AreGivenOutOnceThoseBeforeArePutAway) {
    DirectoryAtimes atimes;
    atimes.note(Ino{1}, {5, 0}, 100);
    const int64_t then = 100 + DirectoryAtimes::kAfterNs, later = then + DirectoryAtimes::kAfterNs;
    EXPECT_EQ(atimes.take_due(then).size(), 1u);
    EXPECT_TRUE(atimes.take_due(later).empty());
    atimes.put_away();
    EXPECT_EQ(atimes.take_due(later).size(), 1u);
}

TEST_F(AttributesTest, AnAtimeThatCannotBeWrittenIsTheLastThatIsTriedAtTheEnd) {
    constexpr uint64_t kMany = 50;
    Mount other(cluster_, {}, {.hold = false});
    for (uint64_t i = 0; i < kMany; ++i) {
        const std::string path = "/d" + std::to_string(i);
        must(other.mkdir(path));
        (void)other.names(path);
    }
    other.faults->set_plan({.error = 1});
    EXPECT_OK(other.vfs->stop());
    EXPECT_LT(other.faults->faults(), kMany / 2);
    other.faults->set_plan({});
}

TEST_F(AttributesTest, TimesAreKeptToTheNanosecond) {
    Ino ino = file("f");
    SetAttributes set;
    set.atime = Time{-5, 999'999'999};
    set.mtime = Time{4'000'000'000, 1};
    auto changed = must(vfs().setattr(m().root, ino, set)).inode;
    EXPECT_EQ(changed.atime, *set.atime);
    EXPECT_EQ(changed.mtime, *set.mtime);
    EXPECT_GT(changed.ctime.seconds, 1'000'000'000);
    EXPECT_EQ(get(ino).mtime, *set.mtime);
    set.atime = Time{0, 1'000'000'000};
    EXPECT_ERRNO(vfs().setattr(m().root, ino, set), EINVAL);
}

TEST_F(AttributesTest, TimesSetAfterAWriteStayAlthoughItIsPublishedLater) {
    auto opened = must(m().create("/f"));
    ASSERT_OK(m().write(opened.handle, 0, "x"));
    SetAttributes set;
    set.mtime = Time{1'000, 7};
    ASSERT_OK(vfs().setattr(m().root, m().ino("/f"), set));
    EXPECT_EQ(m().stat("/f")->inode.mtime, *set.mtime);
    ASSERT_OK(vfs().fsync(opened.handle, false));
    EXPECT_EQ(m().stat("/f")->inode.mtime, *set.mtime);
    ASSERT_OK(m().write(opened.handle, 0, "y"));
    EXPECT_GT(m().stat("/f")->inode.mtime, *set.mtime);
    ASSERT_OK(m().close(opened.handle));
    EXPECT_GT(m().stat("/f")->inode.mtime, *set.mtime);
}

TEST_F(AttributesTest, OnlyTheOwnerMayChangeWhatIsHis) {
    Ino ino = file("f", 0666);
    SetAttributes chmod, chown, now, then;
    chmod.mode = 0777;
    chown.uid = 7;
    now.mtime_now = now.atime_now = true;
    then.mtime = Time{1, 1};
    Caller stranger = user(7, 7);
    EXPECT_ERRNO(vfs().setattr(stranger, ino, chmod), EPERM);
    EXPECT_ERRNO(vfs().setattr(stranger, ino, chown), EPERM);
    EXPECT_ERRNO(vfs().setattr(stranger, ino, then), EPERM);
    EXPECT_OK(vfs().setattr(stranger, ino, now));  // may write, so may touch
    EXPECT_ERRNO(vfs().access(stranger, ino, X_OK), EACCES);
    EXPECT_OK(vfs().access(stranger, ino, R_OK | W_OK));
}

TEST_F(AttributesTest, WritingTakesPrivilegesAway) {
    Ino ino = file("f", 06777);
    auto opened = must(vfs().open(m().root, ino, O_RDWR));
    ASSERT_OK(m().write(opened.handle, 0, "x", false));
    EXPECT_EQ(get(ino).mode, S_IFREG | 06777u);  // the kernel says when
    ASSERT_OK(m().write(opened.handle, 0, "x", true));
    EXPECT_EQ(get(ino).mode, S_IFREG | 0777u);
    ASSERT_OK(m().close(opened.handle));
}

TEST_F(AttributesTest, XattrsComeGoAndHaveLimits) {
    Ino ino = file("f");
    auto set = [&](std::string_view name, std::string_view value, int flags = 0) {
        return vfs().setxattr(m().root, ino, name, value, flags, false);
    };
    ASSERT_OK(set("user.a", "1"));
    ASSERT_OK(set("user.empty", ""));
    ASSERT_OK(set("trusted.t", "2"));
    EXPECT_EQ(must(vfs().getxattr(m().root, ino, "user.a")), "1");
    EXPECT_EQ(must(vfs().getxattr(m().root, ino, "user.empty")), "");
    EXPECT_ERRNO(set("user.a", "3", XATTR_CREATE), EEXIST);
    EXPECT_ERRNO(set("user.b", "3", XATTR_REPLACE), ENODATA);
    EXPECT_ERRNO(set("user.", "x"), EINVAL);
    EXPECT_ERRNO(set("nonsense", "x"), EOPNOTSUPP);
    EXPECT_ERRNO(set("user." + std::string(251, 'n'), "x"), ERANGE);
    EXPECT_ERRNO(set("user.big", std::string(65537, 'v')), E2BIG);
    EXPECT_ERRNO(set("user.big", std::string(65536, 'v')), ENOSPC);
    EXPECT_EQ(must(vfs().listxattr(m().root, ino)),
              (std::vector<std::string>{"trusted.t", "user.a", "user.empty"}));
    EXPECT_EQ(must(vfs().listxattr(user(7, 7), ino)), (std::vector<std::string>{"user.a", "user.empty"}));
    ASSERT_OK(vfs().removexattr(m().root, ino, "user.a"));
    EXPECT_ERRNO(vfs().removexattr(m().root, ino, "user.a"), ENODATA);
    EXPECT_ERRNO(vfs().getxattr(m().root, ino, "user.a"), ENODATA);
    auto link = must(vfs().symlink(m().root, "x", kRootIno, "l"));
    EXPECT_ERRNO(vfs().setxattr(m().root, link.inode.ino, "user.a", "1", 0, false), EPERM);
}

TEST_F(AttributesTest, AnAccessAclAndTheModeAgree) {
    Ino ino = file("f", 0640);
    Acl acl{{AclEntry::user_obj, 6, UINT32_MAX}, {AclEntry::user, 4, 7},
            {AclEntry::group_obj, 4, UINT32_MAX}, {AclEntry::mask, 6, UINT32_MAX},
            {AclEntry::other, 0, UINT32_MAX}};
    ASSERT_OK(vfs().setxattr(m().root, ino, kAccessAcl, acl_bytes(acl), 0, false));
    EXPECT_EQ(get(ino).mode, S_IFREG | 0660u);
    EXPECT_OK(vfs().access(user(7, 7), ino, R_OK));
    EXPECT_ERRNO(vfs().access(user(7, 7), ino, W_OK), EACCES);
    EXPECT_ERRNO(vfs().access(user(8, 8), ino, R_OK), EACCES);

    SetAttributes chmod;
    chmod.mode = 0600;
    ASSERT_OK(vfs().setattr(m().root, ino, chmod));
    EXPECT_ERRNO(vfs().access(user(7, 7), ino, R_OK), EACCES);  // the mask
    auto after = parse_acl(must(vfs().getxattr(m().root, ino, kAccessAcl)));
    ASSERT_OK(after);
    EXPECT_EQ(mode_of(*after), 0600u);
    ASSERT_OK(vfs().removexattr(m().root, ino, kAccessAcl));
    EXPECT_ERRNO(vfs().getxattr(m().root, ino, kAccessAcl), ENODATA);
    EXPECT_ERRNO(vfs().setxattr(m().root, ino, kAccessAcl, "rubbish!", 0, false), EOPNOTSUPP);
    EXPECT_ERRNO(vfs().setxattr(m().root, ino, kDefaultAcl, acl_bytes(acl), 0, false), EACCES);
}

TEST_F(AttributesTest, ADefaultAclIsInherited) {
    ASSERT_OK(m().mkdir("/d"));
    Acl acl{{AclEntry::user_obj, 7, UINT32_MAX}, {AclEntry::user, 7, 7},
            {AclEntry::group_obj, 5, UINT32_MAX}, {AclEntry::mask, 7, UINT32_MAX},
            {AclEntry::other, 0, UINT32_MAX}};
    ASSERT_OK(vfs().setxattr(m().root, m().ino("/d"), kDefaultAcl, acl_bytes(acl), 0, false));
    Caller caller;
    caller.umask = 077;
    auto file = must(vfs().mknod(caller, m().ino("/d"), "f", S_IFREG | 0664, 0));
    EXPECT_EQ(file.inode.mode, S_IFREG | 0660u);
    EXPECT_OK(vfs().access(user(7, 7), file.inode.ino, R_OK | W_OK));
    auto inner = must(vfs().mkdir(caller, m().ino("/d"), "inner", 0777));
    EXPECT_EQ(must(vfs().getxattr(m().root, inner.inode.ino, kDefaultAcl)), acl_bytes(acl));
}

TEST_F(AttributesTest, AnImmutableFileStays) {
    Ino ino = file("f");
    ASSERT_OK(vfs().set_flags(m().root, ino, FS_IMMUTABLE_FL | FS_NODUMP_FL));
    EXPECT_EQ(must(vfs().get_flags(ino)), static_cast<uint32_t>(FS_IMMUTABLE_FL | FS_NODUMP_FL));
    SetAttributes set;
    set.mode = 0;
    EXPECT_ERRNO(vfs().setattr(m().root, ino, set), EPERM);
    EXPECT_ERRNO(vfs().open(m().root, ino, O_RDWR), EPERM);
    EXPECT_ERRNO(m().unlink("/f"), EPERM);
    EXPECT_ERRNO(m().rename("/f", "/g"), EPERM);
    EXPECT_ERRNO(vfs().link(m().root, ino, kRootIno, "g"), EPERM);
    EXPECT_ERRNO(vfs().set_flags(user(7, 7), ino, 0), EPERM);
    ASSERT_OK(vfs().set_flags(m().root, ino, 0));
    EXPECT_OK(m().unlink("/f"));
}

TEST_F(AttributesTest, AnAppendOnlyFileGrows) {
    Ino ino = file("f");
    ASSERT_OK(vfs().set_flags(m().root, ino, FS_APPEND_FL));
    EXPECT_ERRNO(vfs().open(m().root, ino, O_RDWR), EPERM);
    EXPECT_ERRNO(vfs().open(m().root, ino, O_WRONLY | O_APPEND | O_TRUNC), EPERM);
    auto opened = vfs().open(m().root, ino, O_WRONLY | O_APPEND);
    ASSERT_OK(opened);
    EXPECT_OK(m().write(opened->handle, 0, "!"));
    SetAttributes cut;
    cut.handle = opened->handle;
    cut.size = 0;
    EXPECT_ERRNO(vfs().setattr(m().root, ino, cut), EPERM);
    EXPECT_ERRNO(vfs().fallocate(opened->handle, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, {0, 5}, false), EPERM);
    EXPECT_ERRNO(vfs().fallocate(opened->handle, FALLOC_FL_ZERO_RANGE, {0, 5}, false), EPERM);
    EXPECT_OK(m().write(opened->handle, 0, "!"));
    ASSERT_OK(m().close(opened->handle));
    EXPECT_EQ(must(m().read_file("/f")), "0123456789!!");
    EXPECT_ERRNO(vfs().set_flags(m().root, ino, FS_COMPR_FL), EOPNOTSUPP);
    must(vfs().meta().change(ino, [](InodeChange& change) -> Status { return change.inode.flags |= kHadLocks, Status(); }));
    ASSERT_OK(vfs().set_flags(m().root, ino, FS_NODUMP_FL));
    EXPECT_EQ(must(vfs().get_flags(ino)), static_cast<uint32_t>(FS_NODUMP_FL));
    EXPECT_EQ(must(vfs().meta().get(ino)).flags, kHadLocks | kNoDump);
    ASSERT_OK(vfs().set_flags(m().root, ino, 0));
}

TEST_F(AttributesTest, StatfsCountsBlocksOf4096) {
    auto s = must(vfs().statfs());
    EXPECT_EQ(s.f_bsize, 4096u);
    EXPECT_EQ(s.f_frsize, 4096u);
    EXPECT_EQ(s.f_namemax, 255u);
    EXPECT_GT(s.f_blocks, 0u);
    EXPECT_GE(s.f_blocks, s.f_bfree);
}

class ReadOnly : public VfsTest {};
TEST_F(ReadOnly, RefusesEveryChange) {
    ASSERT_OK(m().write_file("/f", "kept"));
    VfsSettings settings;
    settings.read_only = true;
    Mount ro(cluster_, settings);
    EXPECT_EQ(must(ro.read_file("/f")), "kept");
    EXPECT_ERRNO(ro.mkdir("/d"), EROFS);
    EXPECT_ERRNO(ro.unlink("/f"), EROFS);
    EXPECT_ERRNO(ro.rename("/f", "/g"), EROFS);
    EXPECT_ERRNO(ro.open("/f", O_RDWR), EROFS);
    EXPECT_ERRNO(ro.vfs->setattr(ro.root, ro.ino("/f"), {}), EROFS);
    EXPECT_ERRNO(ro.vfs->setxattr(ro.root, ro.ino("/f"), "user.a", "1", 0, false), EROFS);
    EXPECT_ERRNO(ro.vfs->access(ro.root, ro.ino("/f"), W_OK), EROFS);
}

}  // namespace
}  // namespace meshfs::test
