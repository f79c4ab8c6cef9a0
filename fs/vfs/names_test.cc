#include <sys/sysmacros.h>

#include "test/fixtures.h"

namespace meshfs::test {
namespace {

class Names : public VfsTest {};

TEST_F(Names, WhatIsMadeIsFound) {
    ASSERT_OK(m().mkdir("/d"));
    ASSERT_OK(m().write_file("/d/f", "hello"));
    auto f = m().stat("/d/f");
    ASSERT_OK(f);
    EXPECT_TRUE(f->inode.is_file());
    EXPECT_EQ(f->inode.map.size, 5u);
    EXPECT_EQ(f->inode.links, 1u);
    EXPECT_EQ(m().stat("/d")->inode.links, 2u);
    EXPECT_ERRNO(m().stat("/d/g"), ENOENT);
    EXPECT_ERRNO(m().stat("/d/f/x"), ENOTDIR);
    EXPECT_EQ(vfs().path_of(f->inode.ino), "/d/f");
}

TEST_F(Names, NamesHaveLimits) {
    std::string longest(255, 'n');
    ASSERT_OK(m().mkdir("/" + longest));
    EXPECT_ERRNO(vfs().mkdir(m().root, kRootIno, longest + "n", 0755), ENAMETOOLONG);
    EXPECT_ERRNO(vfs().lookup(m().root, kRootIno, longest + "n"), ENAMETOOLONG);
    EXPECT_ERRNO(vfs().mkdir(m().root, kRootIno, "a/b", 0755), EINVAL);
    EXPECT_ERRNO(vfs().mkdir(m().root, kRootIno, ".", 0755), EEXIST);
    EXPECT_ERRNO(vfs().mkdir(m().root, kRootIno, longest, 0755), EEXIST);
    ASSERT_OK(vfs().mkdir(m().root, kRootIno, "\xff\x01 \n", 0755));  // names are bytes
}

TEST_F(Names, UmaskAndSetgidDirectoryShapeTheChild) {
    Caller caller;
    caller.uid = 5;
    caller.gid = 6;
    caller.umask = 027;
    auto d = must(vfs().mkdir(caller, kRootIno, "d", 0777));
    EXPECT_EQ(d.inode.mode, S_IFDIR | 0750u);
    EXPECT_EQ(d.inode.uid, 5u);
    EXPECT_EQ(d.inode.gid, 6u);

    SetAttributes set;
    set.mode = 02777;
    set.gid = 99;
    ASSERT_OK(vfs().setattr(m().root, d.inode.ino, set));
    auto inner = must(vfs().mkdir(caller, d.inode.ino, "inner", 0777));
    EXPECT_EQ(inner.inode.mode, S_IFDIR | 02750u);
    EXPECT_EQ(inner.inode.gid, 99u);
    auto file = must(vfs().mknod(caller, d.inode.ino, "file", S_IFREG | 0666, 0));
    EXPECT_EQ(file.inode.mode, S_IFREG | 0640u);
    EXPECT_EQ(file.inode.gid, 99u);
}

TEST_F(Names, SymlinksHoldTheirTarget) {
    auto link = must(vfs().symlink(m().root, "some/where", kRootIno, "l"));
    EXPECT_EQ(link.inode.mode, S_IFLNK | 0777u);
    EXPECT_EQ(link.inode.map.size, 10u);
    EXPECT_EQ(must(vfs().readlink(m().root, link.inode.ino)), "some/where");
    EXPECT_ERRNO(vfs().symlink(m().root, "", kRootIno, "e"), ENOENT);
    EXPECT_ERRNO(vfs().symlink(m().root, std::string(4096, 'x'), kRootIno, "e"), ENAMETOOLONG);
    EXPECT_ERRNO(vfs().open(m().root, link.inode.ino, O_RDONLY), ELOOP);
}

TEST_F(Names, ResolveFollowsSymlinksOnTheWay) {
    ASSERT_OK(m().mkdir("/a"));
    ASSERT_OK(m().mkdir("/a/b"));
    ASSERT_OK(m().write_file("/a/b/f", "x"));
    ASSERT_OK(vfs().symlink(m().root, "a/b", kRootIno, "relative"));
    ASSERT_OK(vfs().symlink(m().root, "/a", m().ino("/a/b"), "absolute"));
    ASSERT_OK(vfs().symlink(m().root, "loop", kRootIno, "loop"));
    EXPECT_OK(m().stat("/relative/f"));
    EXPECT_OK(m().stat("/a/b/absolute/b/f"));
    EXPECT_TRUE(m().stat("/relative")->inode.is_symlink());
    EXPECT_ERRNO(m().stat("/loop/x"), ELOOP);
}

TEST_F(Names, LinksShareTheInode) {
    ASSERT_OK(m().write_file("/f", "shared"));
    ASSERT_OK(m().mkdir("/d"));
    Ino ino = m().ino("/f");
    auto linked = vfs().link(m().root, ino, m().ino("/d"), "g");
    ASSERT_OK(linked);
    EXPECT_EQ(linked->inode.links, 2u);
    EXPECT_EQ(m().ino("/d/g"), ino);
    ASSERT_OK(m().unlink("/f"));
    EXPECT_EQ(m().stat("/d/g")->inode.links, 1u);
    EXPECT_EQ(must(m().read_file("/d/g")), "shared");
    EXPECT_ERRNO(vfs().link(m().root, m().ino("/d"), kRootIno, "e"), EPERM);
    EXPECT_ERRNO(vfs().link(m().root, ino, m().ino("/d"), "g"), EEXIST);
}

TEST_F(Names, UnlinkAndRmdirKnowTheirKind) {
    ASSERT_OK(m().mkdir("/d"));
    ASSERT_OK(m().write_file("/d/f", ""));
    EXPECT_ERRNO(m().unlink("/d"), EISDIR);
    EXPECT_ERRNO(m().rmdir("/d/f"), ENOTDIR);
    EXPECT_ERRNO(m().rmdir("/d"), ENOTEMPTY);
    EXPECT_ERRNO(m().unlink("/d/g"), ENOENT);
    ASSERT_OK(m().unlink("/d/f"));
    ASSERT_OK(m().rmdir("/d"));
    EXPECT_ERRNO(m().rmdir("/d"), ENOENT);
    EXPECT_ERRNO(vfs().rmdir(m().root, kRootIno, "."), EINVAL);
    EXPECT_ERRNO(vfs().rmdir(m().root, kRootIno, ".."), ENOTEMPTY);
}

TEST_F(Names, RenameReplacesOnlyItsLike) {
    ASSERT_OK(m().write_file("/a", "A"));
    ASSERT_OK(m().write_file("/b", "B"));
    ASSERT_OK(m().mkdir("/d"));
    ASSERT_OK(m().mkdir("/full"));
    ASSERT_OK(m().write_file("/full/x", ""));
    EXPECT_ERRNO(m().rename("/a", "/d"), EISDIR);
    EXPECT_ERRNO(m().rename("/d", "/a"), ENOTDIR);
    EXPECT_ERRNO(m().rename("/d", "/full"), ENOTEMPTY);
    EXPECT_ERRNO(m().rename("/full", "/full/inside"), EINVAL);
    ASSERT_OK(m().rename("/a", "/b"));
    EXPECT_EQ(must(m().read_file("/b")), "A");
    EXPECT_ERRNO(m().stat("/a"), ENOENT);
    ASSERT_OK(m().rename("/full", "/d"));
    EXPECT_OK(m().stat("/d/x"));
    EXPECT_ERRNO(m().rename("/b", "/d/x", RENAME_NOREPLACE), EEXIST);
    ASSERT_OK(m().rename("/b", "/d/x", RENAME_EXCHANGE));
    EXPECT_EQ(must(m().read_file("/d/x")), "A");
    EXPECT_EQ(must(m().read_file("/b")), "");
    EXPECT_ERRNO(m().rename("/b", "/c", RENAME_NOREPLACE | RENAME_EXCHANGE), EINVAL);
    EXPECT_ERRNO(m().rename("/b", "/c", RENAME_WHITEOUT), EINVAL);
}

TEST_F(Names, ANamelessFileGetsAName) {
    auto opened = must(vfs().tmpfile(m().root, kRootIno, 0600, O_RDWR));
    EXPECT_EQ(opened.attributes.inode.links, 0u);
    ASSERT_OK(m().write(opened.handle, 0, "now you see me"));
    EXPECT_EQ(m().names("/"), (std::vector<std::string>{".", ".."}));
    PublishCondition absent{PublishCondition::Kind::absent, 0};
    auto named = vfs().publish(m().root, opened.handle, kRootIno, "n", absent);
    ASSERT_OK(named);
    EXPECT_EQ(must(m().read_file("/n")), "now you see me");
    ASSERT_OK(m().close(opened.handle));

    auto other = must(vfs().tmpfile(m().root, kRootIno, 0600, O_RDWR));
    EXPECT_ERRNO(vfs().publish(m().root, other.handle, kRootIno, "n", absent), EEXIST);
    uint64_t generation = m().stat("/n")->inode.content_version;
    EXPECT_ERRNO(vfs().publish(m().root, other.handle, kRootIno, "n",
                               {PublishCondition::Kind::generation, generation + 1}), ECANCELED);
    ASSERT_OK(vfs().publish(m().root, other.handle, kRootIno, "n",
                            {PublishCondition::Kind::generation, generation}));
    EXPECT_EQ(must(m().read_file("/n")), "");
    ASSERT_OK(m().close(other.handle));
}

TEST_F(Names, DevicesAndFifosAreOnlyNames) {
    auto device = must(vfs().mknod(m().root, kRootIno, "null", S_IFCHR | 0666, makedev(1, 3)));
    EXPECT_EQ(device.inode.rdev, makedev(1, 3));
    auto fifo = must(vfs().mknod(m().root, kRootIno, "fifo", S_IFIFO | 0644, 0));
    EXPECT_TRUE(S_ISFIFO(fifo.inode.mode));
    EXPECT_ERRNO(vfs().open(m().root, fifo.inode.ino, O_RDONLY), ENXIO);
    EXPECT_ERRNO(vfs().mknod(m().root, kRootIno, "d", S_IFDIR | 0755, 0), EINVAL);
}

TEST_F(Names, ReadingADirectoryGivesEachNameOnce) {
    ASSERT_OK(m().mkdir("/d"));
    std::vector<std::string> wanted{".", ".."};
    for (int i = 100; i < 150; ++i) {
        wanted.push_back("f" + std::to_string(i));
        ASSERT_OK(m().write_file("/d/" + wanted.back(), ""));
    }
    for (size_t page : {1, 2, 3, 7, 1000}) EXPECT_EQ(m().names("/d", page), wanted) << page;
}

TEST_F(Names, ACookieOutlivesItsName) {
    ASSERT_OK(m().mkdir("/d"));
    for (int i = 0; i < 9; ++i) ASSERT_OK(m().write_file("/d/f" + std::to_string(i), ""));
    uint64_t handle = must(vfs().opendir(m().root, m().ino("/d")));
    auto first = must(vfs().readdir(handle, 0, 5, true));
    ASSERT_EQ(first.size(), 5u);
    EXPECT_TRUE(first.back().attributes.has_value());
    ASSERT_OK(m().unlink("/d/f2"));  // the last one given
    auto rest = must(vfs().readdir(handle, first.back().cookie, 100, false));
    ASSERT_EQ(rest.size(), 6u);
    EXPECT_EQ(rest.front().name, "f3");
    uint64_t another = must(vfs().opendir(m().root, m().ino("/d")));
    EXPECT_EQ(must(vfs().readdir(another, rest[2].cookie, 100, false)).front().name, "f6");
    vfs().releasedir(handle);
    vfs().releasedir(another);
}

TEST_F(Names, AnOpenDirectoryThatIsRemovedIsEmpty) {
    ASSERT_OK(m().mkdir("/d"));
    Ino ino = m().ino("/d");
    uint64_t handle = must(vfs().opendir(m().root, ino));
    ASSERT_OK(m().rmdir("/d"));
    auto entries = vfs().readdir(handle, 2, 100, false);
    if (entries) EXPECT_TRUE(entries->empty());
    else EXPECT_ERRNO(entries, ESTALE);
    EXPECT_FALSE(vfs().mkdir(m().root, ino, "late", 0755).ok());
    vfs().releasedir(handle);
}

TEST_F(Names, PermissionIsCheckedForWhoAsks) {
    Caller stranger = user(7, 7);
    EXPECT_ERRNO(vfs().mkdir(stranger, kRootIno, "d", 0755), EACCES);
    ASSERT_OK(m().mkdir("/open", 01777));
    Ino open = m().ino("/open");
    ASSERT_OK(vfs().mkdir(stranger, open, "mine", 0700));
    EXPECT_ERRNO(vfs().rmdir(user(8, 8), open, "mine"), EPERM);  // sticky
    EXPECT_ERRNO(vfs().lookup(user(8, 8), m().ino("/open/mine"), "x"), EACCES);
    EXPECT_OK(vfs().rmdir(stranger, open, "mine"));
}

}  // namespace
}  // namespace meshfs::test
