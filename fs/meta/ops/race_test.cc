// Two mounts at once, with threads of their own: what the peers' users lost.
#include <thread>

#include "fs/meta/ops/fixture.h"

namespace meshfs {
namespace {

constexpr int kRounds = 500;

class RaceTest : public MetaTest {
protected:
    RaceTest() : store_a_(cluster_), store_b_(cluster_) {
        a_ = must(Meta::open(store_a_, Clock::system(), {.host = "a", .hold = true}));
        b_ = must(Meta::open(store_b_, Clock::system(), {.host = "b", .hold = true}));
    }
    ~RaceTest() override {
        EXPECT_OK(a_->close());
        EXPECT_OK(b_->close());
    }
    // Both at once; their answers' codes.
    template <class F, class G>
    std::pair<int, int> both(F f, G g) {
        int first = 0, second = 0;
        std::thread other([&] { second = g(*b_).code(); });
        first = f(*a_).code();
        other.join();
        return {first, second};
    }
    // Every directory and file that can be reached from the root, each once.
    size_t count(Ino directory = kRootIno) {
        size_t found = 0;
        for (const auto& entry : must(a_->list({.directory = directory})).entries)
            found += 1 + (S_ISDIR(entry.type) ? count(entry.ino) : 0);
        return found;
    }

    MemoryStore store_a_, store_b_;
    std::unique_ptr<Meta> a_, b_;
};

// JuiceFS 4800, 5711, 3476: each moves a directory into the other's, and both are lost.
TEST_F(RaceTest, CrossingMovesOfDirectoriesLoseNeither) {
    for (int round = 0; round < kRounds; ++round) {
        Ino x = must(a_->mkdir(request(kRootIno, "x", S_IFDIR | 0755))).ino;
        Ino y = must(a_->mkdir(request(kRootIno, "y", S_IFDIR | 0755))).ino;
        auto [first, second] = both([&](Meta& m) { return m.rename({kRootIno, "x", y, "x"}); },
                                    [&](Meta& m) { return m.rename({kRootIno, "y", x, "y"}); });
        ASSERT_NE(first == 0, second == 0) << errno_name(first) << " " << errno_name(second);
        ASSERT_EQ(first == 0 ? second : first, EINVAL);
        ASSERT_EQ(count(), 2u);
        Ino outer = first == 0 ? y : x;
        must(b_->rmdir(outer, first == 0 ? "x" : "y"));
        must(a_->rmdir(kRootIno, first == 0 ? "y" : "x"));
    }
}

// JuiceFS 6597: what is created in a directory while it moves is there afterwards.
TEST_F(RaceTest, WhatIsCreatedInAMovingDirectoryIsInIt) {
    Ino d = must(a_->mkdir(request(kRootIno, "d", S_IFDIR | 0755))).ino;
    Ino e = must(a_->mkdir(request(kRootIno, "e", S_IFDIR | 0755))).ino;
    Ino m = must(a_->mkdir(request(d, "m", S_IFDIR | 0755))).ino;
    ASSERT_TRUE(a_->commit().ok());  // numbers are told from one to the other
    for (int round = 0; round < kRounds; ++round) {
        std::string name = std::to_string(round);
        Ino from = round % 2 == 0 ? d : e, to = round % 2 == 0 ? e : d;
        auto [moved, created] = both([&](Meta& meta) { return meta.rename({from, "m", to, "m"}); },
                                     [&](Meta& meta) { return meta.create(request(m, name, S_IFREG | 0644)); });
        ASSERT_EQ(moved, 0);
        ASSERT_EQ(created, 0);
        ASSERT_TRUE(b_->lookup(m, name).ok());
        ASSERT_EQ(must(b_->lookup(to, "m")).ino, m);
    }
    EXPECT_EQ(must(b_->get(m)).names, static_cast<uint64_t>(kRounds));
}

// A directory is removed, or has a new name in it: never both.
TEST_F(RaceTest, NothingIsCreatedInARemovedDirectory) {
    for (int round = 0; round < kRounds; ++round) {
        Ino d = must(a_->mkdir(request(kRootIno, "d", S_IFDIR | 0755))).ino;
        ASSERT_TRUE(a_->commit().ok());  // numbers are told from one to the other
        auto [removed, created] = both([&](Meta& m) { return m.rmdir(kRootIno, "d"); },
                                       [&](Meta& m) { return m.create(request(d, "f", S_IFREG | 0644)); });
        ASSERT_NE(removed == 0, created == 0) << errno_name(removed) << " " << errno_name(created);
        if (created != 0) continue;
        ASSERT_EQ(removed, ENOTEMPTY);
        must(b_->unlink(d, "f"));
        must(b_->rmdir(kRootIno, "d"));
    }
}

TEST_F(RaceTest, OneFileGetsOneOfTwoNames) {
    Ino d = must(a_->mkdir(request(kRootIno, "d", S_IFDIR | 0755))).ino;
    for (int round = 0; round < kRounds; ++round) {
        Ino f = must(a_->create(request(kRootIno, "f", S_IFREG | 0644))).ino;
        auto [first, second] = both([&](Meta& m) { return m.rename({kRootIno, "f", d, "g"}); },
                                    [&](Meta& m) { return m.rename({kRootIno, "f", kRootIno, "h"}); });
        ASSERT_NE(first == 0, second == 0) << errno_name(first) << " " << errno_name(second);
        ASSERT_EQ(must(b_->get(f)).links, 1u);
        ASSERT_EQ(count(), 2u);
        must(first == 0 ? b_->unlink(d, "g") : a_->unlink(kRootIno, "h"));
    }
}

}  // namespace
}  // namespace meshfs
