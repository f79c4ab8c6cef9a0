#include "fs/meta/ops/fixture.h"

#include <set>

namespace meshfs {
namespace {

using Names = std::vector<std::string>;

TEST_F(MetaTest, ANewVolumeHasAnEmptyRoot) {
    Inode root = must(meta().get(kRootIno));
    EXPECT_EQ(root.ino, kRootIno);
    EXPECT_EQ(root.mode, uint32_t{S_IFDIR | 0755});
    EXPECT_EQ(root.links, 2u);
    EXPECT_EQ(root.parent, kRootIno);
    EXPECT_EQ(names(), Names{});
    EXPECT_EQ(must(meta().lookup(kRootIno, "..")).ino, kRootIno);
}

TEST_F(MetaTest, WhatIsCreatedIsFoundByNameAndByNumber) {
    Inode made = must(create("a"));
    EXPECT_EQ(must(meta().lookup(kRootIno, "a")), made);
    EXPECT_EQ(must(meta().get(made.ino)), made);
    EXPECT_EQ(must(meta().name_of(made.ino)), std::pair(kRootIno, std::string("a")));
    EXPECT_ERRNO(create("a"), EEXIST);
    EXPECT_ERRNO(meta().lookup(kRootIno, "b"), ENOENT);
    EXPECT_ERRNO(meta().lookup(made.ino, "b"), ENOTDIR);
    EXPECT_ERRNO(create("b", made.ino), ENOTDIR);
}

TEST_F(MetaTest, AnotherMountSeesItAtOnce) {
    TestMount other(cluster_);
    Inode made = must(create("a"));
    EXPECT_EQ(must(other.meta->lookup(kRootIno, "a")), made);
    EXPECT_EQ(must(other.meta->get(made.ino)), made);
    EXPECT_ERRNO(other.meta->create(request(kRootIno, "a", S_IFREG)), EEXIST);
    ASSERT_OK(other.meta->unlink(kRootIno, "a"));
    EXPECT_ERRNO(meta().lookup(kRootIno, "a"), ENOENT);
}

TEST_F(MetaTest, NumbersOfTwoMountsNeverMeet) {
    TestMount other(cluster_);
    std::set<Ino> seen;
    for (int i = 0; i < 200; ++i) {
        EXPECT_TRUE(seen.insert(must(create("a" + std::to_string(i))).ino).second);
        EXPECT_TRUE(seen.insert(must(other.meta->create(request(kRootIno, "b" + std::to_string(i), S_IFREG))).ino).second);
    }
    EXPECT_EQ(must(meta().get(kRootIno)).names, 400u);
}

TEST_F(MetaTest, CostsAreAsDesigned) {
    must(create("warm"));
    uint64_t before = calls();
    Inode made = must(create("a"));
    EXPECT_EQ(calls() - before, 2u);
    before = calls();
    must(meta().lookup(kRootIno, "a"));
    EXPECT_EQ(calls() - before, 1u);
    before = calls();
    must(meta().get(made.ino));
    EXPECT_EQ(calls() - before, 1u);
    TestMount cold(cluster_);
    before = cold.metered->counts().all_calls();
    must(cold.meta->get(made.ino));
    EXPECT_LE(cold.metered->counts().all_calls() - before, 3u);  // slot, name, and what is there
}

TEST_F(MetaTest, DirectoriesHaveParentsTimesAndCounts) {
    Inode d = must(mkdir("d"));
    Inode e = must(mkdir("e", d.ino));
    must(create("f", d.ino));
    mount_->clock.advance_ns(kNsPerSecond);
    must(create("g", d.ino));
    Inode now = must(meta().lookup(kRootIno, "d"));
    EXPECT_EQ(now.links, 3u);
    EXPECT_EQ(now.names, 3u);
    EXPECT_EQ(now.mtime, mount_->clock.now());
    EXPECT_EQ(now.ctime, mount_->clock.now());
    EXPECT_EQ(must(meta().lookup(e.ino, "..")).ino, d.ino);
    EXPECT_EQ(must(meta().name_of(e.ino)), std::pair(d.ino, std::string("e")));
    EXPECT_EQ(must(meta().get(kRootIno)).links, 3u);
    EXPECT_ERRNO(mkdir("e", d.ino), EEXIST);
}

TEST_F(MetaTest, ADirectorysTimesCanBeSetBack) {
    Inode d = must(mkdir("d"));
    mount_->clock.advance_ns(kNsPerSecond);
    must(create("f", d.ino));
    must(meta().change(d.ino, [](InodeChange& c) -> Status {
        c.inode.mtime = {5, 6};
        c.inode.mode = S_IFDIR | 0700;
        return {};
    }));
    EXPECT_EQ(must(meta().get(d.ino)).mtime, (Time{5, 6}));
    EXPECT_EQ(must(meta().get(d.ino)).mode, uint32_t{S_IFDIR | 0700});
    mount_->clock.advance_ns(kNsPerSecond);
    must(create("g", d.ino));
    EXPECT_EQ(must(meta().get(d.ino)).mtime, mount_->clock.now());
    EXPECT_EQ(must(meta().get(d.ino)).names, 2u);
}

TEST_F(MetaTest, AnUnlinkedFileLivesUnderItsNumber) {
    Inode made = must(create("a"));
    Unlinked gone = must(meta().unlink(kRootIno, "a"));
    EXPECT_EQ(gone.inode.ino, made.ino);
    EXPECT_EQ(gone.inode.links, 0u);
    EXPECT_EQ(must(meta().get(made.ino)).links, 0u);
    EXPECT_ERRNO(meta().name_of(made.ino), ENOENT);
    must(meta().change(made.ino, [](InodeChange& c) -> Status {
        c.inode.map.size = 9;
        return {};
    }));
    EXPECT_EQ(must(meta().get(made.ino)).map.size, 9u);
    EXPECT_ERRNO(meta().unlink(kRootIno, "a"), ENOENT);
    EXPECT_ERRNO(meta().unlink(kRootIno, "."), EISDIR);
    must(mkdir("d"));
    EXPECT_ERRNO(meta().unlink(kRootIno, "d"), EISDIR);
    Inode again = must(create("a"));
    EXPECT_NE(again.ino, made.ino);
}

TEST_F(MetaTest, RenameKeepsTheNumber) {
    Inode a = must(create("a"));
    for (const auto& [from, to] : {std::pair("a", "b"), {"b", "c"}, {"c", "a"}, {"a", "d"}}) {
        EXPECT_EQ(must(meta().rename({kRootIno, from, kRootIno, to})).moved.ino, a.ino);
        EXPECT_ERRNO(meta().lookup(kRootIno, from), ENOENT);
        EXPECT_EQ(must(meta().lookup(kRootIno, to)).ino, a.ino);
        TestMount cold(cluster_);
        EXPECT_EQ(must(cold.meta->get(a.ino)).ino, a.ino);
        EXPECT_EQ(must(cold.meta->name_of(a.ino)).second, to);
    }
    EXPECT_EQ(names(), Names{"d"});
    EXPECT_EQ(must(meta().get(kRootIno)).names, 1u);
}

TEST_F(MetaTest, RenameReplacesAFile) {
    Inode a = must(create("a")), b = must(create("b"));
    EXPECT_ERRNO(meta().rename({kRootIno, "a", kRootIno, "b", true}), EEXIST);
    Renamed renamed = must(meta().rename({kRootIno, "a", kRootIno, "b"}));
    EXPECT_EQ(renamed.replaced->inode.ino, b.ino);
    EXPECT_EQ(must(meta().lookup(kRootIno, "b")).ino, a.ino);
    EXPECT_EQ(must(meta().get(b.ino)).links, 0u);
    EXPECT_EQ(must(meta().get(kRootIno)).names, 1u);
    EXPECT_ERRNO(meta().rename({kRootIno, "x", kRootIno, "y"}), ENOENT);
    EXPECT_EQ(must(meta().rename({kRootIno, "b", kRootIno, "b"})).moved.ino, a.ino);
    must(mkdir("d"));
    EXPECT_ERRNO(meta().rename({kRootIno, "d", kRootIno, "b"}), ENOTDIR);
    EXPECT_ERRNO(meta().rename({kRootIno, "b", kRootIno, "d"}), EISDIR);
}

TEST_F(MetaTest, ExchangeSwapsFiles) {
    Inode a = must(create("a")), d = must(create("d"));
    must(meta().rename({.from_directory = kRootIno, .from_name = "a", .to_directory = kRootIno, .to_name = "d",
                        .exchange = true}));
    EXPECT_EQ(must(meta().lookup(kRootIno, "a")).ino, d.ino);
    EXPECT_EQ(must(meta().lookup(kRootIno, "d")).ino, a.ino);
    EXPECT_EQ(must(meta().name_of(d.ino)).second, "a");
    EXPECT_EQ(must(meta().name_of(a.ino)).second, "d");
    EXPECT_ERRNO(meta().rename({.from_directory = kRootIno, .from_name = "a", .to_directory = kRootIno,
                                .to_name = "x", .exchange = true}), ENOENT);
    EXPECT_EQ(must(meta().get(kRootIno)).names, 2u);
}

TEST_F(MetaTest, ListingGoesOnAfterACookie) {
    for (char c = 'a'; c <= 'j'; ++c) must(create(std::string(1, c)));
    ListPage page = must(meta().list({.directory = kRootIno, .entries_max = 4, .with_inodes = true}));
    ASSERT_EQ(page.entries.size(), 4u);
    EXPECT_TRUE(page.more);
    EXPECT_EQ(page.entries[3].name, "d");
    EXPECT_EQ(page.entries[3].inode->ino, page.entries[3].ino);
    // What the cookie stood for is renamed, replaced and unlinked meanwhile.
    uint64_t cookie = page.entries[3].cookie;
    must(meta().rename({kRootIno, "d", kRootIno, "z"}));
    must(meta().rename({kRootIno, "z", kRootIno, "a"}));
    must(meta().unlink(kRootIno, "a"));
    page = must(meta().list({.directory = kRootIno, .after_cookie = cookie}));
    ASSERT_EQ(page.entries.size(), 6u);
    EXPECT_EQ(page.entries[0].name, "e");
    EXPECT_FALSE(page.more);
    page = must(meta().list({.directory = kRootIno, .after_name = "i"}));
    ASSERT_EQ(page.entries.size(), 1u);
    EXPECT_EQ(page.entries[0].name, "j");
}

TEST_F(MetaTest, BadNamesAreRefused) {
    EXPECT_ERRNO(create(std::string(256, 'x')), ENAMETOOLONG);
    EXPECT_OK(create(std::string(255, '\xff')));
    EXPECT_ERRNO(create("a/b"), EINVAL);
    EXPECT_ERRNO(create(std::string("a\0b", 3)), EINVAL);
    EXPECT_ERRNO(create(""), EINVAL);
    EXPECT_ERRNO(create("."), EEXIST);
    EXPECT_ERRNO(meta().lookup(kRootIno, std::string(256, 'x')), ENAMETOOLONG);
}

TEST_F(MetaTest, XattrsHaveALimit) {
    Inode a = must(create("a"));
    auto set = [&](size_t bytes) {
        return meta().change(a.ino, [&](InodeChange& c) -> Status {
            c.inode.xattrs["user.x"] = std::string(bytes, 'x');
            return {};
        });
    };
    EXPECT_OK(set(kXattrsBytesMax - 6));
    EXPECT_ERRNO(set(kXattrsBytesMax - 5), ENOSPC);
    EXPECT_EQ(must(meta().get(a.ino)).xattrs["user.x"].size(), kXattrsBytesMax - 6);
}

TEST_F(MetaTest, FreedExtentsAreOnRecordWithTheChange) {
    Inode a = must(create("a"));
    Extent extent{.offset = 0, .length = 4096, .blob = BlobId{77}};
    must(meta().change(a.ino, [&](InodeChange& c) -> Status {
        c.inode.map.size = 4096;
        c.inode.map.extents = {extent};
        return {};
    }));
    must(meta().change(a.ino, [&](InodeChange& c) -> Status {
        c.inode.map = {};
        c.freed = {extent};
        return {};
    }));
    auto answer = must(raw_.ask(std::move(Query(group_object(kRootGroup)).range("", "u"))));
    ASSERT_EQ(answer.ranges[0].entries.size(), 1u);
    auto record = must(decode_unlinked(answer.ranges[0].entries[0].second));
    EXPECT_EQ(record.kind, UnlinkedRecord::Kind::extents);
    EXPECT_EQ(record.inode.map.extents, std::vector{extent});
    EXPECT_OK(meta().get(a.ino));
}

TEST_F(MetaTest, AnUnnamedFileIsThereByNumber) {
    Inode t = must(meta().create_unnamed(request(kRootIno, "", S_IFREG | 0600)));
    EXPECT_EQ(must(meta().get(t.ino)).links, 0u);
    EXPECT_EQ(names(), Names{});
}

TEST_F(MetaTest, PublishNamesAnUnnamedFileUnderItsCondition) {
    auto unnamed = [&] { return must(meta().create_unnamed(request(kRootIno, "", S_IFREG | 0600))); };
    auto publish = [&](Ino ino, PublishCondition when) { return meta().publish(ino, kRootIno, "a", when); };
    using Kind = PublishCondition::Kind;
    Inode first = unnamed();
    EXPECT_ERRNO(publish(first.ino, {Kind::generation, 0}), ECANCELED);
    Renamed renamed = must(publish(first.ino, {Kind::absent}));
    EXPECT_EQ(renamed.moved.links, 1u);
    EXPECT_FALSE(renamed.replaced);
    EXPECT_EQ(must(meta().lookup(kRootIno, "a")).ino, first.ino);
    Inode second = unnamed();
    EXPECT_ERRNO(publish(second.ino, {Kind::absent}), EEXIST);
    EXPECT_ERRNO(publish(second.ino, {Kind::generation, 5}), ECANCELED);
    renamed = must(publish(second.ino, {Kind::generation, 0}));
    EXPECT_EQ(renamed.replaced->inode.ino, first.ino);
    EXPECT_EQ(must(meta().lookup(kRootIno, "a")).ino, second.ino);
    EXPECT_EQ(must(meta().get(first.ino)).links, 0u);
    EXPECT_EQ(must(meta().get(kRootIno)).names, 1u);
    must(mkdir("d"));
    EXPECT_ERRNO(meta().publish(unnamed().ino, kRootIno, "d", {}), EISDIR);
    TestMount cold(cluster_);
    EXPECT_EQ(must(cold.meta->get(second.ino)).links, 1u);
}

TEST_F(MetaTest, RmdirRemovesAnEmptyDirectoryOnly) {
    Ino d = must(mkdir("d")).ino;
    must(create("f", d));
    EXPECT_ERRNO(meta().rmdir(kRootIno, "d"), ENOTEMPTY);
    EXPECT_OK(create("g", d));
    must(meta().unlink(d, "f"));
    must(meta().unlink(d, "g"));
    EXPECT_EQ(must(meta().rmdir(kRootIno, "d")).inode.links, 0u);
    EXPECT_ERRNO(meta().lookup(kRootIno, "d"), ENOENT);
    EXPECT_ERRNO(meta().rmdir(kRootIno, "d"), ENOENT);
    EXPECT_ERRNO(create("h", d), ENOENT);
    EXPECT_EQ(must(meta().get(d)).links, 0u);
    EXPECT_EQ(must(meta().get(kRootIno)).links, 2u);
    must(create("f"));
    EXPECT_ERRNO(meta().rmdir(kRootIno, "f"), ENOTDIR);
    EXPECT_ERRNO(meta().rmdir(kRootIno, "."), EINVAL);
    EXPECT_OK(mkdir("d"));
}

TEST_F(MetaTest, ADamagedRecordHarmsItsNameOnly) {
    must(create("a")), must(create("b")), must(create("c"));
    ASSERT_OK(raw_.apply(std::move(Mutation(group_object(kRootGroup)).set_keys({{name_key("b"), "garbage"}}))));
    auto damaged = meta().lookup(kRootIno, "b");
    EXPECT_ERRNO(damaged, EIO);
    EXPECT_NE(damaged.error().detail().find("object g.0, key nb"), std::string::npos);
    EXPECT_OK(meta().lookup(kRootIno, "c"));
    EXPECT_EQ(names(), (Names{"a", "b", "c"}));
    EXPECT_OK(create("d"));
}

TEST_F(MetaTest, ADamagedLeaseMakesTheGroupUnchangeable) {
    ASSERT_OK(raw_.apply(std::move(Mutation(group_object(kRootGroup)).set_xattr(kLeaseXattr, "garbage"))));
    EXPECT_ERRNO(create("a"), EIO);
}

}  // namespace
}  // namespace meshfs
