#include <gtest/gtest.h>

#include <set>

#include "fs/meta/format.h"
#include "fs/meta/format_volume.h"
#include "fs/meta/ops/fixture.h"

namespace meshfs {
namespace {

TEST(Volume, IsMadeOnce) {
    MemoryStore store;
    ManualClock clock;
    EXPECT_ERRNO(read_volume(store), ENOENT);
    ASSERT_OK(format_volume(store, clock, {.lease_seconds = 5, .data_pool = "data"}));
    VolumeInfo volume = must(read_volume(store));
    EXPECT_EQ(volume.lease_seconds, 5);
    EXPECT_EQ(volume.data_pool, "data");
    EXPECT_EQ(volume.uuid.size(), 36u);
    EXPECT_ERRNO(format_volume(store, clock, {}), EEXIST);
    store.stop();
}

TEST(Volume, ForceRemovesWhatMeshFSNamesAndKeepsTheCounters) {
    MemoryStore store;
    ManualClock clock;
    ASSERT_OK(format_volume(store, clock, {}));
    auto numbers = must(Numbers::take(store, clock));
    for (const char* name : {"g.1", "h.ff", "i.1.0", "foreign", "g.xyz"})
        ASSERT_OK(store.apply(std::move(Mutation({kMetaPool, name}).create())));
    ASSERT_OK(format_volume(store, clock, {.force = true}));
    std::vector<std::string> left;
    ASSERT_OK(store.list(kMetaPool, [&](const std::string& name) -> Status { return left.push_back(name), Status(); }));
    for (const char* name : {"foreign", "g.xyz", "g.0", "volume"})
        EXPECT_NE(std::find(left.begin(), left.end(), name), left.end()) << name;
    for (const char* name : {"g.1", "h.ff", "i.1.0"})
        EXPECT_EQ(std::find(left.begin(), left.end(), name), left.end()) << name;
    auto next = must(Numbers::take(store, clock));
    EXPECT_GT(next->session(), numbers->session());
    EXPECT_GE(next->block().first, numbers->block().end);
    store.stop();
}

TEST(Volume, AnInterruptedFormatIsDoneAgain) {
    MemoryStore store;
    ManualClock clock;
    VolumeRecord making{.format_version = kFormatVersion, .uuid = "x", .lease_seconds = 30};
    ASSERT_OK(store.apply(std::move(Mutation(volume_object()).create().set_xattr(kVolumeXattr, encode(making))
                                        .set_xattr(kNumbersXattr, encode(NumbersRecord{})))));
    EXPECT_ERRNO(read_volume(store), ENOENT);
    ASSERT_OK(format_volume(store, clock, {}));
    EXPECT_OK(read_volume(store));
    store.stop();
}

TEST(Volume, OfANewerMeshFSIsRefused) {
    MemoryStore store;
    ManualClock clock;
    VolumeRecord newer{.state = VolumeRecord::State::ready, .format_version = 99, .lease_seconds = 30};
    ASSERT_OK(store.apply(std::move(Mutation(volume_object()).create().set_xattr(kVolumeXattr, encode(newer)))));
    EXPECT_ERRNO(read_volume(store), EPROTONOSUPPORT);
    EXPECT_ERRNO(format_volume(store, clock, {.force = true}), EPROTONOSUPPORT);
    store.stop();
}

TEST(Volume, NumbersAreGivenOnce) {
    MemoryStore store;
    ManualClock clock;
    ASSERT_OK(format_volume(store, clock, {}));
    auto a = must(Numbers::take(store, clock)), b = must(Numbers::take(store, clock));
    EXPECT_NE(a->session(), b->session());
    std::set<GroupId> seen;
    for (int i = 0; i < 5000; ++i) {  // past the first block of 4,096
        EXPECT_TRUE(seen.insert(GroupId{must(a->next_groups(1)).first}).second);
        EXPECT_TRUE(i >= 100 || seen.insert(GroupId{must(b->next_groups(1)).first}).second);
    }
    store.stop();
}

TEST(Volume, KnowsItsOwnNames) {
    for (const char* name : {"g.0", "i.1.ff", "h.1", "s.a", "sessions.15", "l.1", "e.1", "e.1.2", "r.1", "k.3f", "volume",
                             "volume.move", "b.100000002.0", "p.5"})
        EXPECT_TRUE(is_meshfs_name(name)) << name;
    for (const char* name : {"", "g", "g.", "g.G", "g.1.2", "b.1", "rbd_data.1", "sessions.x", "volumes", "x.1"})
        EXPECT_FALSE(is_meshfs_name(name)) << name;
}

}  // namespace
}  // namespace meshfs
