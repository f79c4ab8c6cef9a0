// What dead mounts left, found again.
#include "fs/meta/ops/fixture.h"
#include "fs/meta/registry.h"

namespace meshfs {
namespace {

constexpr int64_t kLeaseNs = 5 * kNsPerSecond;  // of the fixture's volume

class CollectTest : public MetaTest {
protected:
    CollectTest() : other_(std::make_unique<TestMount>(cluster_)) {}
    Meta& others() { return *other_->meta; }
    std::set<Ino> purge() {
        std::set<Ino> gone;
        for (;;) {
            auto items = must(meta().purgeable(16));
            if (items.empty()) return gone;
            for (const auto& item : items) {
                gone.insert(item.inode.ino);
                EXPECT_TRUE(meta().purged(item).ok());
            }
        }
    }
    std::unique_ptr<TestMount> other_;
};

TEST_F(CollectTest, WhatADeadMountUnlinkedComesBack) {
    Ino d = must(mkdir("d")).ino, e = must(mkdir("e", d)).ino;
    std::set<Ino> unlinked;
    for (Ino directory : {kRootIno, d, e}) {
        unlinked.insert(must(create("f", directory)).ino);
        must(create("kept", directory));
        must(others().unlink(directory, "f"));
    }
    SessionId dead = others().session();
    other_->die();
    EXPECT_EQ(purge(), std::set<Ino>{});
    std::vector<uint64_t> told;
    auto report = must(meta().collect([&](uint64_t groups) { told.push_back(groups); }));
    EXPECT_EQ(report.groups, 3u);
    EXPECT_EQ(report.unlinked, 3u);
    EXPECT_EQ(report.sessions, 1u);
    EXPECT_EQ(told, (std::vector<uint64_t>{1, 2, 3}));
    EXPECT_EQ(purge(), unlinked);
    EXPECT_FALSE(must(read_registry(raw_, mount_->clock)).contains(dead));
    EXPECT_ERRNO(raw_.ask(std::move(Query(session_object(dead)).exists())), ENOENT);
    EXPECT_EQ(must(meta().collect()).unlinked, 0u);
}

TEST_F(CollectTest, AFileThatHadSeveralNamesComesBack) {
    Ino d = must(mkdir("d")).ino, gone = must(create("f", d)).ino, kept = must(create("g", d)).ino;
    for (Ino ino : {gone, kept}) must(others().link(ino, kRootIno, "l" + std::to_string(raw(ino))));
    for (Ino ino : {gone, kept})
        must(others().change(ino, [&](InodeChange& c) -> Status {
            c.freed = {{.offset = 0, .length = 4096, .blob = BlobId{raw(ino)}}};
            return {};
        }));
    must(others().unlink(d, "f"));
    must(others().unlink(kRootIno, "l" + std::to_string(raw(gone))));
    other_->die();
    mount_->clock.advance_ns(1000 * kNsPerSecond);
    must(meta().collect());
    EXPECT_EQ(purge(), (std::set<Ino>{gone, kept}));
    for (Ino ino : {gone, kept}) {
        auto h = raw_.ask(std::move(Query(linked_object(ino)).range("", "u")));
        if (ino == gone) EXPECT_ERRNO(h, ENOENT);
        else EXPECT_TRUE(must(std::move(h)).ranges.at(0).entries.empty());
    }
    EXPECT_EQ(must(meta().get(kept)).links, 2u);
}

// A removed directory's own record leads to what was unlinked in it.
TEST_F(CollectTest, RemovedDirectoriesAreFoundWithTheirFiles) {
    Ino d = must(mkdir("d")).ino, f = must(create("f", d)).ino;
    must(others().unlink(d, "f"));
    must(others().rmdir(kRootIno, "d"));
    other_->die();
    mount_->clock.advance_ns(1000 * kNsPerSecond);
    EXPECT_EQ(must(meta().collect()).unlinked, 1u);
    EXPECT_EQ(purge(), std::set<Ino>{f});
    mount_->clock.advance_ns(10 * kLeaseNs);
    EXPECT_EQ(purge(), std::set<Ino>{});
    EXPECT_ERRNO(raw_.ask(std::move(Query(group_object(place_of(d).group)).exists())), ENOENT);
}

TEST_F(CollectTest, WhoBeatsIsLeftAloneAndNotWaitedFor) {
    mount_->hooks->before_query = [&](const Query& q) {
        if (q.object() == session_object(others().session())) others().tick();
    };
    int64_t before = mount_->clock.boot_ns();
    EXPECT_EQ(must(meta().collect()).sessions, 0u);
    mount_->hooks->before_query = nullptr;
    EXPECT_LT(mount_->clock.boot_ns() - before, kLeaseNs);
    EXPECT_OK(others().create(request(kRootIno, "alive", S_IFREG)));
}

TEST_F(CollectTest, ADamagedRecordEndsIt) {
    must(create("a"));
    ASSERT_OK(raw_.apply(std::move(Mutation(group_object(kRootGroup)).set_keys({{name_key("b"), "garbage"}}))));
    other_.reset();
    EXPECT_ERRNO(meta().collect(), EIO);
}

TEST_F(CollectTest, AFailedListingEndsIt) {
    Ino d = must(mkdir("d")).ino;
    other_.reset();
    mount_->hooks->before_query = [&](const Query& q) {
        if (q.object() == group_object(place_of(d).group)) mount_->faults->set_plan({.error = 1});
    };
    EXPECT_ERRNO(meta().collect(), EIO);
    mount_->hooks->before_query = nullptr;
    mount_->faults->set_plan({});
}

TEST_F(CollectTest, BlobsInReachKeepASession) {
    SessionId dead = others().session();
    ASSERT_OK(other_->session().apply(std::move(other_->session().own_change().set_keys({{"b12345678", "x"}}))));
    other_->die();
    EXPECT_EQ(must(meta().collect()).sessions, 0u);
    EXPECT_TRUE(must(read_registry(raw_, mount_->clock)).contains(dead));
}

}  // namespace
}  // namespace meshfs
