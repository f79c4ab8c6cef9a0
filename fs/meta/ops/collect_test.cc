// What dead mounts left, found again.
#include "fs/meta/group.h"
#include "fs/meta/ops/fixture.h"
#include "fs/meta/registry.h"
#include "fs/meta/split.h"

namespace meshfs {
namespace {

class CollectTest : public MetaTest {
protected:
    CollectTest() : other_(std::make_unique<TestMount>(cluster_)) {}
    Meta& others() { return *other_->meta; }
    std::set<Ino> purge() { return purge_all(meta()); }
    std::unique_ptr<TestMount> other_;
};

TEST_F(CollectTest, WhatADeadMountUnlinkedComesBack) {
    Ino d = must(mkdir("d")).ino, e = must(mkdir("e", d)).ino;
    std::set<Ino> unlinked;
    for (Ino directory : {kRootIno, d, e}) {
        unlinked.insert(must(create("f", directory)).ino);
        must(create("kept", directory));
        must(others().unlink(directory, "f"));
    }
    SessionId dead = others().session();
    other_->die();
    EXPECT_EQ(purge(), std::set<Ino>{});
    std::vector<uint64_t> told;
    auto report = must(meta().collect([&](uint64_t groups) { told.push_back(groups); }));
    EXPECT_EQ(report.groups, 3u);
    EXPECT_EQ(report.unlinked, 3u);
    EXPECT_EQ(report.sessions, 1u);
    EXPECT_EQ(told, (std::vector<uint64_t>{1, 2, 3}));
    EXPECT_EQ(purge(), unlinked);
    EXPECT_FALSE(must(read_registry(raw_, mount_->clock)).contains(dead));
    EXPECT_ERRNO(raw_.ask(std::move(Query(session_object(dead)).exists())), ENOENT);
    EXPECT_EQ(must(meta().collect()).unlinked, 0u);
}

TEST_F(CollectTest, AFileThatHadSeveralNamesComesBack) {
    Ino d = must(mkdir("d")).ino, gone = must(create("f", d)).ino, kept = must(create("g", d)).ino;
    for (Ino ino : {gone, kept}) must(others().link(ino, kRootIno, "l" + std::to_string(raw(ino))));
    for (Ino ino : {gone, kept})
        must(others().change(ino, [&](InodeChange& c) -> Status {
            c.freed = {{.offset = 0, .length = 4096, .blob = BlobId{raw(ino)}}};
            return {};
        }));
    must(others().unlink(d, "f"));
    must(others().unlink(kRootIno, "l" + std::to_string(raw(gone))));
    other_->die();
    mount_->clock.advance_ns(1000 * kNsPerSecond);
    must(meta().collect());
    EXPECT_EQ(purge(), (std::set<Ino>{gone, kept}));
    for (Ino ino : {gone, kept}) {
        auto h = raw_.ask(std::move(Query(linked_object(ino)).range("", "u")));
        if (ino == gone) EXPECT_ERRNO(h, ENOENT);
        else EXPECT_TRUE(must(std::move(h)).ranges.at(0).entries.empty());
    }
    EXPECT_EQ(must(meta().get(kept)).links, 2u);
}

// A removed directory's own record leads to what was unlinked in it.
TEST_F(CollectTest, RemovedDirectoriesAreFoundWithTheirFiles) {
    Ino d = must(mkdir("d")).ino, f = must(create("f", d)).ino;
    must(others().unlink(d, "f"));
    must(others().rmdir(kRootIno, "d"));
    other_->die();
    mount_->clock.advance_ns(1000 * kNsPerSecond);
    EXPECT_EQ(must(meta().collect()).unlinked, 1u);
    EXPECT_EQ(purge(), std::set<Ino>{f});
    mount_->clock.advance_ns(10 * kLeaseNs);
    EXPECT_EQ(purge(), std::set<Ino>{});
    EXPECT_ERRNO(raw_.ask(std::move(Query(group_object(place_of(d).group)).exists())), ENOENT);
}

TEST_F(CollectTest, WhoBeatsIsLeftAloneAndNotWaitedFor) {
    mount_->hooks->before_query = [&](const Query& q) {
        if (q.object() == session_object(others().session())) others().tick();
    };
    int64_t before = mount_->clock.boot_ns();
    EXPECT_EQ(must(meta().collect()).sessions, 0u);
    mount_->hooks->before_query = nullptr;
    EXPECT_LT(mount_->clock.boot_ns() - before, kLeaseNs);
    EXPECT_OK(others().create(request(kRootIno, "alive", S_IFREG)));
}

TEST_F(CollectTest, ADamagedRecordEndsIt) {
    must(create("a"));
    ASSERT_OK(raw_.apply(std::move(Mutation(group_object(kRootGroup)).set_keys({{name_key("b"), "garbage"}}))));
    other_.reset();
    EXPECT_ERRNO(meta().collect(), EIO);
}

TEST_F(CollectTest, AFailedListingEndsIt) {
    Ino d = must(mkdir("d")).ino;
    other_.reset();
    mount_->hooks->before_query = [&](const Query& q) {
        if (q.object() == group_object(place_of(d).group)) mount_->faults->set_plan({.error = 1});
    };
    EXPECT_ERRNO(meta().collect(), EIO);
    mount_->hooks->before_query = nullptr;
    mount_->faults->set_plan({});
}

TEST_F(CollectTest, BlobsInReachKeepASession) {
    SessionId dead = others().session();
    ASSERT_OK(other_->session().apply(std::move(other_->session().own_change().set_keys({{"b12345678", "x"}}))));
    other_->die();
    EXPECT_EQ(must(meta().collect()).sessions, 0u);
    EXPECT_TRUE(must(read_registry(raw_, mount_->clock)).contains(dead));
}

// What a mount made and died before it named it.
class NamelessTest : public CollectTest {
protected:
    void open_other(MetaOptions options) {
        other_.reset();
        other_ = std::make_unique<TestMount>(cluster_, std::move(options));
    }
    // The other mount dies when it is about to send such a mutation.
    void dies_at(std::function<bool(const Mutation&)> when) {
        other_->hooks->before_mutation = [this, when = std::move(when)](const Mutation& m) {
            if (when(m)) other_->faults->kill();
        };
    }
    static CreateRequest directory(Ino parent, std::string name) {
        return request(parent, std::move(name), S_IFDIR | 0755);
    }
    std::set<std::string> groups() {  // that are not dead
        std::set<std::string> living;
        for (const auto& name : all_groups()) {
            auto xattrs = must(raw_.ask(std::move(Query({kMetaPool, name}).xattrs()))).xattrs;
            if (must(decode_lease(xattrs[kLeaseXattr])).kind != Lease::Kind::dead) living.insert(name);
        }
        return living;
    }
    std::vector<std::pair<GroupId, uint64_t>> births(SessionId session) {
        std::vector<std::pair<GroupId, uint64_t>> births;
        auto answer = raw_.ask(std::move(Query(session_object(session)).range("", "g")));
        if (!answer.ok()) return births;
        for (const auto& [key, value] : answer->ranges.at(0).entries)
            births.emplace_back(must(group_of_births_key(key)), must(decode_births(value)).count);
        return births;
    }
    bool has_session(SessionId session) {
        return raw_.ask(std::move(Query(session_object(session)).exists())).ok();
    }
    // All that purge takes at once, and after the time that late steps have; directories one in the other
    // take turns.
    std::set<Ino> purge_all() {
        std::set<Ino> gone = purge();
        for (int i = 0; i < 10; ++i) {
            mount_->clock.advance_ns(1000 * kLeaseNs);
            gone.merge(purge());
        }
        return gone;
    }
};

TEST_F(NamelessTest, ADirectoryThatNeverGotItsNameGoes) {
    must(others().mkdir(directory(kRootIno, "before")));
    const auto before = groups();
    SessionId dead = others().session();
    dies_at(setting(name_key("d")));
    EXPECT_ERRNO(others().mkdir(directory(kRootIno, "d")), ESHUTDOWN);
    other_->die();
    EXPECT_EQ(groups().size(), before.size() + 1);
    auto report = must(meta().collect());
    EXPECT_EQ(report.nameless, 1u);
    EXPECT_EQ(report.sessions, 1u);
    EXPECT_EQ(groups(), before);
    EXPECT_EQ(purge_all(), std::set<Ino>{});
    EXPECT_EQ(all_groups(), before);
    EXPECT_FALSE(has_session(dead));
    EXPECT_EQ(must(meta().collect()).nameless, 0u);
    EXPECT_EQ(names(), std::vector<std::string>{"before"});
}

// However it was renamed and moved since, by whom, and cut into ranges.
TEST_F(NamelessTest, WhatHasOrHadANameStays) {
    mount_ = std::make_unique<TestMount>(cluster_, MetaOptions{.split_names = 16});  // else gc would merge the ranges
    open_other({.split_names = 10});
    Ino to = must(mkdir("to")).ino;
    std::vector<Ino> made;
    for (int i = 0; i < 30; ++i)
        made.push_back(must(others().mkdir(directory(kRootIno, "d" + std::to_string(100 + i)))).ino);
    must(others().mkdir(directory(made[1], "below")));
    must(meta().rename({kRootIno, "d100", kRootIno, "renamed"}));
    must(meta().rename({kRootIno, "d101", to, "moved"}));
    must(others().rename({kRootIno, "d102", to, "moved2"}));
    must(meta().rename({kRootIno, "d103", kRootIno, "d104", false, true}));
    must(meta().rmdir(kRootIno, "d105"));
    const auto before = groups();
    other_->die();
    EXPECT_EQ(must(meta().collect()).nameless, 0u);
    EXPECT_EQ(groups(), before);
    for (size_t i = 0; i < made.size(); ++i)
        if (i != 5) EXPECT_OK(meta().name_of(made[i]));
    EXPECT_EQ(must(meta().lookup(to, "moved")).ino, made[1]);
}

// The name is in another slot than was meant when the group was made: it says so before it has the name.
TEST_F(NamelessTest, ARangeThatIsSplitMeanwhileDoesNotHideTheName) {
    for (int i = 0; i < 12; ++i) must(create("f" + std::to_string(10 + i)));
    bool was_split = false;
    other_->hooks->before_mutation = [&](const Mutation& m) {
        if (was_split || !setting(kPlaceKey)(m)) return;
        was_split = true;
        TestMount strict(cluster_, {.split_names = 4});
        split_if_large(strict.meta->core(), group_object(kRootGroup));
    };
    Ino d = must(others().mkdir(directory(kRootIno, "z"))).ino;
    EXPECT_TRUE(was_split);
    other_->hooks->before_mutation = nullptr;
    GroupId range = std::prev(must(read_range_map(core(), kRootIno)).end())->second;
    auto header = must(read_group_now(core(), group_object(place_of(d).group), {.keys = {kPlaceKey}}));
    EXPECT_EQ(must(header.record(decode_place, kPlaceKey))->dentry.group, range);
    other_->die();
    EXPECT_EQ(must(meta().collect()).nameless, 0u);
    EXPECT_EQ(must(meta().lookup(kRootIno, "z")).ino, d);
    EXPECT_EQ(must(meta().name_of(d)).second, "z");
}

TEST_F(NamelessTest, ARangeThatWasFilledAndNeverUsedGoesAndItsFilesStay) {
    open_other({.split_names = 10});
    for (int i = 0; i < 8; ++i) must(create("f" + std::to_string(i)));
    const auto before = groups();
    dies_at([](const Mutation& m) {
        for (const Effect& effect : m.effects())
            if (effect.kind == Effect::Kind::set_keys && effect.keys.front().first[0] == 'x') return true;
        return false;
    });
    for (int i = 0; i < 20; ++i)
        if (!others().create(request(kRootIno, "g" + std::to_string(i), S_IFREG | 0644)).ok()) break;
    other_->die();
    EXPECT_EQ(groups().size(), before.size() + 1);
    const auto named = names();
    EXPECT_EQ(must(meta().collect()).nameless, 1u);
    EXPECT_EQ(groups(), before);
    EXPECT_EQ(names(), named);
    EXPECT_EQ(purge_all(), std::set<Ino>{});
}

// Of the living nothing is judged, whatever there is of them: they may be about to name it.
TEST_F(NamelessTest, TheLivingAreLeftAlone) {
    size_t groups_seen = 0;
    other_->hooks->before_mutation = [&](const Mutation& m) {
        if (!setting(name_key("d"))(m)) return;
        mount_->hooks->before_query = [&](const Query& q) {
            if (q.object() == session_object(others().session())) others().tick();
        };
        EXPECT_EQ(must(meta().collect()).nameless, 0u);
        mount_->hooks->before_query = nullptr;
        groups_seen = groups().size();
    };
    EXPECT_OK(others().mkdir(directory(kRootIno, "d")));
    other_->hooks->before_mutation = nullptr;
    EXPECT_EQ(groups_seen, 2u);
}

// As where the keyring does not allow it: the name may still come.
TEST_F(NamelessTest, WhoCouldNotBeFencedIsLeftAlone) {
    SessionId dead = others().session();
    dies_at(setting(name_key("d")));
    EXPECT_ERRNO(others().mkdir(directory(kRootIno, "d")), ESHUTDOWN);
    other_->die();
    SessionRecord unknown{.host = "unknown"};
    ASSERT_OK(raw_.apply(std::move(
        Mutation(registry_object(registry_of(dead))).set_keys({{registry_key(dead), encode(unknown)}}))));
    auto report = must(meta().collect());
    EXPECT_EQ(report.nameless, 0u);
    EXPECT_EQ(report.sessions, 0u);
    EXPECT_EQ(groups().size(), 2u);
    EXPECT_TRUE(has_session(dead));
}

TEST_F(NamelessTest, ADirectoryWhoseParentWentGoesToo) {
    Ino parent = must(mkdir("parent")).ino;
    dies_at(setting(name_key("d")));
    EXPECT_ERRNO(others().mkdir(directory(parent, "d")), ESHUTDOWN);
    other_->die();
    mount_->clock.advance_ns(10 * kLeaseNs);
    must(meta().rmdir(kRootIno, "parent"));
    EXPECT_EQ(groups().size(), 2u);
    EXPECT_EQ(must(meta().collect()).nameless, 1u);
    EXPECT_EQ(groups().size(), 1u);
    EXPECT_EQ(purge_all(), std::set<Ino>{});
    EXPECT_EQ(all_groups(), groups());
}

// Held groups: everything new is written first, then what names it.
TEST_F(NamelessTest, AWholeTreeThatNeverGotItsNameGoesWithItsBytes) {
    open_other({.hold = true});
    must(others().create(request(kRootIno, "first", S_IFREG | 0644)));  // takes the root
    const auto before = groups();
    Ino a = must(others().mkdir(directory(kRootIno, "a"))).ino,
        b = must(others().mkdir(directory(a, "b"))).ino;
    must(others().mkdir(directory(a, "empty")));
    must(others().mkdir(directory(b, "c")));
    Ino f = must(others().create(request(b, "f", S_IFREG | 0644))).ino;
    must(others().change(f, [](InodeChange& c) -> Status {
        c.inode.map.size = c.inode.map.bytes = 4096;
        c.inode.map.extents = {{.offset = 0, .length = 4096, .blob = BlobId{77}}};
        return {};
    }));
    dies_at(setting(name_key("a")));
    EXPECT_FALSE(others().commit().ok());
    other_->die();
    EXPECT_EQ(groups().size(), before.size() + 4);
    EXPECT_EQ(must(meta().collect()).nameless, 1u);
    EXPECT_EQ(groups(), before);
    auto items = must(meta().purgeable(16));
    ASSERT_EQ(items.size(), 1u);
    EXPECT_EQ(items[0].inode.ino, f);
    EXPECT_EQ(items[0].inode.map.extents.size(), 1u);
    EXPECT_OK(meta().purged(items[0]));
    EXPECT_EQ(purge_all(), std::set<Ino>{});
    EXPECT_EQ(all_groups(), groups());
}

TEST_F(NamelessTest, ATreeOfWhichOnlySomeArrivedGoes) {
    for (size_t arrived = 0; arrived <= 5; ++arrived) {
        open_other({.hold = true});
        must(others().create(request(kRootIno, "first" + std::to_string(arrived), S_IFREG | 0644)));
        ASSERT_OK(others().commit());
        const auto before = groups();
        Ino at = kRootIno;
        for (int i = 0; i < 5; ++i) at = must(others().mkdir(directory(at, "d"))).ino;
        size_t births = 0;
        dies_at([&](const Mutation& m) {
            bool is_birth = !m.effects().empty() && m.effects().front().kind == Effect::Kind::create;
            return setting(name_key("d"))(m) && (!is_birth || births++ == arrived);
        });
        EXPECT_FALSE(others().commit().ok());
        other_->die();
        must(meta().collect());
        EXPECT_EQ(groups(), before) << arrived;
        EXPECT_EQ(purge_all(), std::set<Ino>{});
        EXPECT_EQ(all_groups(), before) << arrived;
    }
}

TEST_F(NamelessTest, ARunIsRecordedOnceAndGoesWhenAllHaveNames) {
    SessionId session = others().session();
    must(others().mkdir(directory(kRootIno, "first")));
    ASSERT_EQ(births(session).size(), 1u);
    EXPECT_EQ(births(session)[0].second, 16u);
    uint64_t own_changes = 0;
    other_->hooks->before_mutation = [&](const Mutation& m) {
        own_changes += m.object() == session_object(session);
    };
    for (int i = 0; i < 1000; ++i) must(others().mkdir(directory(kRootIno, "d" + std::to_string(i))));
    other_->hooks->before_mutation = nullptr;
    EXPECT_EQ(own_changes, 5u);  // 64, then four times 256
    EXPECT_LE(births(session).size(), 2u);
    other_.reset();
    EXPECT_FALSE(has_session(session));
}

TEST_F(NamelessTest, HeldGroupsKeepTheRecordUntilTheyAreWritten) {
    open_other({.hold = true});
    SessionId session = others().session();
    auto make = [&](int from, int count) {
        for (int i = from; i < from + count; ++i)
            must(others().mkdir(directory(kRootIno, "d" + std::to_string(i))));
    };
    make(0, 81);
    EXPECT_EQ(births(session).size(), 3u);
    ASSERT_OK(others().commit());
    make(81, 256);
    EXPECT_EQ(births(session).size(), 2u);
    other_.reset();
    EXPECT_FALSE(has_session(session));
}

TEST_F(NamelessTest, ADamagedRecordOfBirthsEndsIt) {
    SessionId dead = others().session();
    ASSERT_OK(other_->session().apply(
        std::move(other_->session().own_change().set_keys({{births_key(GroupId{9}), "junk"}}))));
    other_->die();
    EXPECT_ERRNO(meta().collect(), EIO);
    EXPECT_TRUE(must(read_registry(raw_, mount_->clock)).contains(dead));
}

}  // namespace
}  // namespace meshfs
