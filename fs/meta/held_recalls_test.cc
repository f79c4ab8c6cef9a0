// Groups that several mounts want: who has them for how long, who gets them next, and what readers are told.
#include <thread>

#include "fs/meta/group.h"
#include "fs/meta/held_fixture.h"
#include "fs/meta/recall_message.h"

namespace meshfs {
namespace {

constexpr SessionId kAsking{12345}, kAskingToo{12346};
constexpr int64_t kOneSliceNs = 50 * kNsPerMs, kSomeIdleNs = 5 * kNsPerMs;

class RecallsTest : public HeldGroupsTest {
protected:
    // Much was done in this tenure.
    void work() {
        ASSERT_OK(change("n1", "taken"));
        for (int i = 0; i < 20; ++i) ASSERT_OK(change("n2", std::to_string(i)));
        ASSERT_TRUE(stored_lease().is_kept_by(core().session_id()));
    }
    void ask(SessionId asker, uint64_t epoch, bool is_to_read = false) {
        (void)held_.recall({.object = kGroup.name, .asker = asker, .epoch = epoch, .is_to_read = is_to_read,
                            .answer = [this](const Buffer& reply) {
                                answers_.push_back(must(decode_recall_answer(reply.view())));
                            }});
    }
    bool is_own() { return stored_lease().is_kept_by(core().session_id()); }
    void tend_after(int64_t ns) {
        mount_->clock.advance_ns(ns);
        held_.tend();
    }
    std::vector<uint64_t> answers_;
};

TEST_F(RecallsTest, WhoIsBusyKeepsAGroupForASliceAndGivesItToWhoAskedFirst) {
    work();
    ask(kAsking, 2);
    ask(kAskingToo, 2);
    for (int64_t ns = kSomeIdleNs; ns < kOneSliceNs; ns += kSomeIdleNs - 1) {
        mount_->clock.advance_ns(kSomeIdleNs - 1);
        EXPECT_EQ(answered("n2"), "19");
        held_.tend();
        ASSERT_TRUE(is_own()) << ns;
        ASSERT_TRUE(answers_.empty());
    }
    mount_->clock.advance_ns(kSomeIdleNs - 1);
    EXPECT_EQ(answered("n2"), "19");
    tend_after(kSomeIdleNs - 1);
    EXPECT_TRUE(stored_lease().is_kept_by(kAsking));
    EXPECT_EQ(stored("n2"), "19");
    EXPECT_EQ(answers_, (std::vector<uint64_t>{0, 0}));  // both look again
    EXPECT_EQ(held_.usage().contended.at(0).group, kGroup.name);
}

TEST_F(RecallsTest, WhoIsIdleGivesAGroupAtOnce) {
    work();
    ask(kAsking, 2);
    tend_after(kSomeIdleNs - 1);
    EXPECT_TRUE(is_own());
    tend_after(1);
    EXPECT_TRUE(stored_lease().is_kept_by(kAsking));
}

TEST_F(RecallsTest, WhoDidLittleLeavesAGroupFreeUntilThereIsMuchToDo) {
    ASSERT_OK(change("n1", "taken"));
    ask(kAsking, 2);
    tend_after(kSomeIdleNs);
    ASSERT_TRUE(stored_lease().is_free());
    for (int i = 1; i < 16; ++i) {
        ASSERT_OK(change("n1", std::to_string(i)));
        ASSERT_TRUE(stored_lease().is_free());
    }
    ASSERT_OK(change("n1", "16"));
    EXPECT_TRUE(is_own());
}

TEST_F(RecallsTest, WhatIsDoneSlowlyLeavesAGroupFree) {
    for (int64_t pause : {kNsPerSecond, 2 * kNsPerSecond, 4 * kNsPerSecond}) {
        ASSERT_OK(change("n1", "taken"));
        ASSERT_TRUE(is_own());
        ask(kAsking, stored_lease().epoch);
        tend_after(kSomeIdleNs);
        constexpr int64_t kBetweenNs = 100 * kNsPerMs;
        for (int64_t ns = kBetweenNs; ns < pause; ns += kBetweenNs) {
            beat_after(kBetweenNs);
            ASSERT_OK(change("n1", std::to_string(ns)));
            ASSERT_TRUE(stored_lease().is_free()) << ns;
        }
        beat_after(kBetweenNs);
    }
}

TEST_F(RecallsTest, WhatManyWantStaysFree) {
    work();
    for (uint32_t i = 0; i < 4; ++i) ask(SessionId{1000 + i}, 2);
    tend_after(kSomeIdleNs);
    ASSERT_TRUE(stored_lease().is_free());
    for (int i = 0; i < 40; ++i) ASSERT_OK(change("n1", std::to_string(i)));
    EXPECT_TRUE(stored_lease().is_free());
}

TEST_F(RecallsTest, WhatWasAskedOfAnEarlierTenureTakesNothingAway) {
    work();
    ask(kAsking, 1);
    tend_after(kOneSliceNs);
    EXPECT_TRUE(is_own());
    EXPECT_EQ(answers_, std::vector<uint64_t>{0});
}

TEST_F(RecallsTest, WhoOnlyReadsHasItWrittenAndTakesNothingAway) {
    make_dirty();
    ask(kAsking, 2, true);
    held_.tend();
    EXPECT_EQ(stored("n2"), "batched");
    EXPECT_TRUE(is_own());
    EXPECT_EQ(answers_, std::vector<uint64_t>{stored_lease().epoch});
    sent_.clear();
    ASSERT_OK(change("n2", "again"));
    EXPECT_TRUE(sent_.empty());
}

TEST_F(RecallsTest, WhatCouldNotBeWrittenIsNotSaidToBe) {
    make_dirty();
    mount_->faults->set_plan({.error = 1, .error_code = ENOSPC});
    ask(kAsking, 2, true);
    held_.tend();
    mount_->faults->set_plan({});
    EXPECT_TRUE(answers_.empty());
    EXPECT_EQ(answered("n2"), "batched");
}

TEST_F(RecallsTest, WhatWasGivenIsRaisedBeforeItIsUsed) {
    set_lease(kGroup, {.kind = Lease::Kind::exclusive, .session = core().session_id(), .epoch = 5, .flags = Lease::kept});
    ASSERT_OK(change("n1", "a"));
    EXPECT_EQ(stored_lease().epoch, 6u);
    EXPECT_EQ(stored("n1"), "-");
}

TEST_F(RecallsTest, WhatWasGivenAndIsNotWantedAnyMoreGoesOn) {
    set_lease(kGroup, {.kind = Lease::Kind::exclusive, .session = core().session_id(), .epoch = 5, .flags = Lease::kept});
    ask(kAsking, 5);
    held_.tend();
    EXPECT_EQ(stored_lease().epoch, 6u);
    ask(kAsking, 6);
    tend_after(kSomeIdleNs);
    EXPECT_TRUE(stored_lease().is_free());
}

// The other answers when it is asked the second time: what is read before that does not count.
TEST_F(RecallsTest, AReaderReadsWhatItsHolderSaysToBeWritten) {
    TestMount other(cluster_);
    const ObjectName root = group_object(kRootGroup);
    Lease lease = exclusive_lease(other.session().id(), 70);
    lease.flags = Lease::kept;
    set_lease(root, lease);
    std::atomic<bool> is_asked = false;
    other.session().on_recall([&](const Recall& recall) {
        if (recall.object == root.name && recall.is_to_read) is_asked = true, recall.answer(encode_recall_answer(71));
    });
    mount_->hooks->before_query = [&](const Query& query) {
        if (query.object() != root) return;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));  // messages come on another thread
        if (!is_asked || lease.epoch != 70) return;
        lease.epoch = 71;
        set_lease(root, lease);
    };
    auto view = read_group(core(), root, {});
    mount_->hooks->before_query = nullptr;
    ASSERT_OK(view);
    EXPECT_EQ(view->lease, lease);
    set_lease(root, free_lease(100));
}

TEST(RecallMessage, IsUnderstoodByWhoKnowsNamesAlone) {
    Recall recall{.object = "g.77"};
    EXPECT_EQ(encode_recall_message(recall), "g.77");
    recall.asker = kAsking;
    recall.epoch = 9;
    recall.is_to_read = true;
    const std::string message = encode_recall_message(recall);
    Recall told = decode_recall_message(message);
    EXPECT_EQ(told.object, "g.77");
    EXPECT_EQ(told.asker, kAsking);
    EXPECT_EQ(told.epoch, 9u);
    EXPECT_TRUE(told.is_to_read);
    told = decode_recall_message(message.substr(0, message.size() - 1));
    EXPECT_EQ(told.object, "g.77");
    EXPECT_EQ(told.asker, kNobody);
    EXPECT_ERRNO(decode_recall_answer(""), EIO);
    EXPECT_EQ(must(decode_recall_answer(encode_recall_answer(8).view())), 8u);
}

}  // namespace
}  // namespace meshfs
