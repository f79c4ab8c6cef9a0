#include "fs/meta/look_ahead.h"

#include <gtest/gtest.h>

#include <set>

namespace meshfs {
namespace {

class LookAheadTest : public testing::Test {
protected:
    // Directories `first` .. `last`.
    static std::vector<Ino> some(uint64_t first, uint64_t last) {
        std::vector<Ino> all;
        for (uint64_t i = first; i <= last; ++i) all.push_back(Ino{i});
        return all;
    }
    // What was read, once so many were.
    std::set<Ino> read(size_t count) {
        MutexLock lock(mutex_);
        while (read_.size() < count) came_.wait(mutex_);
        return read_;
    }

    Mutex mutex_;
    CondVar came_;
    std::set<Ino> read_;
    LookAhead ahead_{[this](Ino directory) {
        MutexLock lock(mutex_);
        read_.insert(directory);
        came_.notify_all();
    }};
};

TEST_F(LookAheadTest, WhoListsOneDirectoryIsNotTakenForAWalk) {
    ahead_.opened(Ino{1});
    ahead_.listed(Ino{1}, some(10, 99));
    ahead_.stop();
    EXPECT_TRUE(read(0).empty());
}

TEST_F(LookAheadTest, BrothersOfTheOneThatIsOpenedComeFirstEverMoreOfThem) {
    ahead_.listed(Ino{1}, some(10, 99));
    ahead_.opened(Ino{10});
    auto four = some(11, 14), twelve = some(11, 19);
    EXPECT_EQ(read(4), std::set<Ino>(four.begin(), four.end()));
    ahead_.opened(Ino{11});
    EXPECT_EQ(read(9), std::set<Ino>(twelve.begin(), twelve.end()));  // 8 that were not opened
    ahead_.stop();
}

TEST_F(LookAheadTest, WhatIsInOneOfThemIsReadOnceItIsListed) {
    ahead_.listed(Ino{1}, some(10, 11));
    ahead_.opened(Ino{10});
    ahead_.listed(Ino{10}, some(100, 101));
    EXPECT_EQ(read(3), (std::set<Ino>{Ino{11}, Ino{100}, Ino{101}}));
    ahead_.stop();
}

TEST_F(LookAheadTest, NothingIsReadAfterTheEnd) {
    ahead_.listed(Ino{1}, some(10, 99));
    ahead_.stop();
    ahead_.opened(Ino{10});
    EXPECT_TRUE(read(0).empty());
}

}  // namespace
}  // namespace meshfs
