// The judge itself: it accepts what can be, and nothing else.
#include <gtest/gtest.h>

#include "test/sim/history.h"

namespace meshfs::sim {
namespace {

using Kind = Operation::Kind;

class Judge : public testing::Test {
protected:
    Operation& add(Kind kind, const std::string& name, int code, uint64_t asked, uint64_t answered) {
        Operation op;
        op.kind = kind;
        op.directory = op.to_directory = kRootIno;
        op.name = name;
        op.code = code;
        op.asked = asked;
        op.answered = answered;
        history_.push_back(op);
        return history_.back();
    }
    Operation& create(const std::string& name, uint64_t ino, uint64_t asked, uint64_t answered) {
        auto& op = add(Kind::create, name, 0, asked, answered);
        op.seen = {.ino = Ino{ino}, .links = 1};
        return op;
    }
    Operation& lookup(const std::string& name, uint64_t ino, uint64_t asked, uint64_t answered) {
        auto& op = add(Kind::lookup, name, ino == 0 ? ENOENT : 0, asked, answered);
        if (ino != 0) op.seen = {.ino = Ino{ino}, .links = 1};
        return op;
    }
    bool is_right() { return judge(history_).kind == Judgement::Kind::right; }
    std::vector<Operation> history_;
};

TEST_F(Judge, WhatWasAcknowledgedIsSeen) {
    create("a", 17, 1, 2);
    lookup("a", 17, 3, 4);
    EXPECT_TRUE(is_right());
    lookup("a", 0, 5, 6);
    EXPECT_FALSE(is_right());
}

TEST_F(Judge, WhatOverlapsMayComeInEitherOrder) {
    create("a", 17, 1, 9);
    lookup("a", 0, 2, 3);
    EXPECT_TRUE(is_right());
    lookup("a", 17, 4, 5);
    EXPECT_TRUE(is_right());
    lookup("a", 0, 6, 7);  // unseen what was seen
    EXPECT_FALSE(is_right());
}

TEST_F(Judge, TheUncertainHappensOnceOrNever) {
    create("a", 0, 1, 2).is_uncertain = true;
    lookup("a", 0, 3, 4);
    EXPECT_TRUE(is_right());
    lookup("a", 17, 5, 6);  // late
    EXPECT_TRUE(is_right());
    auto& unlink = add(Kind::unlink, "a", 0, 7, 8);
    unlink.seen = {.ino = Ino{17}};
    EXPECT_TRUE(is_right());
    lookup("a", 17, 9, 10);  // twice
    EXPECT_FALSE(is_right());
}

TEST_F(Judge, TwoCannotCreateOneName) {
    create("a", 17, 1, 4);
    create("a", 18, 2, 3);
    EXPECT_FALSE(is_right());
}

TEST_F(Judge, NoNumberIsGivenTwice) {
    create("a", 17, 1, 2);
    create("b", 17, 3, 4);
    EXPECT_FALSE(is_right());
}

TEST_F(Judge, ARenameShowsOneOfBothNames) {
    create("a", 17, 1, 2);
    auto& rename = add(Kind::rename, "a", 0, 3, 10);
    rename.to_name = "b";
    lookup("a", 0, 4, 5);
    auto before = history_;
    lookup("b", 0, 6, 7);  // neither
    EXPECT_FALSE(is_right());
    history_ = before;
    lookup("b", 17, 6, 7);
    EXPECT_TRUE(is_right());
}

// The mount that made it died before anything of it was written.
TEST_F(Judge, ALostFileGetsNoNameWhereOneIs) {
    create("a", 17, 1, 2);
    add(Kind::link, "a", EEXIST, 3, 4).ino = Ino{99};
    add(Kind::link, "b", ENOENT, 5, 6).ino = Ino{99};
    EXPECT_TRUE(is_right());
    add(Kind::link, "b", EEXIST, 7, 8).ino = Ino{99};
    EXPECT_FALSE(is_right());
}

TEST_F(Judge, DirectoriesDoNotMoveIntoEachOther) {
    for (uint64_t i : {1, 2}) {
        auto& mkdir = add(Kind::mkdir, i == 1 ? "a" : "b", 0, i * 10, i * 10 + 1);
        mkdir.seen = {.ino = Ino{i << 24}, .is_directory = true};
    }
    for (uint64_t i : {1, 2}) {
        auto& rename = add(Kind::rename, i == 1 ? "a" : "b", 0, 30, 40);
        rename.to_directory = Ino{(3 - i) << 24};
        rename.to_name = "x";
    }
    EXPECT_FALSE(is_right());
    history_.back().code = ENOENT;  // from the name that is gone
    EXPECT_FALSE(is_right());       // b is still there: only EINVAL is right
    history_.back().code = EINVAL;
    EXPECT_TRUE(is_right());
}

}  // namespace
}  // namespace meshfs::sim
