#include "fs/data/extents.h"

#include <gtest/gtest.h>

#include <array>

#include "fs/data/layout.h"
#include "fs/data/pack.h"

namespace meshfs {
namespace {

Extent own(uint64_t offset, uint64_t length, uint64_t blob) {
    return {.offset = offset, .length = length, .blob_offset = offset, .blob = BlobId{blob}};
}

TEST(Layout, CutsARangeAtObjects) {
    auto pieces = pieces_of({}, {4194300, 10});
    ASSERT_EQ(pieces.size(), 2u);
    EXPECT_EQ(pieces[0].range, (ByteRange{4194300, 4}));
    EXPECT_EQ(pieces[1].object, 1u);
    EXPECT_EQ(pieces[1].range.length, 6u);
    EXPECT_TRUE(pieces_of({}, {5, 0}).empty());
    EXPECT_EQ(pieces_of({}, {kFileSizeMax - 1, 1}).size(), 1u);
}

TEST(Layout, RefusesWhatNobodyWrites) {
    EXPECT_EQ(check_layout({.object_bytes = 0}).code(), EIO);
    EXPECT_EQ(check_layout({.object_bytes = 3u << 20}).code(), EIO);
    EXPECT_EQ(check_layout({.object_bytes = 1u << 31}).code(), EIO);
    EXPECT_TRUE(check_layout({}).ok());
}

TEST(Extents, MapsHolesAndExtentsInOrder) {
    Extents list{own(10, 10, 1), own(30, 10, 2)};
    auto parts = map_range(list, {0, 50});
    ASSERT_EQ(parts.size(), 5u);
    EXPECT_FALSE(parts[0].extent);
    EXPECT_EQ(parts[1].extent->blob, BlobId{1});
    EXPECT_EQ(parts[2].range, (ByteRange{20, 10}));
    EXPECT_EQ(parts[4].range, (ByteRange{40, 10}));
    EXPECT_EQ(map_range(list, {12, 3}).size(), 1u);
}

TEST(Extents, ACutClosesWhatItLeaves) {
    Extents list{own(0, 100, 1), own(100, 100, 2)};
    auto gone = cut_extents(list, 50, 1 << 16);
    ASSERT_EQ(list.size(), 1u);
    EXPECT_EQ(list[0].length, 50u);
    EXPECT_TRUE(list[0].flags & Extent::closed);
    ASSERT_EQ(gone.size(), 2u);
    EXPECT_EQ(gone[0].offset, 50u);
    EXPECT_EQ(gone[0].blob_offset, 50u);
    EXPECT_TRUE(gone[0].flags & Extent::tail);
    EXPECT_FALSE(gone[1].flags & Extent::tail);
    // A blob's object can hold bytes of two extents with another blob's between them.
    list = {own(0, 10, 3), own(10, 10, 1), own(20, 10, 3)};
    gone = cut_extents(list, 15, 1 << 16);
    ASSERT_EQ(gone.size(), 2u);
    EXPECT_TRUE(gone[1].flags & Extent::tail);
}

TEST(Extents, ABlobOfWhichAPartIsCutIsClosedAllOver) {
    Extents list{own(0, 10, 1), own(20, 10, 1)};
    ASSERT_EQ(cut_extents(list, 15, 1 << 16).size(), 1u);
    EXPECT_EQ(open_end(list), BlobId{});  // else bytes written there again would go with those that are cut
    EXPECT_EQ(open_end({own(0, 10, 1)}), BlobId{1});
}

TEST(Extents, NeighboursOfOneBlobBecomeOne) {
    Extents list{own(0, 10, 1), own(50, 10, 1)};
    add_own(list, {20, 10}, BlobId{1});
    EXPECT_EQ(list.size(), 3u);
    add_own(list, {30, 20}, BlobId{1});
    add_own(list, {10, 10}, BlobId{1});
    ASSERT_EQ(list.size(), 1u);
    EXPECT_EQ(list[0].end(), 60u);
    add_own(list, {60, 5}, BlobId{2});
    EXPECT_EQ(list.size(), 2u);
}

TEST(Extents, HolesOfABlobJoinItUnlessSomethingIsOnItsWayThere) {
    Extents list{own(0, 10, 1), own(20, 10, 2), own(40, 10, 2), own(60, 10, 2), own(80, 10, 1), own(95, 5, 1)};
    Extents joined = list;
    join_over_holes(joined, BlobId{2}, {{51, 5}}, 1 << 16);
    EXPECT_EQ(joined, (Extents{own(0, 10, 1), own(20, 30, 2), own(60, 10, 2), own(80, 10, 1), own(95, 5, 1)}));
    join_over_holes(list, BlobId{2}, {{5, 3}, {70, 9}, {200, 1}}, 1 << 16);
    EXPECT_EQ(list, (Extents{own(0, 10, 1), own(20, 50, 2), own(80, 10, 1), own(95, 5, 1)}));
}

TEST(Extents, ListsEndAtASize) {
    Extents list{own(0, 10, 1), own(20, 10, 2)};
    EXPECT_EQ(extents_below(list, 30), list);
    EXPECT_EQ(extents_below(list, 25), (Extents{own(0, 10, 1), own(20, 5, 2)}));
    EXPECT_EQ(extents_below(list, 20), (Extents{own(0, 10, 1)}));
    EXPECT_TRUE(extents_below(list, 0).empty());
}

TEST(Extents, DamagedListsAreNotValid) {
    EXPECT_TRUE(are_valid({own(0, 10, 1), own(10, 10, 1)}));
    EXPECT_FALSE(are_valid({own(0, 10, 1), own(9, 10, 1)}));
    EXPECT_FALSE(are_valid({own(0, 0, 1)}));
    EXPECT_FALSE(are_valid({own(kFileSizeMax, 2, 1)}));
    Extent packed = own(0, 10, 1);
    packed.kind = Extent::Kind::packed;
    EXPECT_FALSE(are_valid({packed}));
    packed.flags = Extent::closed;
    EXPECT_TRUE(are_valid({packed, own(10, 5, 2)}));
    for (auto [offset, blob_offset, length] : {std::array<uint64_t, 3>{1, 0, 10}, {0, kPackMax - 9, 10}, {0, 0, kPackedMax + 1}}) {
        Extent wrong = packed;
        wrong.offset = offset, wrong.blob_offset = blob_offset, wrong.length = length;
        EXPECT_FALSE(are_valid({wrong}));
    }
}

}  // namespace
}  // namespace meshfs
