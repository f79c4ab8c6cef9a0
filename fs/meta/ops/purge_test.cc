// Unlinked files that are open here, there or nowhere; removed directories; freed extents.
#include "fs/meta/ops/fixture.h"
#include "fs/meta/registry.h"

namespace meshfs {
namespace {

class PurgeTest : public MetaTest {
protected:
    PurgeTest() : other_(std::make_unique<TestMount>(cluster_)) {}
    Meta& others() { return *other_->meta; }
    size_t records(GroupId group = kRootGroup) {
        return must(raw_.ask(std::move(Query(group_object(group)).range("", "u")))).ranges.at(0).entries.size();
    }
    using Inos = std::vector<Ino>;
    std::unique_ptr<TestMount> other_;
};

TEST_F(PurgeTest, WhatNobodyHasOpenGoesAtOnce) {
    Ino a = must(create("a")).ino, b = must(create("b")).ino, c = must(create("c")).ino;
    must(meta().unlink(kRootIno, "a"));
    must(meta().rename({kRootIno, "b", kRootIno, "c"}));
    EXPECT_EQ(records(), 2u);
    EXPECT_EQ(purge(meta()), (Inos{a, c}));
    EXPECT_EQ(records(), 0u);
    EXPECT_ERRNO(meta().get(a), ESTALE);
    EXPECT_OK(meta().get(b));
    EXPECT_EQ(purge(meta()), Inos{});
}

TEST_F(PurgeTest, WhatIsOpenHereStaysUntilItIsClosed) {
    Ino a = must(create("a")).ino;
    EXPECT_OK(meta().opened(a));
    must(meta().unlink(kRootIno, "a"));
    EXPECT_EQ(purge(meta()), Inos{});
    must(meta().change(a, [](InodeChange& c) -> Status { return c.inode.map.size = 9, Status(); }));
    EXPECT_EQ(must(meta().get(a)).map.size, 9u);
    meta().released(a);
    EXPECT_EQ(purge(meta()), Inos{a});
    EXPECT_EQ(records(), 0u);
}

TEST_F(PurgeTest, WhatAnotherMountHasOpenIsPurgedByItAtItsClose) {
    Ino a = must(create("a")).ino;
    EXPECT_OK(others().opened(a));
    must(meta().unlink(kRootIno, "a"));
    EXPECT_EQ(purge(meta()), Inos{});
    EXPECT_EQ(must(others().get(a)).links, 0u);
    mount_->clock.advance_ns(2 * kLeaseNs);
    EXPECT_EQ(purge(meta()), Inos{});
    others().released(a);
    EXPECT_EQ(purge(others()), Inos{a});
    mount_->clock.advance_ns(100 * kLeaseNs);
    EXPECT_EQ(purge(meta()), Inos{});
    EXPECT_EQ(records(), 0u);
}

TEST_F(PurgeTest, OneThatWasAskedAndDiesIsFoundByWhoAsked) {
    Ino a = must(create("a")).ino;
    EXPECT_OK(others().opened(a));
    must(meta().unlink(kRootIno, "a"));
    EXPECT_EQ(purge(meta()), Inos{});
    other_->die();
    for (int i = 0; i < 10 && records() > 0; ++i) {
        EXPECT_EQ(records(), 1u);
        mount_->clock.advance_ns(kLeaseNs);
        purge(meta());
    }
    EXPECT_EQ(records(), 0u);
}

TEST_F(PurgeTest, TheSilentAreWaitedForUntilTheyAreDead) {
    Ino a = must(create("a")).ino;
    other_->faults->set_deaf(true);
    must(meta().unlink(kRootIno, "a"));
    for (int i = 0; i < 2; ++i) {
        EXPECT_EQ(purge(meta()), Inos{});
        others().tick();
        mount_->clock.advance_ns(kLeaseNs);
    }
    other_->faults->set_deaf(false);
    EXPECT_EQ(purge(meta()), Inos{a});
}

// What was unlinked in a directory was so before that was removed itself: late ones of all of a tree are waited for once.
TEST_F(PurgeTest, ATreeGoesAfterOneWait) {
    std::vector<Ino> path{kRootIno};
    for (const char* name : {"a", "b", "c"}) path.push_back(must(mkdir(name, path.back())).ino);
    must(create("f", path[3]));
    must(meta().unlink(path[3], "f"));
    must(meta().rmdir(path[2], "c"));
    must(meta().rmdir(path[1], "b"));
    must(meta().rmdir(path[0], "a"));
    mount_.reset();  // has ended
    must(others().collect());
    EXPECT_EQ(purge(others()), Inos{});
    EXPECT_EQ(all_groups().size(), 4u);
    other_->clock.advance_ns(2 * kLeaseNs);
    for (int i = 0; i < 5; ++i) {
        purge(others());
        other_->clock.advance_ns(kLeaseNs / 3);
    }
    EXPECT_EQ(all_groups().size(), 1u);
}

TEST_F(PurgeTest, AFileWithoutANameIsNotOpenedAnew) {
    Ino a = must(create("a")).ino;
    EXPECT_OK(meta().opened(a));
    must(meta().unlink(kRootIno, "a"));
    EXPECT_ERRNO(others().opened(a), ESTALE);
    EXPECT_OK(meta().opened(a));  // it is open here
    meta().released(a);
    EXPECT_ERRNO(meta().opened(a), ESTALE);
    EXPECT_EQ(purge(others()), Inos{});
    EXPECT_EQ(purge(meta()), Inos{a});
}

// The open comes just when another mount has unlinked the file and asks.
TEST_F(PurgeTest, AnOpenThatRacesWithThePurgeFindsNoFile) {
    Ino a = must(create("a")).ino;
    bool once = false;
    other_->hooks->before_query = [&](const Query&) {
        if (std::exchange(once, true)) return;
        must(meta().unlink(kRootIno, "a"));
        EXPECT_EQ(purge(meta()), Inos{});  // it has entered its table
    };
    EXPECT_ERRNO(others().opened(a), ESTALE);
    other_->hooks->before_query = nullptr;
    EXPECT_EQ(purge(others()), Inos{a});
    EXPECT_EQ(records(), 0u);
}

TEST_F(PurgeTest, AnUnnamedFileIsOpenUntilItIsReleased) {
    Ino t = must(meta().create_unnamed(request(kRootIno, "", S_IFREG | 0600))).ino;
    Ino named = must(meta().create_unnamed(request(kRootIno, "", S_IFREG | 0600))).ino;
    EXPECT_EQ(purge(meta()), Inos{});
    EXPECT_OK(meta().publish(named, kRootIno, "n", {}));
    meta().released(t);
    meta().released(named);
    EXPECT_EQ(purge(meta()), Inos{t});
    EXPECT_EQ(must(others().lookup(kRootIno, "n")).ino, named);
}

// Between the look at its record and the question its maker names it, and closes it.
TEST_F(PurgeTest, AnUnnamedFileThatIsNamedMeanwhileIsNotPurged) {
    Ino t = must(others().create_unnamed(request(kRootIno, "", S_IFREG | 0600))).ino;
    core().unlinked.push({.key = unlinked_key(t)});  // as gc finds it
    bool once = false;
    mount_->hooks->before_query = [&](const Query& query) {
        if (!query.object().name.starts_with("sessions") || std::exchange(once, true)) return;
        EXPECT_OK(others().publish(t, kRootIno, "n", {}));
        others().released(t);
    };
    EXPECT_EQ(purge(meta()), Inos{});
    mount_->hooks->before_query = nullptr;
    EXPECT_TRUE(once);
    EXPECT_EQ(must(meta().lookup(kRootIno, "n")).ino, t);
}

// What was freed from it goes first, then h.<ino>, then its own bytes.
TEST_F(PurgeTest, AFileThatHadSeveralNamesGoesWithAllThatWasFreedFromIt) {
    Ino a = must(create("a")).ino;
    must(meta().link(a, kRootIno, "b"));
    for (uint64_t blob = 70; blob < 73; ++blob)
        must(meta().change(a, [&](InodeChange& c) -> Status {
            c.freed = {{.offset = 0, .length = 4096, .blob = BlobId{blob}}};
            return {};
        }));
    must(meta().change(a, [](InodeChange& c) -> Status {
        c.inode.map.extents = {{.offset = 0, .length = 4096, .blob = BlobId{77}}};
        return {};
    }));
    must(meta().unlink(kRootIno, "a"));
    must(meta().unlink(kRootIno, "b"));
    EXPECT_EQ(purge(meta()), Inos{});
    mount_->clock.advance_ns(2 * kLeaseNs);
    std::vector<uint64_t> blobs;
    for (auto items = must(meta().purgeable(2)); !items.empty(); items = must(meta().purgeable(2)))
        for (const auto& item : items) {
            blobs.push_back(raw(item.inode.map.extents.at(0).blob));
            EXPECT_OK(meta().purged(item));
        }
    ASSERT_FALSE(blobs.empty());  // some come twice: who freed them knows them, too
    EXPECT_EQ(std::count(blobs.begin(), blobs.end(), 77u), 1);
    EXPECT_EQ(blobs.back(), 77u);
    EXPECT_EQ(std::set<uint64_t>(blobs.begin(), blobs.end()), (std::set<uint64_t>{70, 71, 72, 77}));
    EXPECT_EQ(records(), 0u);
    EXPECT_ERRNO(raw_.ask(std::move(Query(linked_object(a)).exists())), ENOENT);
    EXPECT_ERRNO(meta().get(a), ESTALE);
}

// The intent that made it is still in the object of who died right after it, and is done again by who visits.
TEST_F(PurgeTest, WhatADeadMountsIntentMadeIsNotMadeAnewAfterItIsPurged) {
    Ino a = must(create("a")).ino;
    must(others().link(a, kRootIno, "b"));
    SessionId dead = others().session();
    other_->die();
    must(meta().unlink(kRootIno, "a"));
    must(meta().unlink(kRootIno, "b"));
    EXPECT_EQ(purge(meta()), Inos{});
    for (int i = 0; i < 6; ++i) {
        mount_->clock.advance_ns(kLeaseNs);
        purge(meta());
    }
    EXPECT_ERRNO(raw_.ask(std::move(Query(linked_object(a)).exists())), ENOENT);
    EXPECT_OK(finish_intents(core(), dead));
    EXPECT_ERRNO(raw_.ask(std::move(Query(linked_object(a)).exists())), ENOENT);
    EXPECT_EQ(records(), 0u);
}

TEST_F(PurgeTest, FreedExtentsAreKeptForLateReaders) {
    Ino a = must(create("a")).ino;
    Extent extent{.offset = 0, .length = 4096, .blob = BlobId{77}};
    auto free_it = [&] {
        must(meta().change(a, [&](InodeChange& c) -> Status { return c.freed = {extent}, Status(); }));
    };
    free_it();
    EXPECT_EQ(purge(meta()), Inos{});
    mount_->clock.advance_ns(2 * kLeaseNs);
    auto items = must(meta().purgeable(16));
    ASSERT_EQ(items.size(), 1u);
    EXPECT_EQ(items[0].inode.map.extents, std::vector{extent});
    EXPECT_GT(items[0].inode.links, 0u);
    EXPECT_OK(meta().purged(items[0]));
    EXPECT_EQ(purge(meta()), Inos{});
    EXPECT_EQ(records(), 0u);
    mount_->hooks->claims_exclusive = true;
    free_it();
    EXPECT_EQ(purge(meta()), Inos{a});
    mount_->hooks->claims_exclusive = false;
}

// What was cut and written anew several times before it could be published.
TEST_F(PurgeTest, FreedExtentsOfTheSameOffsetsAreRecordsThatCanBeRead) {
    Ino a = must(create("a")).ino;
    auto extent = [](uint64_t offset, uint64_t length, uint64_t blob) {
        return Extent{.offset = offset, .length = length, .blob_offset = offset, .blob = BlobId{blob}};
    };
    const std::vector<Extent> freed{extent(4096, 4096, 70), extent(0, 4096, 71), extent(0, 10'000, 72), extent(100, 20, 73)};
    const uint64_t before = must(meta().get(a)).content_version;
    must(meta().change(a, [&](InodeChange& c) -> Status { return c.freed = freed, Status(); }));
    EXPECT_GT(must(meta().get(a)).content_version, before);
    EXPECT_EQ(records(), 3u);
    EXPECT_EQ(purge(meta()), Inos{});
    mount_->clock.advance_ns(2 * kLeaseNs);
    std::set<BlobId> blobs;
    for (const auto& item : must(meta().purgeable(16))) {
        for (const Extent& e : item.inode.map.extents) EXPECT_TRUE(blobs.insert(e.blob).second);
        EXPECT_OK(meta().purged(item));
    }
    EXPECT_EQ(blobs, (std::set<BlobId>{BlobId{70}, BlobId{71}, BlobId{72}, BlobId{73}}));
    EXPECT_EQ(purge(meta()), Inos{});
    EXPECT_EQ(records(), 0u);
}

TEST_F(PurgeTest, ARemovedDirectoryGoesAfterTheFilesThatWereUnlinkedInIt) {
    Ino d = must(mkdir("d")).ino, f = must(create("f", d)).ino;
    GroupId group = place_of(d).group;
    EXPECT_OK(meta().opened(f));
    must(meta().unlink(d, "f"));
    must(meta().rmdir(kRootIno, "d"));
    mount_->clock.advance_ns(2 * kLeaseNs);
    EXPECT_EQ(purge(meta()), Inos{});
    // Its record is changed although its directory is dead.
    must(meta().change(f, [](InodeChange& c) -> Status { return c.inode.map.size = 9, Status(); }));
    EXPECT_EQ(must(meta().get(f)).map.size, 9u);
    meta().released(f);
    EXPECT_EQ(purge(meta()), Inos{f});
    EXPECT_EQ(records(group), 0u);
    mount_->clock.advance_ns(10 * kLeaseNs);
    EXPECT_EQ(purge(meta()), Inos{});
    EXPECT_ERRNO(raw_.ask(std::move(Query(group_object(group)).exists())), ENOENT);
    EXPECT_EQ(records(), 0u);
}

TEST_F(PurgeTest, WhatItsLastUserLeftIsWhatGoes) {
    Ino a = must(create("a")).ino;
    EXPECT_OK(others().opened(a));
    must(meta().unlink(kRootIno, "a"));
    bool is_closed = false;
    mount_->hooks->before_query = [&](const Query& query) {  // its record was read; now all are asked
        if (is_closed || !query.object().name.starts_with("sessions.")) return;
        is_closed = true;
        must(others().change(a, [](InodeChange& c) -> Status { return c.inode.map.size = 9, Status(); }));
        others().released(a);
    };
    auto items = must(meta().purgeable(16));
    mount_->hooks->before_query = nullptr;
    ASSERT_TRUE(is_closed);
    ASSERT_EQ(items.size(), 1u);
    EXPECT_EQ(items[0].inode.map.size, 9u);
    EXPECT_OK(meta().purged(items[0]));
}

TEST_F(PurgeTest, ItsLocksGoWithAFile) {
    Ino a = must(create("a")).ino;
    EXPECT_OK(meta().lock(a, {.owner = 1}, nullptr));
    EXPECT_OK(meta().unlock_owner(a, FileLock::Family::posix, 1));
    must(meta().unlink(kRootIno, "a"));
    EXPECT_EQ(purge(meta()), Inos{a});
    EXPECT_ERRNO(raw_.ask(std::move(Query(locks_object(a)).exists())), ENOENT);
}

TEST_F(PurgeTest, OnlyOfFilesThatHadLocksTheyAreLookedFor) {
    for (int i = 0; i < 100; ++i) must(create("f" + std::to_string(i)));
    for (int i = 0; i < 100; ++i) must(meta().unlink(kRootIno, "f" + std::to_string(i)));
    const uint64_t before = calls();
    EXPECT_EQ(purge(meta()).size(), 100u);
    EXPECT_LE(calls() - before, 60u);
}

TEST_F(PurgeTest, ErrorsAndLostAnswersPostponeIt) {
    std::set<Ino> made;
    for (int i = 0; i < 40; ++i) {
        made.insert(must(create("f" + std::to_string(i))).ino);
        must(meta().unlink(kRootIno, "f" + std::to_string(i)));
    }
    std::set<Ino> gone;
    mount_->faults->set_plan({.seed = 5, .error = 0.01, .lost_call = 0.1, .lost_reply = 0.1});
    for (int i = 0; i < 200 && records() > 0; ++i) {
        mount_->clock.advance_ns(kLeaseNs);
        auto items = meta().purgeable(8);
        if (items.ok())
            for (const auto& item : *items) {
                gone.insert(item.inode.ino);
                (void)meta().purged(item);
            }
    }
    mount_->faults->set_plan({});
    EXPECT_EQ(gone, made);
    EXPECT_EQ(records(), 0u);
}

TEST_F(PurgeTest, ADeathBeforeTheRecordGoesMeansItIsDoneAgain) {
    Ino a = must(create("a")).ino;
    must(meta().unlink(kRootIno, "a"));
    ASSERT_EQ(must(meta().purgeable(1)).size(), 1u);
    mount_->die();
    EXPECT_EQ(records(), 1u);
    EXPECT_EQ(must(others().get(a)).links, 0u);
}

}  // namespace
}  // namespace meshfs
