// A directory that shrank gives its groups back, and nothing that anybody has of them is lost.
#include "fs/meta/merge.h"

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

#include "fs/meta/group.h"
#include "fs/meta/ops/fixture.h"
#include "fs/meta/split.h"

namespace meshfs {
namespace {

using Names = std::vector<std::string>;

// Splits beyond 64 names; merges what has 4 at most with what has 32 together with it.
MetaOptions small_groups() { return {.split_names = 64}; }

class MergeTest : public MetaTest {
protected:
    MergeTest() {
        mount_ = std::make_unique<TestMount>(cluster_, small_groups());
        directory_ = must(mkdir("d")).ino;
    }
    static std::string name(int i) { return "name" + std::to_string(1000 + i); }
    void fill(int count) {
        for (int i = 0; i < count; ++i) inos_[i] = must(create(name(i), directory_)).ino;
    }
    // All of fill() but these.
    void shrink(Meta& m, const std::set<int>& kept) {
        for (const auto& [i, ino] : inos_)
            if (!kept.contains(i)) must(m.unlink(directory_, name(i)));
    }
    // Never merges, unless all is empty.
    void shrink_unnoticed(const std::set<int>& kept) {
        TestMount keeper(cluster_, {.split_names = 0});
        shrink(*keeper.meta, kept);
    }
    static Names listed(Meta& m, Ino directory, ListRequest r = {.entries_max = 7, .with_inodes = true}) {
        Names out;
        for (r.directory = directory;;) {
            ListPage page = must(m.list(r));
            for (const auto& entry : page.entries) out.push_back(entry.name), r.after_cookie = entry.cookie;
            if (!page.more) return out;
        }
    }
    Names listed(Meta& m) { return listed(m, directory_); }
    RangeMap map(std::vector<GroupId>* merged = nullptr) {
        core().maps.forget(directory_);
        return must(read_range_map(core(), directory_, merged));
    }
    size_t ranges() { return map().size() + 1; }
    GroupId last_range() { return std::prev(map().end())->second; }
    std::vector<GroupId> merged() {
        std::vector<GroupId> all;
        map(&all);
        return all;
    }
    void merge_all() {
        for (const auto& [first, group] : map()) merge_if_small(core(), group_object(group));
    }
    Lease lease_of(GroupId group) {
        return must(decode_lease(must(raw_.ask(std::move(Query(group_object(group)).xattrs()))).xattrs[kLeaseXattr]));
    }

    Ino directory_{};
    std::map<int, Ino> inos_;
};

TEST_F(MergeTest, ADirectoryThatShrankGivesItsGroupsBackAndLosesNothing) {
    const auto before = all_groups();
    Ino parent = std::exchange(directory_, must(mkdir("big")).ino);
    auto other = std::make_unique<TestMount>(cluster_, small_groups());
    fill(300);
    EXPECT_GE(ranges(), 6u);
    EXPECT_EQ(listed(*other->meta).size(), 300u);  // it knows all ranges
    const std::set<int> kept{7, 71, 140, 141, 230, 299};
    shrink(meta(), kept);
    merge_all();
    EXPECT_EQ(ranges(), 1u);
    EXPECT_GE(merged().size(), 5u);
    for (GroupId group : merged()) EXPECT_EQ(lease_of(group).kind, Lease::Kind::dead);
    auto cold = std::make_unique<TestMount>(cluster_);
    Names wanted;
    for (int i : kept) wanted.push_back(name(i));
    for (Meta* m : {&meta(), other->meta.get(), cold->meta.get()}) {
        EXPECT_EQ(listed(*m), wanted);
        EXPECT_EQ(must(m->get(directory_)).names, kept.size());
        for (int i : kept) {
            EXPECT_EQ(must(m->get(inos_[i])).ino, inos_[i]);
            EXPECT_EQ(must(m->lookup(directory_, name(i))).ino, inos_[i]);
            EXPECT_EQ(must(m->name_of(inos_[i])), std::pair(directory_, name(i)));
            EXPECT_ERRNO(m->create(request(directory_, name(i), S_IFREG)), EEXIST);
        }
        EXPECT_ERRNO(m->lookup(directory_, name(150)), ENOENT);
        must(m->change(inos_[230], [&](InodeChange& c) -> Status { return c.inode.map.size += 7, Status(); }));
    }
    EXPECT_EQ(must(meta().get(inos_[230])).map.size, 21u);
    must(other->meta->rename({directory_, name(299), parent, "moved"}));
    must(other->meta->create(request(directory_, name(298), S_IFREG)));
    EXPECT_EQ(must(cold->meta->lookup(parent, "moved")).ino, inos_[299]);
    EXPECT_EQ(must(cold->meta->get(inos_[299])).ino, inos_[299]);

    // With the directory all of it goes.
    must(cold->meta->unlink(parent, "moved"));
    for (const auto& left : listed(meta())) must(other->meta->unlink(directory_, left));
    must(meta().rmdir(kRootIno, "big"));
    other.reset(), cold.reset();
    for (int i = 0; i < 5; ++i) {
        mount_->clock.advance_ns(1000 * kLeaseNs);
        must(meta().collect());
        purge_all(meta());
    }
    EXPECT_EQ(all_groups(), before);
}

TEST_F(MergeTest, WhoTakesTheNamesAwayMergesTheRanges) {
    fill(300);
    shrink(meta(), {});
    EXPECT_EQ(ranges(), 1u);
    EXPECT_EQ(must(meta().get(directory_)).names, 0u);
    // By operations of several objects, too.
    for (int i = 0; i < 100; ++i) must(mkdir(name(i), directory_));
    EXPECT_GE(ranges(), 2u);
    for (int i = 0; i < 100; ++i) must(meta().rmdir(directory_, name(i)));
    EXPECT_EQ(ranges(), 1u);
}

// Both have to be far from the limits: of what was split nothing is merged before most of it went.
TEST_F(MergeTest, SplitsAndMergesDoNotTakeTurns) {
    fill(65);
    ASSERT_EQ(ranges(), 2u);
    for (int round = 0; round < 3; ++round) {
        for (int i = 65 - 24; i < 65; ++i) must(meta().unlink(directory_, name(i)));
        merge_all();
        EXPECT_EQ(ranges(), 2u);  // 33 and 8
        for (int i = 65 - 24; i < 65; ++i) must(create(name(i), directory_));
        EXPECT_EQ(ranges(), 2u);
    }
    for (int i = 0; i < 33; ++i) must(meta().unlink(directory_, name(i)));
    merge_all();
    EXPECT_EQ(ranges(), 2u);  // none and 32: too many to be moved about, maybe to be removed next
    for (int i = 0; i < 33; ++i) must(create(name(i), directory_));
    for (int i = 33; i < 65; ++i) must(meta().unlink(directory_, name(i)));
    EXPECT_EQ(ranges(), 2u);  // 33 and none
    must(meta().unlink(directory_, name(0)));
    merge_all();
    EXPECT_EQ(ranges(), 1u);
    for (int i = 33; i < 60; ++i) must(create(name(i), directory_));
    EXPECT_EQ(ranges(), 1u);
}

TEST_F(MergeTest, GcMergesWhatNobodyNoticed) {
    fill(200);
    shrink_unnoticed({5, 150});
    EXPECT_GE(ranges(), 4u);
    auto dying = std::make_unique<TestMount>(cluster_, MetaOptions{.split_names = 0});
    must(dying->meta->unlink(directory_, name(150)));  // a record that only a dead mount knows of
    dying->die();
    must(meta().collect());
    EXPECT_EQ(ranges(), 1u);
    EXPECT_EQ(listed(meta()), Names{name(5)});
    EXPECT_TRUE(purge_all(meta()).contains(inos_[150]));
    EXPECT_ERRNO(meta().get(inos_[150]), ESTALE);
}

// A cookie is a place in a group that is merged since, of a name that may be gone.
TEST_F(MergeTest, ACookieOfBeforeTheMergeGoesOnAfterIt) {
    fill(200);
    ListPage page = must(meta().list({.directory = directory_, .entries_max = 150}));
    const uint64_t cookie = page.entries.back().cookie;
    ASSERT_EQ(page.entries.back().name, name(149));
    const std::string later = name(151) + "x";
    must(meta().rename({directory_, name(149), directory_, later}));  // in its group
    shrink(meta(), {0, 149, 150, 199});
    merge_all();
    ASSERT_EQ(ranges(), 1u);
    EXPECT_EQ(lease_of(GroupId{cookie >> kSlotBits}).kind, Lease::Kind::dead);
    EXPECT_EQ(listed(meta(), directory_, {.after_cookie = cookie}), (Names{name(150), later, name(199)}));
}

// The range that comes next in a listing has become part of the one before.
TEST_F(MergeTest, AListingDoesNotSeeNamesTwiceThatAMergeMoves) {
    fill(65);
    ASSERT_EQ(ranges(), 2u);
    shrink_unnoticed({3, 4, 50, 51});
    TestMount other(cluster_, small_groups());
    const ObjectName later = group_object(last_range());
    bool was_merged = false;
    mount_->hooks->before_query = [&](const Query& q) {
        if (was_merged || q.object() != later || q.ranges().empty()) return;
        was_merged = true;
        merge_if_small(other.meta->core(), later);
    };
    ListPage page = must(meta().list({.directory = directory_}));
    mount_->hooks->before_query = nullptr;
    EXPECT_TRUE(was_merged);
    Names seen;
    for (const auto& entry : page.entries) seen.push_back(entry.name);
    EXPECT_EQ(seen, (Names{name(3), name(4), name(50), name(51)}));
    EXPECT_FALSE(page.more);
    EXPECT_EQ(ranges(), 1u);
}

TEST_F(MergeTest, WhatIsUnlinkedAndOpenStaysUntilItIsClosed) {
    fill(100);
    TestMount other(cluster_, small_groups());
    const Ino open = inos_[99];
    const GroupId group = last_range();
    EXPECT_OK(other.meta->opened(open));
    must(meta().change(open, [](InodeChange& c) -> Status { return c.freed = {{.length = 4096, .blob = BlobId{5}}}, Status(); }));
    must(meta().unlink(directory_, name(99)));
    shrink(meta(), {0, 99});
    merge_all();
    ASSERT_EQ(ranges(), 1u);
    ASSERT_EQ(lease_of(group).kind, Lease::Kind::dead);
    EXPECT_FALSE(purge_all(meta()).contains(open));
    TestMount cold(cluster_);
    for (Meta* m : {&meta(), other.meta.get(), cold.meta.get()}) {
        EXPECT_EQ(must(m->get(open)).links, 0u);
        must(m->change(open, [](InodeChange& c) -> Status { return ++c.inode.map.size, Status(); }));
    }
    EXPECT_EQ(must(other.meta->get(open)).map.size, 3u);
    other.meta->released(open);
    EXPECT_EQ(purge_all(*other.meta), std::set<Ino>{open});
    mount_->clock.advance_ns(3 * kLeaseNs);
    purge_all(meta());  // the extents
    EXPECT_TRUE(must(raw_.ask(std::move(Query(group_object(group)).range("", "u")))).ranges[0].entries.empty());
}

TEST_F(MergeTest, AFileWithoutANameYetKeepsItsGroup) {
    fill(100);
    const GroupId group = last_range();
    Ino unnamed = must(meta().create_unnamed(request(directory_, name(99), S_IFREG | 0600))).ino;
    ASSERT_EQ(place_of(unnamed).group, group);
    shrink(meta(), {0});
    merge_all();
    EXPECT_NE(lease_of(group).kind, Lease::Kind::dead);
    must(meta().link(unnamed, kRootIno, "named"));
    EXPECT_EQ(must(meta().lookup(kRootIno, "named")).ino, unnamed);
    merge_all();
    EXPECT_EQ(ranges(), 1u);
    TestMount cold(cluster_);
    EXPECT_EQ(must(cold.meta->get(unnamed)).links, 1u);
}

TEST_F(MergeTest, HardLinksKeepTheirFile) {
    fill(100);
    must(meta().link(inos_[98], kRootIno, "second"));
    must(meta().link(inos_[99], directory_, name(0) + "b"));
    must(meta().unlink(directory_, name(99)));  // of both the first name is in the merged group, of one no longer
    const GroupId group = last_range();
    for (int i = 0; i < 98; ++i) must(meta().unlink(directory_, name(i)));
    merge_all();
    ASSERT_EQ(lease_of(group).kind, Lease::Kind::dead);
    auto cold = std::make_unique<TestMount>(cluster_);
    for (Meta* m : {&meta(), cold->meta.get()}) {
        EXPECT_EQ(must(m->get(inos_[98])).links, 2u);
        EXPECT_EQ(must(m->get(inos_[99])).links, 1u);
        EXPECT_EQ(must(m->lookup(directory_, name(98))).ino, inos_[98]);
        EXPECT_EQ(must(m->lookup(directory_, name(0) + "b")).ino, inos_[99]);
    }
    must(cold->meta->unlink(directory_, name(98)));
    EXPECT_EQ(must(meta().get(inos_[98])).links, 1u);
    must(meta().unlink(kRootIno, "second"));
    must(meta().unlink(directory_, name(0) + "b"));
    for (int i : {98, 99}) EXPECT_EQ(must(meta().get(inos_[i])).links, 0u);
    cold.reset();
    std::set<Ino> gone;
    for (int i = 0; i < 3; ++i) {
        mount_->clock.advance_ns(3 * kLeaseNs);
        gone.merge(purge_all(meta()));
    }
    for (int i : {98, 99}) EXPECT_TRUE(gone.contains(inos_[i]));
}

// Its place is a slot of a group that is dead; were that one gone, gc would take the directory for one without a name.
TEST_F(MergeTest, ADirectoryKnowsItsNameHoweverOftenItWasTakenAlong) {
    auto maker = std::make_unique<TestMount>(cluster_, small_groups());
    Ino sub{};
    for (int round = 0; round < 12; ++round) {
        for (int i = 0; i < 80; ++i) must(create(name(i), directory_));
        ASSERT_EQ(ranges(), 2u);
        if (round == 0) sub = must(maker->meta->mkdir(request(directory_, name(90), S_IFDIR | 0755))).ino;
        for (int i = 0; i < 80; ++i) must(meta().unlink(directory_, name(i)));
        merge_all();
        ASSERT_EQ(ranges(), 1u);
    }
    EXPECT_EQ(merged().size(), 12u);
    EXPECT_EQ(must(meta().name_of(sub)), std::pair(directory_, name(90)));
    EXPECT_EQ(must(meta().lookup(sub, "..")).ino, directory_);
    maker->die();
    EXPECT_EQ(must(meta().collect()).nameless, 0u);
    EXPECT_EQ(must(meta().lookup(directory_, name(90))).ino, sub);
    must(meta().rename({directory_, name(90), kRootIno, "sub"}));
    EXPECT_EQ(must(meta().name_of(sub)), std::pair(kRootIno, std::string("sub")));
}

// The group was merged before the mount could learn that its change was done.
TEST_F(MergeTest, AChangeWhoseAnswerWasLostIsFoundInTheDeadGroup) {
    fill(100);
    shrink_unnoticed({0, 99});
    TestMount other(cluster_, small_groups());
    EXPECT_EQ(must(other.meta->lookup(directory_, name(99))).ino, inos_[99]);
    const ObjectName later = group_object(last_range());
    bool was_sent = false, was_merged = false;
    other.hooks->before_mutation = [&](const Mutation& m) {
        if (was_sent || !setting(name_key(name(98)))(m)) return;
        ASSERT_EQ(m.object(), later);
        was_sent = true;
        other.faults->set_plan({.lost_reply = 1});
    };
    other.hooks->before_query = [&](const Query&) {
        if (!was_sent || was_merged) return;
        was_merged = true;
        other.faults->set_plan({});
        merge_all();
    };
    auto created = other.meta->create(request(directory_, name(98), S_IFREG | 0644));
    other.hooks->before_mutation = nullptr;
    other.hooks->before_query = nullptr;
    ASSERT_OK(created);
    EXPECT_TRUE(was_merged);
    EXPECT_EQ(ranges(), 1u);
    EXPECT_EQ(must(meta().lookup(directory_, name(98))).ino, created->ino);
    EXPECT_EQ(must(meta().get(created->ino)).ino, created->ino);
    EXPECT_EQ(listed(meta()), (Names{name(0), name(98), name(99)}));
}

// Wherever a mount dies: nothing has happened, or who comes by finishes it.
TEST_F(MergeTest, ADeathLeavesAllOrNothing) {
    for (int last = 0; last < 12; ++last) {
        SCOPED_TRACE(last);
        directory_ = must(mkdir("d" + std::to_string(last))).ino;
        inos_.clear();
        fill(70);
        ASSERT_EQ(ranges(), 2u);
        shrink_unnoticed({3, 50, 69});
        auto other = std::make_unique<TestMount>(cluster_, small_groups());
        int mutations = 0;
        const ObjectName later = group_object(last_range());
        other->hooks->before_mutation = [&](const Mutation&) {
            if (mutations++ == last) other->faults->kill();
        };
        merge_if_small(other->meta->core(), later);
        other->hooks->before_mutation = nullptr;
        other->die();
        EXPECT_EQ(listed(meta()), (Names{name(3), name(50), name(69)}));
        for (int i : {3, 50, 69}) {
            EXPECT_EQ(must(meta().get(inos_[i])).ino, inos_[i]);
            EXPECT_EQ(must(meta().name_of(inos_[i])).second, name(i));
            EXPECT_ERRNO(create(name(i), directory_), EEXIST);
        }
        must(create(name(60), directory_));
        merge_all();
        EXPECT_EQ(ranges(), 1u);
        EXPECT_EQ(must(meta().get(directory_)).names, 4u);
        mount_->meta->tick();
    }
}

TEST_F(MergeTest, TimesOfTheDirectoryStayAsTheyWere) {
    fill(65);
    ASSERT_EQ(ranges(), 2u);
    shrink_unnoticed({0, 1, 63, 64});
    TestMount late(cluster_, {.split_names = 0});
    late.clock.advance_ns(50 * kNsPerSecond);
    must(late.meta->unlink(directory_, name(64)));  // in the range that goes, the last that happened
    const Time before = must(meta().get(directory_)).mtime;
    TestMount other(cluster_, small_groups());
    other.clock.advance_ns(100 * kNsPerSecond);
    merge_if_small(other.meta->core(), group_object(last_range()));
    ASSERT_EQ(ranges(), 1u);
    EXPECT_EQ(must(meta().get(directory_)).mtime, before);
}

// What a mount holds it hands over, or merges itself.
TEST_F(MergeTest, HeldGroupsAreMerged) {
    auto holder = std::make_unique<TestMount>(cluster_, MetaOptions{.split_names = 64, .hold = true});
    Meta& m = *holder->meta;
    directory_ = must(m.mkdir(request(kRootIno, "held", S_IFDIR | 0755))).ino;
    for (int i = 0; i < 300; ++i)
        inos_[i] = must(m.create(request(directory_, name(i), S_IFREG | 0644))).ino;
    for (int i = 0; i < 300; ++i)
        if (i != 250) must(m.unlink(directory_, name(i)));
    EXPECT_EQ(listed(m), Names{name(250)});
    must(m.create(request(directory_, name(7), S_IFREG | 0644)));
    ASSERT_OK(m.commit());
    holder.reset();
    merge_all();
    EXPECT_GE(merged().size(), 4u);
    EXPECT_EQ(ranges(), 1u);
    EXPECT_EQ(listed(meta()), (Names{name(7), name(250)}));
    EXPECT_EQ(must(meta().get(inos_[250])).links, 1u);
}

// The header was read when it was cut, the map when it was whole again: a race, not damage.
TEST_F(MergeTest, ASplitAndAMergeBetweenTwoReadsAreNoDamage) {
    fill(4);
    TestMount strict(cluster_, {.split_names = 2}), other(cluster_, small_groups());
    const ObjectName header = group_object(place_of(directory_).group);
    auto split = [&] { split_if_large(strict.meta->core(), header); };
    auto merge = [&] { merge_if_small(other.meta->core(), header); };
    split();
    ASSERT_EQ(ranges(), 2u);  // as this mount knows
    merge();
    int reads = 0;
    mount_->hooks->before_query = [&](const Query& q) {
        if (q.object() != header) return;
        ++reads;
        if (reads == 2) split();
        if (reads == 3) merge();
    };
    auto found = meta().lookup(directory_, name(3));
    mount_->hooks->before_query = nullptr;
    ASSERT_OK(found);
    EXPECT_EQ(found->ino, inos_[3]);
    EXPECT_GE(reads, 3);
    EXPECT_EQ(merged().size(), 2u);
}

// Two mounts that hold what they change: what stays is listed once, and found, while ranges come and go.
TEST_F(MergeTest, WhatStaysIsListedOnceWhileRangesComeAndGo) {
    constexpr int kStay = 12, kRounds = 20;
    MemoryStore store_a(cluster_), store_b(cluster_);
    auto a = must(Meta::open(store_a, Clock::system(), {.host = "a", .split_names = 16, .hold = true}));
    auto b = must(Meta::open(store_b, Clock::system(), {.host = "b", .split_names = 16, .hold = true}));
    Names stay;
    std::vector<Ino> inos;
    for (int i = 0; i < kStay; ++i) {
        stay.push_back(name(i * 8));
        inos.push_back(must(a->create(request(directory_, stay.back(), S_IFREG | 0644))).ino);
    }
    ASSERT_OK(a->commit());
    std::atomic<bool> done{false};
    std::thread changing([&] {
        for (int round = 0; round < kRounds; ++round) {
            for (int i = 0; i < kStay * 8; ++i)
                if (i % 8 != 0) must(a->create(request(directory_, name(i), S_IFREG | 0644)));
            for (int i = 0; i < kStay * 8; ++i)
                if (i % 8 != 0) must(a->unlink(directory_, name(i)));
        }
        done = true;
    });
    int looks = 0;
    for (; !done || looks < 3; ++looks) {
        Names seen;
        for (const auto& entry : listed(*b, directory_, {.entries_max = 5}))
            if (std::find(stay.begin(), stay.end(), entry) != stay.end()) seen.push_back(entry);
        EXPECT_EQ(seen, stay);
        for (int i = 0; i < kStay; ++i) {
            const auto at = static_cast<size_t>(i);
            EXPECT_EQ(must(b->get(inos[at])).ino, inos[at]);
            EXPECT_EQ(must(b->lookup(directory_, stay[at])).ino, inos[at]);
        }
    }
    changing.join();
    EXPECT_OK(a->close());
    EXPECT_OK(b->close());
    EXPECT_FALSE(merged().empty());
    EXPECT_EQ(listed(meta()), stay);
}

}  // namespace
}  // namespace meshfs
