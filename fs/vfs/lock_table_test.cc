#include "fs/vfs/lock_table.h"

#include <gtest/gtest.h>

#include "fs/vfs/lock_waits.h"
#include "fs/vfs/turn.h"

namespace meshfs {
namespace {

constexpr Ino kFile{77};

FileLock lock_of(uint64_t owner, FileLock::Type type, uint64_t first, uint64_t last,
                 FileLock::Family family = FileLock::Family::posix) {
    FileLock lock;
    lock.family = family;
    lock.type = type;
    lock.owner = owner;
    lock.first = first;
    lock.last = last;
    return lock;
}
constexpr auto kRead = FileLock::Type::read;
constexpr auto kWrite = FileLock::Type::write;

TEST(LockTable, ReadersShareAndWritersExclude) {
    LockTable table;
    FileLock conflict;
    EXPECT_TRUE(table.lock(kFile, lock_of(1, kRead, 0, 9), nullptr).ok());
    EXPECT_TRUE(table.lock(kFile, lock_of(2, kRead, 5, 20), nullptr).ok());
    EXPECT_EQ(table.lock(kFile, lock_of(3, kWrite, 9, 9), &conflict).code(), EAGAIN);
    EXPECT_EQ(conflict.owner, 1u);
    EXPECT_TRUE(table.lock(kFile, lock_of(3, kWrite, 21, 30), nullptr).ok());
    EXPECT_TRUE(table.lock(Ino{78}, lock_of(3, kWrite, 0, 30), nullptr).ok());
}

TEST(LockTable, UnlockingTheMiddleLeavesBothEnds) {
    LockTable table;
    EXPECT_TRUE(table.lock(kFile, lock_of(1, kWrite, 0, 99), nullptr).ok());
    table.unlock(kFile, lock_of(1, kWrite, 40, 59));
    EXPECT_FALSE(table.test(kFile, lock_of(2, kWrite, 40, 59)));
    EXPECT_TRUE(table.test(kFile, lock_of(2, kRead, 39, 40)));
    EXPECT_TRUE(table.test(kFile, lock_of(2, kRead, 60, 60)));
}

TEST(LockTable, AnOwnerChangesItsOwnLock) {
    LockTable table;
    EXPECT_TRUE(table.lock(kFile, lock_of(1, kWrite, 0, 99), nullptr).ok());
    EXPECT_TRUE(table.lock(kFile, lock_of(1, kRead, 10, 19), nullptr).ok());
    EXPECT_TRUE(table.lock(kFile, lock_of(2, kRead, 10, 19), nullptr).ok());
    EXPECT_EQ(table.lock(kFile, lock_of(1, kWrite, 15, 15), nullptr).code(), EAGAIN);
}

TEST(LockTable, FlockAndFcntlDoNotSeeEachOther) {
    LockTable table;
    EXPECT_TRUE(table.lock(kFile, lock_of(1, kWrite, 0, 99), nullptr).ok());
    EXPECT_TRUE(table.lock(kFile, lock_of(2, kWrite, 0, 99, FileLock::Family::flock), nullptr).ok());
    table.unlock_owner(kFile, FileLock::Family::posix, 1);
    EXPECT_FALSE(table.test(kFile, lock_of(3, kWrite, 0, 99)));
    EXPECT_TRUE(table.test(kFile, lock_of(3, kWrite, 0, 99, FileLock::Family::flock)));
}

class LockWaitsTest : public testing::Test {
protected:
    ~LockWaitsTest() override {
        waits_.stop();
        workers_.stop();
    }
    LockTable table_;
    Executor workers_{"test", 2, 64};
    LockWaits waits_{workers_,
                     [this](Ino ino, const FileLock& lock, FileLock* conflict) { return table_.lock(ino, lock, conflict); },
                     nullptr};
};

TEST_F(LockWaitsTest, WaitsUntilTheHolderLetsGo) {
    ASSERT_TRUE(table_.lock(kFile, lock_of(1, kWrite, 0, 9), nullptr).ok());
    Awaited<void> done;
    waits_.wait(5, kFile, lock_of(2, kWrite, 0, 9), done.then());
    table_.unlock_owner(kFile, FileLock::Family::posix, 1);
    waits_.try_again(kFile);
    EXPECT_TRUE(done.wait().ok());
    EXPECT_TRUE(table_.test(kFile, lock_of(1, kWrite, 0, 9)));
}

TEST_F(LockWaitsTest, CancellingEndsTheWait) {
    ASSERT_TRUE(table_.lock(kFile, lock_of(1, kWrite, 0, 9), nullptr).ok());
    Awaited<void> done;
    waits_.wait(5, kFile, lock_of(2, kWrite, 0, 9), done.then());
    waits_.cancel(5);
    EXPECT_EQ(done.wait().code(), EINTR);
}

TEST_F(LockWaitsTest, TwoWhoWouldWaitForEachOtherAreToldSo) {
    ASSERT_TRUE(table_.lock(kFile, lock_of(1, kWrite, 0, 9), nullptr).ok());
    ASSERT_TRUE(table_.lock(kFile, lock_of(2, kWrite, 10, 19), nullptr).ok());
    Mutex mutex;
    CondVar changed;
    int deadlocks = 0, granted = 0;
    // Whoever is looked at last closes the circle and gives up what it has: that frees the other one.
    auto then = [&](uint64_t owner) {
        return [&, owner](Status done) {
            if (done.code() == EDEADLK) {
                table_.unlock_owner(kFile, FileLock::Family::posix, owner);
                waits_.try_again(kFile);
            }
            MutexLock lock(mutex);
            (done.code() == EDEADLK ? deadlocks : granted) += 1;
            changed.notify_all();
        };
    };
    waits_.wait(1, kFile, lock_of(1, kWrite, 10, 19), then(1));
    waits_.wait(2, kFile, lock_of(2, kWrite, 0, 9), then(2));
    MutexLock lock(mutex);
    while (deadlocks + granted < 2) changed.wait(mutex);
    EXPECT_EQ(deadlocks, 1);
    EXPECT_EQ(granted, 1);
}

}  // namespace
}  // namespace meshfs
