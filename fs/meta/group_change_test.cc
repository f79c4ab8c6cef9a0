// What becomes of a change whose calls are lost, late, doubled or raced.
#include <set>
#include <thread>

#include "fs/meta/group.h"
#include "fs/meta/ops/fixture.h"

namespace meshfs {
namespace {

// Many creates, unlinks and renames under lost calls and replies: what was answered is true, and each happened once.
TEST_F(MetaTest, LostCallsAndRepliesHappenOnceOrNotAtAll) {
    for (uint64_t seed = 1; seed <= 8; ++seed) {
        mount_->faults->set_plan({.seed = seed, .lost_call = 0.1, .lost_reply = 0.1, .late_effect = 0.1});
        Inode d;
        for (;;) {
            auto made = mkdir("d" + std::to_string(seed));
            if (made.ok()) d = *made;
            if (made.ok()) break;
            ASSERT_EQ(made.code(), ETIMEDOUT);
        }
        std::set<std::string> expected;
        bool is_unknown = false;  // an ETIMEDOUT: the store did not say for 16 rounds
        for (int i = 0; i < 60; ++i) {
            std::string name = "f" + std::to_string(i);
            auto made = create(name, d.ino);
            is_unknown |= made.code() == ETIMEDOUT;
            ASSERT_TRUE(made.ok() || made.code() == ETIMEDOUT) << made.error().text();
            if (!made.ok()) continue;
            expected.insert(name);
            if (i % 3 == 1) {
                auto gone = meta().unlink(d.ino, name);
                is_unknown |= !gone.ok();
                ASSERT_TRUE(gone.ok() || gone.code() == ETIMEDOUT) << gone.error().text();
                if (gone.ok()) expected.erase(name);
            } else if (i % 3 == 2) {
                auto moved = meta().rename({d.ino, name, d.ino, "m" + name});
                is_unknown |= !moved.ok();
                ASSERT_TRUE(moved.ok() || moved.code() == ETIMEDOUT) << moved.error().text();
                if (moved.ok()) expected.erase(name), expected.insert("m" + name);
            }
        }
        mount_->faults->set_plan({});
        if (is_unknown) continue;
        auto listed = names(d.ino);
        EXPECT_EQ(std::set<std::string>(listed.begin(), listed.end()), expected) << "seed " << seed;
        EXPECT_EQ(must(meta().get(d.ino)).names, expected.size()) << "seed " << seed;
    }
}

// It happened, and nobody knows: its number is not given to the next.
TEST_F(MetaTest, ANumberIsNotGivenTwiceWhenTheStoreDoesNotSay) {
    ASSERT_OK(create("a"));  // with the numbers of those that follow
    mount_->hooks->before_mutation = [&](const Mutation&) { mount_->faults->set_plan({.lost_reply = 1}); };
    EXPECT_ERRNO(create("b"), ETIMEDOUT);
    mount_->hooks->before_mutation = nullptr;
    mount_->faults->set_plan({});
    Ino c = must(create("c")).ino;
    EXPECT_NE(must(meta().lookup(kRootIno, "b")).ino, c);
}

TEST_F(MetaTest, ManyThreadsOfTwoMountsCreateInOneDirectory) {
    TestMount other(cluster_);
    constexpr int kThreads = 8, kFiles = 40;
    std::vector<std::thread> threads;
    std::atomic<int> won = 0, lost = 0;
    for (int t = 0; t < kThreads; ++t)
        threads.emplace_back([&, t] {
            Meta& m = t % 2 == 0 ? meta() : *other.meta;
            for (int i = 0; i < kFiles; ++i) {
                EXPECT_OK(m.create(request(kRootIno, std::to_string(t) + "-" + std::to_string(i), S_IFREG)));
                auto raced = m.create(request(kRootIno, "all-" + std::to_string(i), S_IFREG));
                EXPECT_TRUE(raced.ok() || raced.code() == EEXIST) << raced.error().text();
                ++(raced.ok() ? won : lost);
            }
        });
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(won, kFiles);
    EXPECT_EQ(lost, kFiles * (kThreads - 1));
    EXPECT_EQ(must(meta().get(kRootIno)).names, uint64_t{kThreads * kFiles + kFiles});
    ListPage page = must(meta().list({.directory = kRootIno}));
    std::set<Ino> inos;
    for (const auto& entry : page.entries) EXPECT_TRUE(inos.insert(entry.ino).second);
    EXPECT_EQ(inos.size(), size_t{kThreads * kFiles + kFiles});
}

TEST_F(MetaTest, ThreadsChangeOneInodeWithoutLosingAnUpdate) {
    TestMount other(cluster_);
    Ino ino = must(create("a")).ino;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            Meta& m = t % 2 == 0 ? meta() : *other.meta;
            for (int i = 0; i < 25; ++i)
                EXPECT_OK(m.change(ino, [](InodeChange& c) -> Status { return ++c.inode.content_version, Status(); }));
        });
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(must(meta().get(ino)).content_version, 100u);
}

TEST_F(MetaTest, ARenameWhileItIsChangedLosesNeither) {
    TestMount other(cluster_);
    Ino ino = must(create("a")).ino;
    std::thread changer([&] {
        for (int i = 0; i < 30; ++i)
            EXPECT_OK(other.meta->change(ino, [](InodeChange& c) -> Status { return ++c.inode.content_version, Status(); }));
    });
    std::string at = "a";
    for (int i = 0; i < 30; ++i) {
        std::string to = "n" + std::to_string(i);
        EXPECT_OK(meta().rename({kRootIno, at, kRootIno, to}));
        at = to;
    }
    changer.join();
    EXPECT_EQ(must(meta().lookup(kRootIno, at)).content_version, 30u);
}

TEST_F(MetaTest, ALaneIsLeftWhenTheBuilderRefuses) {
    for (int i = 0; i < 200; ++i) {
        EXPECT_ERRNO(change_group(core(), {.directory = kRootIno, .name = "x"}, {},
                                  [](GroupChange&) -> Status { return fail(EDOM); }), EDOM);
    }
    EXPECT_OK(create("a"));
}

// What a colleague's split leaves: a second group with the upper names, and the map in the header.
TEST_F(MetaTest, NamesOfSeveralRangesAreFoundListedAndCounted) {
    must(create("a")), must(create("b"));
    ObjectName header = group_object(kRootGroup), upper = group_object(GroupId{77777});
    auto view = must(read_group_now(core(), header, {}));
    About low = view.about;
    low.end = "m";
    About high{.group = GroupId{77777}, .directory = kRootIno, .first = "m"};
    ASSERT_OK(raw_.apply(std::move(Mutation(upper).create().set_xattr(kLeaseXattr, encode(free_lease(1)))
                                       .set_xattr(kAboutXattr, encode(high)))));
    ASSERT_OK(raw_.apply(std::move(Mutation(header).set_xattr(kLeaseXattr, encode(free_lease(9)))
                                       .set_xattr(kAboutXattr, encode(low))
                                       .set_keys({{range_key("m"), encode(RangeRecord{GroupId{77777}})}}))));
    Inode z = must(create("z")), m = must(create("m"));
    EXPECT_EQ(place_of(z.ino).group, GroupId{77777});
    EXPECT_EQ(must(meta().lookup(kRootIno, "m")).ino, m.ino);
    EXPECT_EQ(must(meta().lookup(kRootIno, "b")).map.size, 0u);
    EXPECT_EQ(names(), (std::vector<std::string>{"a", "b", "m", "z"}));
    ListPage page = must(meta().list({.directory = kRootIno, .entries_max = 2}));
    EXPECT_TRUE(page.more);
    page = must(meta().list({.directory = kRootIno, .after_cookie = page.entries[1].cookie, .entries_max = 2}));
    EXPECT_EQ(page.entries[0].name, "m");
    EXPECT_FALSE(page.more);
    EXPECT_EQ(must(meta().get(kRootIno)).names, 4u);
    EXPECT_OK(meta().unlink(kRootIno, "z"));
    EXPECT_EQ(must(meta().get(kRootIno)).names, 3u);
    TestMount cold(cluster_);
    EXPECT_EQ(must(cold.meta->lookup(kRootIno, "m")).ino, m.ino);
    EXPECT_ERRNO(cold.meta->create(request(kRootIno, "m", S_IFREG)), EEXIST);
}

TEST_F(MetaTest, ADeadHeaderIsARemovedDirectory) {
    Ino d = must(mkdir("d")).ino;
    ObjectName header = group_object(place_of(d).group);
    Lease dead{.kind = Lease::Kind::dead, .epoch = 5};
    ASSERT_OK(raw_.apply(std::move(Mutation(header).set_xattr(kLeaseXattr, encode(dead)))));
    EXPECT_ERRNO(create("x", d), ENOENT);
    EXPECT_ERRNO(meta().lookup(d, "x"), ENOENT);
    EXPECT_EQ(must(meta().get(d)).links, 0u);
    EXPECT_EQ(names(d).size(), 0u);
    ASSERT_OK(raw_.apply(std::move(Mutation(header).remove())));
    EXPECT_ERRNO(meta().get(d), ESTALE);
    EXPECT_ERRNO(create("x", d), ESTALE);
}

}  // namespace
}  // namespace meshfs
