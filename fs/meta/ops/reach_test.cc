// Where blobs may lie is on record before they do, at few store calls.
#include "fs/meta/ops/fixture.h"

namespace meshfs {
namespace {

class ReachTest : public MetaTest {
protected:
    ReachTest() : other_(std::make_unique<TestMount>(cluster_)) {}
    // Of the other mount: as the store has it.
    std::vector<std::pair<std::string, ReachRecord>> records() {
        std::vector<std::pair<std::string, ReachRecord>> records;
        Answer answer = must(raw_.ask(std::move(Query(session_object(others().session())).range("", "b"))));
        for (const auto& [key, value] : answer.ranges.at(0).entries) records.emplace_back(key, must(decode_reach(value)));
        return records;
    }
    bool is_recorded(BlobId blob, Ino home, uint64_t object) {
        for (const auto& [key, record] : records()) {
            auto [first, last] = must(blobs_of_reach_key(key));
            if (blob < first || last < blob || object < record.first || record.last < object) continue;
            return raw(home) == raw(record.home) + (record.homes_rise ? raw(blob) - raw(first) : 0);
        }
        return false;
    }
    Meta& others() { return *other_->meta; }
    uint64_t calls() { return other_->metered->counts().all_calls(); }
    Ino number(uint32_t slot) { return ino_of({GroupId{5}, Slot{slot}}); }
    std::unique_ptr<TestMount> other_;
};

TEST_F(ReachTest, FilesMadeOneAfterTheOtherShareARecord) {
    uint64_t before = calls();
    std::set<BlobId> blobs;
    for (uint32_t slot = 1; slot <= 1000; ++slot) {
        BlobId blob = others().next_blob(number(slot));
        EXPECT_TRUE(blobs.insert(blob).second);
        EXPECT_GE(must(others().record_reach(blob, number(slot), 0, 0)), 0u);
        if (slot % 100 == 0) {
            EXPECT_TRUE(is_recorded(blob, number(slot), 0));
        }
    }
    EXPECT_EQ(calls() - before, 16u);
    for (BlobId blob : blobs) others().forget_reach(blob);
}

TEST_F(ReachTest, AFileThatIsWrittenAgainAndAgainHasRuns) {
    uint64_t before = calls();
    Ino home = number(7);
    for (int i = 0; i < 1000; ++i) {
        BlobId blob = others().next_blob(home);
        must(others().record_reach(blob, home, 0, 3));
        EXPECT_TRUE(is_recorded(blob, home, 3)) << i;
        others().forget_reach(blob);
    }
    EXPECT_LE(calls() - before, 9u);
    EXPECT_LE(records().size(), 3u);  // the neighbours', this run's, one that goes with the next write
}

TEST_F(ReachTest, ALargeFileIsRecordedAGigabyteAhead) {
    uint64_t before = calls();
    Ino home = number(1);
    BlobId blob = others().next_blob(home);
    for (uint64_t object = 0, known = 0; object < 1024; ++object) {
        if (object == 0 || object > known) known = must(others().record_reach(blob, home, 0, object));
        EXPECT_GE(known, object);
    }
    EXPECT_TRUE(is_recorded(blob, home, 1023));
    EXPECT_EQ(calls() - before, 5u);
    // A blob that an earlier session began.
    must(others().record_reach(BlobId{77}, number(2), 9, 10));
    EXPECT_TRUE(is_recorded(BlobId{77}, number(2), 9));
    EXPECT_FALSE(is_recorded(BlobId{77}, number(2), 8));
}

TEST_F(ReachTest, WhatIsForgottenGoesWithTheNextWriteAndAtTheEnd) {
    std::vector<BlobId> blobs;
    for (uint32_t slot = 0; slot < 64; ++slot) blobs.push_back(others().next_blob(number(slot)));
    for (uint32_t slot = 0; slot < 64; ++slot) must(others().record_reach(blobs[slot], number(slot), 0, 9));
    EXPECT_EQ(records().size(), 64u);  // each alone: none is small
    for (BlobId blob : blobs) others().forget_reach(blob);
    BlobId last = others().next_blob(number(100));
    must(others().record_reach(last, number(100), 0, 0));
    EXPECT_EQ(records().size(), 1u);
    others().forget_reach(last);
    SessionId session = others().session();
    other_.reset();
    EXPECT_ERRNO(raw_.ask(std::move(Query(session_object(session)).exists())), ENOENT);
}

// What a held group has not written a crash takes back, and then nothing else leads to the bytes.
TEST_F(ReachTest, HeldGroupsKeepWhatIsForgottenUntilTheyAreWritten) {
    other_.reset();
    other_ = std::make_unique<TestMount>(cluster_, MetaOptions{.hold = true});
    Ino home = must(others().create({.directory = kRootIno, .name = "f", .mode = S_IFREG | 0644})).ino;
    auto record_more = [&](uint32_t slot) {
        must(others().record_reach(others().next_blob(number(slot)), number(slot), 9, 9));
    };
    BlobId blob = others().next_blob(home);
    must(others().record_reach(blob, home, 9, 9));
    must(others().change(home, [&](InodeChange& c) -> Status { return c.inode.map.size = 9, Status(); }));
    others().forget_reach(blob);
    record_more(1);
    EXPECT_TRUE(is_recorded(blob, home, 9));
    ASSERT_OK(others().commit());
    record_more(2);
    EXPECT_FALSE(is_recorded(blob, home, 9));
}

TEST_F(ReachTest, WhatWasNotForgottenIsTold) {
    BlobId blob = others().next_blob(number(1)), far = others().next_blob(number(2));
    must(others().record_reach(blob, number(1), 0, 0));
    must(others().record_reach(far, number(2), 50, 60));
    EXPECT_TRUE(must(meta().left_reaches()).empty());
    SessionId session = others().session();
    other_->die();
    must(meta().collect());
    auto left = must(meta().left_reaches());
    ASSERT_EQ(left.size(), 2u);
    for (const auto& reach : left) {
        EXPECT_EQ(reach.session, session);
        bool is_alone = reach.first == reach.last;
        EXPECT_EQ(reach.homes_rise, !is_alone);
        if (is_alone) {
            EXPECT_EQ(std::pair(reach.first, reach.home), std::pair(far, number(2)));
        }
        EXPECT_OK(meta().cleared(reach));
    }
    EXPECT_ERRNO(raw_.ask(std::move(Query(session_object(session)).exists())), ENOENT);
    EXPECT_TRUE(must(meta().left_reaches()).empty());
}

TEST_F(ReachTest, LostAnswersLeaveNoBlobUnrecorded) {
    other_->faults->set_plan({.seed = 3, .error = 0.05, .lost_call = 0.2, .lost_reply = 0.2});
    std::vector<std::pair<BlobId, Ino>> recorded;
    for (uint32_t slot = 1; slot < 400; ++slot) {
        BlobId blob = others().next_blob(number(slot * 7));
        if (others().record_reach(blob, number(slot * 7), 0, slot % 9).ok()) recorded.emplace_back(blob, number(slot * 7));
        if (slot % 3 > 0) continue;
        others().forget_reach(recorded.front().first);
        recorded.erase(recorded.begin());
    }
    other_->faults->set_plan({});
    EXPECT_GT(recorded.size(), 100u);
    for (auto [blob, home] : recorded) EXPECT_TRUE(is_recorded(blob, home, 0));
}

// Their members may be of any file; and few of them are kept from gc while the mount lives.
TEST_F(ReachTest, PacksShareRecordsWithoutAHome) {
    uint64_t before = calls();
    std::vector<BlobId> packs;
    for (int i = 0; i < 52; ++i) {
        packs.push_back(others().next_blob(Ino{}));
        must(others().record_reach(packs.back(), Ino{}, 0, 0));
        EXPECT_TRUE(is_recorded(packs.back(), Ino{}, 0));
        others().forget_reach(packs.back());
    }
    EXPECT_EQ(calls() - before, 4u);  // 4, then 16 each
    EXPECT_TRUE(must(meta().is_in_reach(packs.back())));
    EXPECT_FALSE(must(meta().is_in_reach(packs.front())));
    BlobId file = others().next_blob(number(5));
    EXPECT_EQ(others().next_blob(number(6)), BlobId{raw(file) + 1});
}

TEST_F(ReachTest, DeadMembersOfPacksAreNotedUntilThePackIsForgotten) {
    auto packed = [](BlobId pack, uint64_t offset, uint64_t length) {
        return Extent{.length = length, .blob_offset = offset, .blob = pack, .kind = Extent::Kind::packed};
    };
    const BlobId one{77}, two{77 + 64}, three{78};
    must(meta().note_dead_members({packed(one, 120, 5'000), packed(two, 120, 7), {.length = 9, .blob = BlobId{5}}}));
    must(meta().note_dead_members({packed(one, 120, 5'000), packed(one, 6'000, 1'000), packed(three, 120, 1)}));
    std::map<BlobId, uint64_t> dead;
    for (const auto& noted : must(meta().dead_members())) dead[noted.pack] = noted.bytes;
    EXPECT_EQ(dead, (std::map<BlobId, uint64_t>{{one, 6'000}, {two, 7}, {three, 1}}));
    must(meta().forget_dead_members(one));
    must(raw_.apply(std::move(Mutation(dead_members_object(two)).set_keys({{"p?", "damaged"}}))));
    EXPECT_EQ(must(meta().dead_members()).size(), 2u);
}

}  // namespace
}  // namespace meshfs
