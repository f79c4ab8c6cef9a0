// Groups a mount has for itself: what operations that take them have of them, and what is owed of them.
#include <set>

#include "fs/meta/held_fixture.h"

namespace meshfs {
namespace {

// --- around operations that take X

TEST_F(HeldGroupsTest, WhatAnOperationHasIsReadFromItsCopyAndHeldAgain) {
    ASSERT_OK(change("n1", "a"));
    ASSERT_OK(held_.commit());
    EXPECT_EQ(answered("n1"), "a");
    const Lease before = stored_lease(), mine = exclusive_lease(mount_->session().id(), before.epoch + 1);
    ASSERT_OK(held_.apply(lease_change(kGroup, before, mine)));
    EXPECT_TRUE(held_.was_held(kGroup, mine));
    uint64_t made = calls();
    EXPECT_EQ(answered("n1"), "a");
    EXPECT_EQ(calls(), made);
    auto lent = held_.end_lending(kGroup);
    Lease kept = mine;
    ++kept.epoch, kept.flags = Lease::kept;
    set_lease(kGroup, kept);
    held_.hold_again(kGroup, lent, kept, std::move(Mutation(kGroup).set_keys({{"n2", "b"}})).effects());
    made = calls();
    EXPECT_EQ(answered("n1") + answered("n2"), "ab");
    EXPECT_EQ(calls(), made);
}

// The other step of its intent is slow.
TEST_F(HeldGroupsTest, WhatWasLetGoOfMeanwhileIsNotHeldAgain) {
    ASSERT_OK(change("n1", "a"));
    ASSERT_OK(held_.commit());
    const Lease before = stored_lease(), mine = exclusive_lease(mount_->session().id(), before.epoch + 1);
    ASSERT_OK(held_.apply(lease_change(kGroup, before, mine)));
    auto lent = held_.end_lending(kGroup);
    Lease kept = mine;
    ++kept.epoch, kept.flags = Lease::kept;
    set_lease(kGroup, kept);
    EXPECT_EQ(answered("n1"), "a");  // found to be ours
    ASSERT_TRUE(held_.recall({.object = kGroup.name}));
    held_.tend();
    ASSERT_TRUE(stored_lease().is_free());
    ASSERT_OK(raw_.apply(std::move(Mutation(kGroup).set_keys({{"n1", "another's"}}))));
    held_.hold_again(kGroup, lent, kept, {});
    EXPECT_EQ(answered("n1"), "another's");
}

// --- what is owed

class HeldDebtsTest : public HeldGroupsTest {
protected:
    HeldDebtsTest() {
        held_.on_due([this](GroupId group) {
            EXPECT_EQ(group_object(group), kGroup);
            EXPECT_TRUE(stored_lease().is_kept_by(core().session_id())) << "others read it already";
            EXPECT_FALSE(owe()) << "more would never end";
            EXPECT_OK(change("npaid", "x"));
            ++paid_;
            return true;
        });
        make_dirty();
    }
    ~HeldDebtsTest() override { held_.on_due(nullptr); }
    bool owe(GroupId group = GroupId{0x77}, bool may = true) {
        return held_.owe(group, [may](const Mirror&) { return may; });
    }
    int paid_ = 0;
};

TEST_F(HeldDebtsTest, ArePaidBeforeAnotherMountGetsTheGroup) {
    EXPECT_TRUE(owe());
    EXPECT_TRUE(held_.recall({.object = kGroup.name}));
    held_.tend();
    EXPECT_EQ(paid_, 1);
    EXPECT_EQ(stored("npaid"), "x");
    EXPECT_TRUE(stored_lease().is_free());
    EXPECT_FALSE(owe());
}

TEST_F(HeldDebtsTest, ArePaidBeforeAnOperationTakesTheGroup) {
    EXPECT_TRUE(owe());
    const Lease now = must(decode_lease(must(held_.ask(std::move(Query(kGroup).xattrs()))).xattrs[kLeaseXattr]));
    // The epoch has risen with what was paid: it has to look again, and then nothing is owed.
    EXPECT_ERRNO(held_.apply(lease_change(kGroup, now, free_lease(99))), ECANCELED);
    EXPECT_EQ(paid_, 1);
    EXPECT_TRUE(owe()) << "it is held still";
    EXPECT_EQ(stored("npaid"), "x");
}

// Or were stored in the usual way, which nobody tells.
TEST_F(HeldDebtsTest, OfAQuietGroupArePaidAndThenOthersMayReadIt) {
    ASSERT_OK(held_.commit());
    EXPECT_TRUE(owe());
    for (int tries = 0; stored_lease().flags == Lease::kept && tries < 1000; ++tries) {
        mount_->clock.advance_ns(kNsPerSecond);
        meta().tick();
        held_.tend();
    }
    EXPECT_EQ(paid_, 1);
    EXPECT_EQ(stored_lease().flags, Lease::kept | Lease::write_through);
    EXPECT_EQ(stored("npaid"), "x");
}

TEST_F(HeldDebtsTest, OfSeveralGroupsArePaidAtOnce) {
    ASSERT_OK(give_birth());
    Mutex mutex;
    CondVar met;
    std::set<GroupId> begun;  // guarded by the mutex
    held_.on_due([&](GroupId group) {
        MutexLock lock(mutex);
        begun.insert(group);
        met.notify_all();
        while (begun.size() < 2 && met.wait_until(mutex, Clock::system().boot_ns() + kLeaseNs / 2)) {
        }
        EXPECT_EQ(begun.size(), 2u) << "the others' payers are not there";
        return true;
    });
    const GroupId born{*parse_hex(std::string_view(kBorn.name).substr(2))};
    EXPECT_TRUE(owe());
    EXPECT_TRUE(owe(born));
    EXPECT_TRUE(held_.recall({.object = kGroup.name}));
    EXPECT_TRUE(held_.recall({.object = kBorn.name}));
    held_.tend();
    EXPECT_TRUE(stored_lease().is_free());
    EXPECT_TRUE(stored_lease(kBorn).is_free());
    held_.on_due(nullptr);
}

TEST_F(HeldDebtsTest, AreRefusedWhereOthersMayLookAnyTime) {
    EXPECT_FALSE(owe(GroupId{0x79})) << "not held";
    EXPECT_FALSE(owe(GroupId{0x77}, false));
    held_.set_synchronous(true);
    EXPECT_FALSE(owe());
    held_.set_synchronous(false);
    EXPECT_TRUE(owe());
    mount_->clock.advance_ns(kLeaseNs);
    EXPECT_FALSE(owe()) << "out of its window";
    held_.on_due(nullptr);
}

}  // namespace
}  // namespace meshfs
