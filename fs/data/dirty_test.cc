#include "fs/data/dirty.h"

#include <gtest/gtest.h>

namespace meshfs {
namespace {

std::string text(const Dirty& dirty, ByteRange range) {
    std::string out(range.length, '.');
    for (const auto& part : dirty.parts_in(range))
        out.replace(part.offset - range.offset, part.bytes.size(), part.bytes.view());
    return out;
}

TEST(Dirty, NewestWins) {
    Dirty dirty;
    dirty.put(0, Buffer::copy_of("aaaaaaaaaa"));
    dirty.put(3, Buffer::copy_of("bbb"));
    EXPECT_EQ(text(dirty, {0, 12}), "aaabbbaaaa..");
    EXPECT_EQ(dirty.bytes(), 10u);
    dirty.put(5, Buffer::copy_of("ccccccccc"));
    EXPECT_EQ(text(dirty, {0, 15}), "aaabbccccccccc.");
    EXPECT_EQ(dirty.bytes(), 14u);
    EXPECT_EQ(dirty.end(), 14u);
}

TEST(Dirty, DropCutsPieces) {
    Dirty dirty;
    dirty.put(0, Buffer::copy_of("0123456789"));
    dirty.drop({4, 2});
    EXPECT_EQ(text(dirty, {0, 10}), "0123..6789");
    dirty.drop({8, UINT64_MAX - 8});
    EXPECT_EQ(text(dirty, {0, 10}), "0123..67..");
    EXPECT_EQ(dirty.bytes(), 6u);
}

TEST(Dirty, KnowsWhatItHoldsThroughout) {
    Dirty dirty;
    dirty.put(0, Buffer::copy_of("0123"));
    dirty.put(4, Buffer::copy_of("45"));
    dirty.put(8, Buffer::copy_of("89"));
    EXPECT_TRUE(dirty.covers({0, 6}));
    EXPECT_TRUE(dirty.covers({3, 2}));
    EXPECT_TRUE(dirty.covers({100, 0}));
    EXPECT_FALSE(dirty.covers({0, 7}));
    EXPECT_FALSE(dirty.covers({3, 6}));
    EXPECT_FALSE(dirty.covers({6, 2}));
    EXPECT_FALSE(dirty.covers({10, 1}));
    EXPECT_TRUE(dirty.has_any({5, 1}));
    EXPECT_TRUE(dirty.has_any({6, 3}));
    EXPECT_FALSE(dirty.has_any({6, 2}));
    EXPECT_FALSE(dirty.has_any({10, 5}));
    EXPECT_EQ(dirty.runs(), (std::vector<ByteRange>{{0, 6}, {8, 2}}));
    EXPECT_EQ(dirty.take({3, 6}).size(), 3u);
    EXPECT_EQ(text(dirty, {0, 10}), "012......9");
    EXPECT_EQ(dirty.bytes(), 4u);
}

TEST(Dirty, OlderBytesComeBackBelow) {
    Dirty newer, older;
    newer.put(2, Buffer::copy_of("NN"));
    older.put(0, Buffer::copy_of("oooooo"));
    newer.put_below(older);
    EXPECT_EQ(text(newer, {0, 6}), "ooNNoo");
}

}  // namespace
}  // namespace meshfs
