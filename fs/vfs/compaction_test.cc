// Packs whose files went: hints, removal, compaction; what a mount that died had packed.
#include "fs/vfs/compaction.h"

#include <thread>

#include "fs/base/wire.h"
#include "fs/meta/format.h"
#include "fs/vfs/check/check.h"
#include "fs/vfs/data_hooks.h"
#include "fs/vfs/leavings.h"
#include "test/small_files.h"
#include "fs/vfs/purger.h"

namespace meshfs::test {
namespace {

// Counts what is read of packs, and damages some of it.
class PackReads final : public ForwardingStore {
public:
    using ForwardingStore::ForwardingStore;
    using ForwardingStore::start;
    void start(Transfer transfer, Then<size_t> then) override {
        const bool is_read = transfer.direction == Transfer::Direction::read && transfer.object.name.starts_with("p.");
        if (is_read) ++count;
        if (!is_read || transfer.bytes.size() != damaged_length) return inner_.start(std::move(transfer), std::move(then));
        damaged_length = 0;
        inner_.start(transfer, [bytes = transfer.bytes, then = std::move(then)](Result<size_t> got) mutable {
            bytes.data()[9] = static_cast<char>(bytes.data()[9] ^ 1);
            then(std::move(got));
        });
    }
    bool is_exclusive() const override { return true; }
    std::atomic<int> count{0};
    std::atomic<size_t> damaged_length{0};  // of the next read of so many bytes one is another
};

class CompactionTest : public SmallFiles {
protected:
    CompactionTest() : SmallFiles(1) {}
    static Result<Compacted> gc(Mount& mount) {
        std::atomic<bool> stopping{false};
        Data data(*mount.store, Clock::system(), {}, data_hooks(*mount.meta));
        TRY(mount.meta->collect());
        TRY(Purger::purge_all(*mount.meta, data));
        TRY(remove_leavings(*mount.store, *mount.meta, data, stopping));
        auto compacted = compact_packs(*mount.store, *mount.meta, data, Clock::system(), stopping);
        data.stop();
        return compacted;
    }
    std::unique_ptr<Mount> mount_counting(PackReads*& reads) {
        return mount([&reads](std::unique_ptr<Store> inner) {
            auto store = std::make_unique<PackReads>(std::move(inner));
            reads = store.get();
            return store;
        });
    }
    // Files first .. end - 1, of which only those from `kept` on stay; by a mount that is over then.
    void make_half_dead(uint64_t end, uint64_t kept) {
        auto a = mount_alone();
        write(*a, end);
        ASSERT_OK(a->vfs->syncfs());
        for (uint64_t i = 0; i < kept; ++i) ASSERT_OK(a->unlink(name(i)));
    }
    size_t hints() {
        size_t count = 0;
        for (uint64_t n = 0; n < kDeadMembersObjects; ++n) {
            auto answer = raw_.ask(std::move(Query(dead_members_object(BlobId{n})).range("", "")));
            if (answer.ok()) count += answer->ranges.at(0).entries.size();
        }
        return count;
    }
    void expect_clean(Mount& mount) {
        CheckOptions options;
        options.deep = true;
        options.found = [&](const Finding& f) { ADD_FAILURE() << f.object << " " << f.key << " " << f.path << ": " << f.what; };
        must(check_volume(*mount.meta, options));
    }
};

TEST_F(CompactionTest, WhatLivesIsMovedAndThePackGoes) {
    make_half_dead(60, 40);
    const std::string old = *objects("p.").begin();
    auto c = mount_alone();
    EXPECT_EQ(must(gc(*c)).files, 20u);
    EXPECT_EQ(hints(), 40u);
    expect_whole(*c, 40, 60);
    EXPECT_TRUE(objects("p.").contains(old)) << "who has it open reads there";
    EXPECT_EQ(must(gc(*c)).packs, 1u);
    EXPECT_FALSE(objects("p.").contains(old));
    EXPECT_EQ(objects("p.").size(), 1u);
    EXPECT_EQ(hints(), 0u);
    expect_whole(*c, 40, 60);
    expect_clean(*c);
    EXPECT_EQ(must(gc(*c)).files, 0u);
}

TEST_F(CompactionTest, FilesThatAreOpenWhileTheyMoveCanBeChanged) {
    make_half_dead(60, 40);
    auto c = mount_alone();
    std::vector<uint64_t> open;
    for (uint64_t i = 40; i < 45; ++i) open.push_back(must(c->open(name(i))).handle);
    EXPECT_EQ(must(gc(*c)).files, 20u);
    EXPECT_EQ(must(gc(*c)).packs, 1u);
    SetAttributes cut;
    cut.size = 5'000;
    cut.handle = open[0];
    EXPECT_OK(c->vfs->setattr(c->root, c->ino(name(40)), cut));
    EXPECT_OK(c->vfs->fallocate(open[1], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, {100, 50}, false));
    EXPECT_EQ(must(c->vfs->seek(open[2], 0, SEEK_HOLE)), 16'000u);
    EXPECT_OK(c->write(open[3], 10, "changed"));
    EXPECT_OK(c->vfs->fsync(open[3], true));
    EXPECT_OK(c->read(open[4], 0, 16'000));
    for (uint64_t handle : open) EXPECT_OK(c->close(handle));
    EXPECT_TRUE(must(c->read_file(name(40))) == bytes_of(40, 16'000).substr(0, 5'000));
    EXPECT_TRUE(must(c->read_file(name(41))) == bytes_of(41, 16'000).replace(100, 50, std::string(50, '\0')));
    EXPECT_TRUE(must(c->read_file(name(43))) == bytes_of(43, 16'000).replace(10, 7, "changed"));
    expect_whole(*c, 44, 60);
}

// An hour of a program that writes two small files a second leaves packs of tiny segments.
TEST_F(CompactionTest, APackOfSmallSegmentsGoesByItselfOnceNothingOfItLives) {
    {
        auto a = mount_alone();
        write(*a, 2, 5'000);
    }
    ASSERT_EQ(objects("p.").size(), 1u);
    const BlobId pack{must(parse_hex(objects("p.").begin()->substr(2)))};
    auto b = mount_alone();
    Data data(*b->store, Clock::system(), {}, data_hooks(*b->meta));
    for (uint64_t i = 0; i < 2; ++i) {
        EXPECT_EQ(must(remove_if_dead(*b->store, *b->meta, pack)), PackEnd::stays);
        ASSERT_OK(b->unlink(name(i)));
        must(Purger::purge_all(*b->meta, data));
    }
    EXPECT_EQ(must(remove_if_dead(*b->store, *b->meta, pack)), PackEnd::removed);
    EXPECT_TRUE(objects("p.").empty());
    data.stop();
}

TEST_F(CompactionTest, WhoPurgedAllOfAPackAsksNoInode) {
    write(*mount(), 100, 16'000);
    ASSERT_EQ(objects("p.").size(), 1u);
    const BlobId pack{must(parse_hex(objects("p.").begin()->substr(2)))};
    MeteredStore* metered = nullptr;
    auto b = mount([&](std::unique_ptr<Store> inner) {
        auto store = std::make_unique<MeteredStore>(std::move(inner));
        metered = store.get();
        return store;
    });
    for (uint64_t i = 0; i < 100; ++i) ASSERT_OK(b->unlink(name(i)));
    Data data(*b->store, Clock::system(), {}, data_hooks(*b->meta));
    Purger::DeadMembers dead;
    must(Purger::purge_all(*b->meta, data, nullptr, nullptr, &dead));
    EXPECT_EQ(dead.members, dead.packs.at(pack).size());
    const uint64_t before = metered->counts().all_calls();
    EXPECT_EQ(must(remove_if_dead(*b->store, *b->meta, pack, dead.packs.at(pack))), PackEnd::removed);
    EXPECT_LE(metered->counts().all_calls() - before, 20u);
    data.stop();
}

TEST_F(CompactionTest, WithoutRoomWhatIsDeadGoesAllTheSame) {
    make_half_dead(60, 40);
    {
        auto a = mount_alone();
        for (uint64_t i = 100; i < 110; ++i) ASSERT_OK(a->write_file(name(i), bytes_of(i, 16'000)));
        ASSERT_OK(a->vfs->syncfs());
        for (uint64_t i = 100; i < 110; ++i) ASSERT_OK(a->unlink(name(i)));
    }
    const auto before = objects("p.");
    ASSERT_EQ(before.size(), 2u);
    auto is_full = std::make_shared<std::atomic<bool>>(true);
    auto c = mount_full(is_full);
    EXPECT_ERRNO(gc(*c), ENOSPC);
    EXPECT_EQ(objects("p.").size(), 1u) << "the other one is dead";
    *is_full = false;
    EXPECT_EQ(must(gc(*c)).files, 20u);
    expect_whole(*c, 40, 60);
}

// Another mount writes, reads by maps that are old, and has a file open that has no name.
TEST_F(CompactionTest, BesideAnotherMountNothingItUsesIsLost) {
    write(*mount(), 60);
    auto a = mount(), b = mount();
    const uint64_t nameless = must(b->open(name(50))).handle, reader = must(b->open(name(51), O_RDONLY)).handle,
                   writer = must(b->open(name(52))).handle;
    EXPECT_EQ(must(b->read(reader, 0, 16)), bytes_of(51, 16));
    ASSERT_OK(b->write(writer, 100, "changed"));
    for (uint64_t i = 0; i < 40; ++i) ASSERT_OK(a->unlink(name(i)));
    ASSERT_OK(a->unlink(name(50)));
    const std::string old = *objects("p.").begin();
    uint64_t moved = 0;
    while (objects("p.").contains(old)) {  // as soon as nobody may be reading there late
        ASSERT_OK(a->vfs->syncfs());
        moved += must(gc(*a)).files;
        EXPECT_TRUE(must(b->read(nameless, 0, 20'000)) == bytes_of(50, 16'000));
        EXPECT_TRUE(must(b->read(reader, 0, 20'000)) == bytes_of(51, 16'000));
    }
    EXPECT_GE(moved, 18u);
    ASSERT_OK(b->close(writer));
    EXPECT_TRUE(must(a->read_file(name(52))) == bytes_of(52, 16'000).replace(100, 7, "changed"));
    ASSERT_OK(b->close(nameless));
    ASSERT_OK(b->close(reader));
    expect_whole(*a, 40, 50), expect_whole(*b, 53, 60);
    ASSERT_OK(a->vfs->syncfs());
    ASSERT_OK(b->vfs->syncfs());
    expect_clean(*a);
}

TEST_F(CompactionTest, WhatLivesMostlyStays) {
    make_half_dead(60, 20);
    auto c = mount_alone();
    EXPECT_EQ(must(gc(*c)).files, 0u);
    EXPECT_EQ(hints(), 20u);
    expect_whole(*c, 20, 60);
}

TEST_F(CompactionTest, APackOfWhichLittleIsDeadIsNotRead) {
    make_half_dead(60, 10);
    PackReads* reads = nullptr;
    auto c = mount_counting(reads);
    must(gc(*c));
    EXPECT_EQ(hints(), 10u);
    EXPECT_EQ(reads->count, 0);
    for (uint64_t i = 10; i < 40; ++i) ASSERT_OK(c->unlink(name(i)));
    EXPECT_EQ(must(gc(*c)).files, 20u);
}

TEST_F(CompactionTest, AFileThatComesDamagedOnceIsReadOnceMore) {
    make_half_dead(60, 40);
    PackReads* reads = nullptr;
    auto c = mount_counting(reads);
    reads->damaged_length = 16'000;
    EXPECT_EQ(must(gc(*c)).files, 20u);
    EXPECT_EQ(reads->damaged_length, 0u);
    expect_whole(*c, 40, 60);
}

// What else is said of an extent makes it no other.
TEST_F(CompactionTest, AMemberIsMovedWhateverItsFlagsAre) {
    make_half_dead(60, 40);
    auto c = mount_alone();
    must(c->meta->change(c->ino(name(50)), [](InodeChange& change) -> Status {
        change.inode.map.extents.at(0).flags |= Extent::frozen;
        return {};
    }));
    EXPECT_EQ(must(gc(*c)).files, 20u);
    EXPECT_EQ(must(gc(*c)).packs, 1u);
    expect_whole(*c, 40, 60);
    expect_clean(*c);
}

TEST_F(CompactionTest, OfAPackOfWhichNothingLivesNothingIsCopied) {
    make_half_dead(60, 60);
    auto c = mount_alone();
    Compacted done = must(gc(*c));
    EXPECT_EQ(done.files, 0u);
    EXPECT_EQ(done.packs, 1u);
    EXPECT_TRUE(objects("p.").empty());
    EXPECT_EQ(hints(), 0u);
}

// Its hints say that all is dead, and they are wrong.
TEST_F(CompactionTest, HintsDecideNothing) {
    make_half_dead(10, 0);
    auto c = mount_alone();
    std::vector<Extent> all;
    for (uint64_t i = 0; i < 10; ++i)
        for (const Extent& e : must(c->stat(name(i))).inode.map.extents) all.push_back(e);
    must(c->meta->note_dead_members(all));
    EXPECT_EQ(must(gc(*c)).packs, 0u);
    expect_whole(*c, 0, 10);
}

TEST_F(CompactionTest, AFileThatChangesMeanwhileKeepsItsChange) {
    make_half_dead(60, 40);
    auto c = mount_alone();
    uint64_t handle = must(c->open(name(50))).handle;
    ASSERT_OK(c->write(handle, 0, "in memory"));
    EXPECT_EQ(must(gc(*c)).files, 20u);
    ASSERT_OK(c->close(handle));
    ASSERT_OK(c->vfs->syncfs());
    must(gc(*c));
    EXPECT_TRUE(must(c->read_file(name(50))) == bytes_of(50, 16'000).replace(0, 9, "in memory"));
    expect_whole(*c, 51, 60);
}

TEST_F(CompactionTest, APackThatItsMountMayStillPublishIsLeftAlone) {
    auto a = mount();
    write(*a, 10);
    ASSERT_OK(a->vfs->syncfs());
    for (uint64_t i = 0; i < 10; ++i) ASSERT_OK(a->unlink(name(i)));
    ASSERT_OK(a->vfs->syncfs());
    auto c = mount();
    must(gc(*c));
    EXPECT_EQ(objects("p.").size(), 1u);
    a.reset();
    must(gc(*c));
    EXPECT_EQ(objects("p.").size(), 0u);
}

// One that has read of a pack opens it again where it is by now.
TEST_F(CompactionTest, WhoHasAFileOpenAllTheWhileReadsOn) {
    make_half_dead(60, 40);
    settings_.read_only = options_.read_only = true;  // it has no session that could be declared dead
    auto reader = mount();
    settings_.read_only = options_.read_only = false;
    uint64_t handle = must(reader->open(name(50), O_RDONLY)).handle;
    EXPECT_TRUE(must(reader->read(handle, 0, 10)) == bytes_of(50, 10));
    const auto old = objects("p.");
    {
        auto c = mount_alone();
        must(gc(*c));
        must(gc(*c));
    }
    EXPECT_FALSE(objects("p.").contains(*old.begin()));
    EXPECT_TRUE(must(reader->read(handle, 0, 16'000)) == bytes_of(50, 16'000));
    EXPECT_OK(reader->close(handle));
}

TEST_F(CompactionTest, ADamagedFileStaysWhereItIsAndIsToldAlone) {
    make_half_dead(60, 40);
    const Extent hit = must(mount_alone()->stat(name(50))).inode.map.extents.at(0);
    must(raw_.apply(std::move(Mutation(pack_object(1, hit.blob)).write(hit.blob_offset + 9, Buffer::copy_of("!")))));
    auto c = mount_alone();
    EXPECT_EQ(must(gc(*c)).files, 19u);
    must(gc(*c));
    EXPECT_ERRNO(c->read_file(name(50)), EIO);
    expect_whole(*c, 40, 50);
    expect_whole(*c, 51, 60);
}

TEST_F(CompactionTest, WhereverItDiesNothingIsLostAndTheNextOneGoesOn) {
    int died = 0;
    for (int writes = 0; writes < 100; ++writes) {
        make_half_dead(12, 8);
        auto left = std::make_shared<std::atomic<int>>(1'000'000);
        auto c = mount_dying(left, true);
        *left = writes;
        for (int round = 0; round < 2 && gc(*c); ++round) {
        }
        bool is_dead = *left < 0;
        c->kill();
        c.reset();
        died += is_dead;
        auto b = mount_alone();
        expect_whole(*b, 8, 12);
        if (HasFatalFailure()) return;
        if (!is_dead) break;
    }
    EXPECT_GE(died, 6);
    auto b = mount_alone();
    for (int round = 0; round < 3; ++round) must(gc(*b));
    expect_whole(*b, 8, 12);
    expect_clean(*b);
    EXPECT_LE(objects("p.").size(), 1u);
    for (uint64_t i = 8; i < 12; ++i) ASSERT_OK(b->unlink(name(i)));
    b.reset();
    auto last = mount_alone();
    for (int round = 0; round < 3; ++round) must(gc(*last));
    EXPECT_TRUE(objects("").empty()) << objects("").size() << " objects are left, one is " << *objects("").begin();
    EXPECT_EQ(hints(), 0u);
}

// Segments that were stored and never published, and such of which some were: found by the reach of the dead.
TEST_F(CompactionTest, WhatADeadMountHadPackedGoesUnlessAFileHasIt) {
    for (int writes = 0; writes < 20; ++writes) {
        auto left = std::make_shared<std::atomic<int>>(1'000'000);
        auto a = mount_dying(left, false);
        (void)a->mkdir("/d");
        ASSERT_OK(a->vfs->syncfs());
        const Ino directory = a->ino("/d");
        *left = writes;
        for (uint64_t i = 0; i < 5; ++i) (void)try_write(*a, directory, std::to_string(i), bytes_of(i, 16'000));
        (void)a->vfs->syncfs();
        a->kill();
        a.reset();
        auto c = mount_alone();
        must(gc(*c));
        expect_clean(*c);
        for (const auto& found : c->names("/d"))
            if (found[0] != '.') ASSERT_OK(c->unlink("/d/" + found));
        c.reset();
        c = mount_alone();
        for (int round = 0; round < 2; ++round) must(gc(*c));
        EXPECT_TRUE(objects("").empty()) << "after " << writes << " writes";
    }
}

TEST_F(CompactionTest, AnErrorOfTheStoreRemovesNothing) {
    make_half_dead(60, 60);
    auto c = mount_alone();
    Data data(*c->store, Clock::system(), {}, data_hooks(*c->meta));
    must(c->meta->collect());
    must(Purger::purge_all(*c->meta, data));
    std::atomic<bool> stopping{false};
    c->faults->set_plan({.error = 1});
    EXPECT_ERRNO(compact_packs(*c->store, *c->meta, data, Clock::system(), stopping), EIO);
    c->faults->set_plan({});
    EXPECT_EQ(objects("p.").size(), 1u);
    EXPECT_EQ(must(compact_packs(*c->store, *c->meta, data, Clock::system(), stopping)).packs, 1u);
}

}  // namespace
}  // namespace meshfs::test
