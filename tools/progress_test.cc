#include "tools/progress.h"

#include <gtest/gtest.h>

namespace meshfs {
namespace {

TEST(Progress, TheBarFillsTheRoomThereIs) {
    EXPECT_EQ(bar_of({"files", 0, 10}, 34), "files: 0 of 10 [>               ]");
    EXPECT_EQ(bar_of({"files", 5, 10}, 34), "files: 5 of 10 [========>       ]");
    EXPECT_EQ(bar_of({"files", 10, 10}, 34), "files: 10 of 10 [===============]");
}

TEST(Progress, WithoutATotalOrRoomThereIsNoBar) {
    EXPECT_EQ(bar_of({"files", 5, 0}, 80), "files: 5");
    EXPECT_EQ(bar_of({"files", 5, 10}, 20), "files: 5 of 10");
    EXPECT_EQ(bar_of({"files", 5, 10}, 7), "files: ");
}

TEST(Progress, MoreThanAllIsAll) {
    EXPECT_EQ(bar_of({"files", 11, 10}, 34), "files: 11 of 10 [===============]");
}

}  // namespace
}  // namespace meshfs
