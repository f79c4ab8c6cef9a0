// Locks of two and three mounts.
#include <future>

#include "fs/meta/ops/fixture.h"

namespace meshfs {
namespace {

using Type = FileLock::Type;
using Family = FileLock::Family;
class LockTest : public MetaTest {
protected:
    LockTest() : other_(std::make_unique<TestMount>(cluster_)), file_(must(create("f")).ino) {}
    Meta& others() { return *other_->meta; }
    static FileLock range(uint64_t owner, Type type, uint64_t first, uint64_t last) {
        return {.type = type, .owner = owner, .pid = 4711, .first = first, .last = last};
    }
    static FileLock whole(uint64_t owner, Type type) {
        return {.family = Family::flock, .type = type, .owner = owner};
    }

    std::unique_ptr<TestMount> other_;
    const Ino file_;
};

TEST_F(LockTest, TwoMountsExcludeEachOther) {
    EXPECT_OK(meta().lock(file_, range(1, Type::write, 0, 9), nullptr));
    FileLock conflict;
    EXPECT_ERRNO(others().lock(file_, range(1, Type::read, 9, 20), &conflict), EAGAIN);
    EXPECT_EQ(conflict.session, meta().session());
    EXPECT_EQ(conflict.pid, 4711u);
    EXPECT_OK(others().lock(file_, range(1, Type::write, 10, 20), nullptr));
    EXPECT_EQ(must(meta().test_lock(file_, range(1, Type::read, 15, 15)))->session, others().session());
    EXPECT_FALSE(must(meta().test_lock(file_, range(1, Type::read, 21, 30))));
    EXPECT_OK(meta().unlock(file_, range(1, Type::write, 5, 9)));
    EXPECT_OK(others().lock(file_, range(1, Type::write, 5, 9), nullptr));
    EXPECT_ERRNO(others().lock(file_, range(1, Type::write, 4, 9), nullptr), EAGAIN);
    EXPECT_OK(meta().unlock_owner(file_, Family::posix, 1));
    EXPECT_OK(others().lock(file_, range(1, Type::write, 0, 100), nullptr));
}

TEST_F(LockTest, ReadersShareAndUpgradeOnlyAlone) {
    EXPECT_OK(meta().lock(file_, whole(1, Type::read), nullptr));
    EXPECT_OK(others().lock(file_, whole(1, Type::read), nullptr));
    EXPECT_ERRNO(meta().lock(file_, whole(1, Type::write), nullptr), EAGAIN);
    EXPECT_OK(others().unlock(file_, whole(1, Type::read)));
    EXPECT_OK(meta().lock(file_, whole(1, Type::write), nullptr));
    EXPECT_ERRNO(others().lock(file_, whole(2, Type::read), nullptr), EAGAIN);
    EXPECT_OK(others().lock(file_, range(2, Type::write, 0, 9), nullptr));  // flock and fcntl do not see each other
}

TEST_F(LockTest, RangesOfAnOwnerSplitAndMerge) {
    EXPECT_OK(meta().lock(file_, range(1, Type::write, 0, 99), nullptr));
    EXPECT_OK(meta().unlock(file_, range(1, Type::write, 40, 59)));
    EXPECT_FALSE(must(others().test_lock(file_, range(1, Type::write, 40, 59))));
    EXPECT_EQ(must(others().test_lock(file_, range(1, Type::write, 60, 60)))->first, 60u);
    EXPECT_OK(meta().lock(file_, range(1, Type::write, 40, 59), nullptr));
    FileLock held = *must(others().test_lock(file_, range(1, Type::write, 50, 50)));
    EXPECT_EQ(held.first, 0u);
    EXPECT_EQ(held.last, 99u);
}

TEST_F(LockTest, ALockEndsWithItsSession) {
    EXPECT_OK(others().lock(file_, whole(1, Type::write), nullptr));
    other_.reset();
    EXPECT_OK(meta().lock(file_, whole(1, Type::write), nullptr));
}

TEST_F(LockTest, ALockOfADeadMountDoesNotCount) {
    EXPECT_OK(others().lock(file_, whole(1, Type::write), nullptr));
    EXPECT_ERRNO(meta().lock(file_, whole(1, Type::write), nullptr), EAGAIN);
    mount_->clock.advance_ns(kLeaseNs);
    EXPECT_FALSE(must(meta().test_lock(file_, whole(1, Type::write))));
    EXPECT_OK(meta().lock(file_, whole(1, Type::write), nullptr));
    EXPECT_ERRNO(others().lock(file_, whole(1, Type::read), nullptr), ESHUTDOWN);
    other_->die();
}

// Frozen for long, it takes a lock as if nothing had been: but it has been judged.
TEST_F(LockTest, ADeadMountGetsNoLock) {
    EXPECT_EQ(must(mount_->session().look_at(others().session())), SessionState::alive);
    mount_->clock.advance_ns(kLeaseNs);
    EXPECT_EQ(must(mount_->session().look_at(others().session())), SessionState::dead);
    other_->clock.advance_ns(kLeaseNs);
    EXPECT_ERRNO(others().lock(file_, whole(1, Type::write), nullptr), ESHUTDOWN);
    EXPECT_OK(meta().lock(file_, whole(1, Type::write), nullptr));
    other_->die();
}

TEST_F(LockTest, AWaiterIsToldWhenALockIsLetGo) {
    EXPECT_OK(others().lock(file_, whole(1, Type::write), nullptr));
    std::promise<void> told;
    std::atomic<bool> is_told = false;
    meta().watch_locks(file_, [&] {
        if (!is_told.exchange(true)) told.set_value();
    });
    EXPECT_ERRNO(meta().lock(file_, whole(1, Type::write), nullptr), EAGAIN);
    EXPECT_OK(others().unlock(file_, whole(1, Type::write)));
    told.get_future().get();
    EXPECT_OK(meta().lock(file_, whole(1, Type::write), nullptr));
    meta().unwatch_locks();
}

TEST_F(LockTest, TheListIsBounded) {
    LocksRecord full{.session = others().session(), .number = 1};
    for (size_t i = 0; i < kLocksMax; ++i) {
        full.locks.push_back(range(1, Type::read, 2 * i, 2 * i));
        full.locks.back().session = others().session();
    }
    ASSERT_OK(raw_.apply(std::move(Mutation(locks_object(file_)).set_keys({{kLocksKey, encode(full)}}))));
    EXPECT_ERRNO(meta().lock(file_, range(1, Type::read, 0, 0), nullptr), ENOLCK);
    EXPECT_OK(others().unlock_owner(file_, Family::posix, 1));
    EXPECT_OK(meta().lock(file_, range(1, Type::read, 0, 0), nullptr));
}

// What was answered is true, whatever calls and replies are lost: never two writers, and what is let go is free.
TEST_F(LockTest, LostCallsAndRepliesNeverMakeTwoWriters) {
    for (uint64_t seed = 1; seed <= 10; ++seed) {
        FaultPlan plan{.seed = seed, .lost_call = 0.1, .lost_reply = 0.15, .late_effect = 0.1};
        mount_->faults->set_plan(plan);
        plan.seed += 100;
        other_->faults->set_plan(plan);
        std::vector<Meta*> mounts{&meta(), &others()};
        for (int i = 0; i < 100; ++i) {
            Meta& one = *mounts[i % 2];
            Meta& two = *mounts[(i + 1) % 2];
            auto locked = one.lock(file_, whole(1, Type::write), nullptr);
            if (locked.code() == ETIMEDOUT) {
                (void)one.unlock(file_, whole(1, Type::write));
                continue;
            }
            ASSERT_OK(locked);
            auto second = two.lock(file_, whole(1, Type::write), nullptr);
            ASSERT_TRUE(second.code() == EAGAIN || second.code() == ETIMEDOUT) << second.error().text();
            ASSERT_OK(one.unlock(file_, whole(1, Type::write)));
            if (second.code() == ETIMEDOUT) ASSERT_OK(two.unlock(file_, whole(1, Type::write)));
        }
    }
    for (auto* mount : {mount_.get(), other_.get()}) mount->faults->set_plan({});
}

TEST_F(LockTest, ADamagedListIsAnError) {
    ASSERT_OK(raw_.apply(std::move(Mutation(locks_object(file_)).set_keys({{kLocksKey, "garbage"}}))));
    EXPECT_ERRNO(meta().lock(file_, whole(1, Type::write), nullptr), EIO);
}

}  // namespace
}  // namespace meshfs
