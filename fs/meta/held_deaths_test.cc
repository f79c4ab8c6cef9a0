// Directories that are removed in memory: what the store is asked, and what a crash at each moment leaves.
#include <future>
#include <thread>

#include "fs/meta/group.h"
#include "fs/meta/ops/fixture.h"

namespace meshfs {
namespace {

class HeldDeathsTest : public MetaTest {
protected:
    HeldDeathsTest() : a_(std::make_unique<TestMount>(cluster_, MetaOptions{.hold = true})) {}
    ~HeldDeathsTest() override {
        if (a_) a_->hooks->before_mutation = nullptr;
    }
    Meta& a() { return *a_->meta; }
    Ino make(const std::string& name, Ino in = kRootIno) { return must(a().mkdir(request(in, name, S_IFDIR | 0755))).ino; }
    // Of one that is gone: dead.
    Lease lease_of(Ino directory) {
        auto header = raw_.ask(std::move(Query(group_object(place_of(directory).group)).xattrs()));
        return header.ok() ? must(decode_lease(header->xattrs[kLeaseXattr])) : Lease{.kind = Lease::Kind::dead};
    }
    bool is_dead(Ino directory) { return lease_of(directory).kind == Lease::Kind::dead; }
    bool is_named(const std::string& name, Ino in = kRootIno) {
        auto group = group_object(place_of(in).group);
        return must(raw_.ask(std::move(Query(group).keys({name_key(name)})))).keys.contains(name_key(name));
    }
    // It dies at its n-th mutation of this call; false: there were not so many.
    bool commit_until(int n) {
        a_->hooks->before_mutation = [this, left = n](const Mutation&) mutable {
            if (left-- == 0) a_->faults->kill();
        };
        Status status = a().commit();
        a_->hooks->before_mutation = nullptr;
        return !status.ok();
    }
    void let_a_die() {
        a_->die();
        a_.reset();
    }

    std::unique_ptr<TestMount> a_;
};

TEST_F(HeldDeathsTest, ManyDirectoriesGoWithOneIntent) {
    std::vector<Ino> directories;
    for (int i = 0; i < 10; ++i) directories.push_back(make("d" + std::to_string(i)));
    ASSERT_OK(a().commit());
    uint64_t before = a_->metered->counts().all_calls();
    for (int i = 0; i < 10; ++i) must(a().rmdir(kRootIno, "d" + std::to_string(i)));
    EXPECT_EQ(a_->metered->counts().all_calls() - before, 0u);
    EXPECT_ERRNO(a().lookup(kRootIno, "d0"), ENOENT);
    EXPECT_ERRNO(a().create(request(directories[0], "f", S_IFREG | 0644)), ENOENT);
    EXPECT_TRUE(is_named("d0"));
    before = a_->metered->counts().all_calls();
    ASSERT_OK(a().commit());
    EXPECT_EQ(a_->metered->counts().all_calls() - before, 12u);  // the intent, the group of the names, ten that are dead
    for (int i = 0; i < 10; ++i) {
        EXPECT_FALSE(is_named("d" + std::to_string(i)));
        EXPECT_TRUE(is_dead(directories[static_cast<size_t>(i)]));
    }
    EXPECT_FALSE(a().core().intents.take_done().empty());
}

TEST_F(HeldDeathsTest, OneThatIsNotEmptyStays) {
    Ino d = make("d");
    must(a().create(request(d, "f", S_IFREG | 0644)));
    ASSERT_OK(a().commit());
    EXPECT_ERRNO(a().rmdir(kRootIno, "d"), ENOTEMPTY);
    must(a().unlink(d, "f"));
    must(a().rmdir(kRootIno, "d"));
    ASSERT_OK(a().commit());
    EXPECT_TRUE(is_dead(d));
}

// Who cannot finish what was announced is told so; else a name might lead to what is dead.
TEST_F(HeldDeathsTest, WhoOnlyReadsWaitsALeaseTimeAndReadsNothingThatIsHalfDone) {
    make("other");
    Ino d = make("d"), e = make("e", d);
    ASSERT_OK(a().commit());
    must(a().rmdir(d, "e"));
    a_->hooks->before_mutation = [&](const Mutation& m) {
        a_->faults->set_plan({.error = m.object() == group_object(place_of(d).group) ? 1. : 0., .error_code = ENOSPC});
    };
    EXPECT_ERRNO(a().commit(), ENOSPC);
    a_->hooks->before_mutation = nullptr;
    ASSERT_TRUE(is_named("e", d) && is_dead(e));
    let_a_die();
    TestMount reader(cluster_, {.read_only = true});
    const int64_t before = reader.clock.boot_ns();
    must(reader.meta->lookup(kRootIno, "other"));
    EXPECT_GT(reader.clock.boot_ns() - before, kLeaseNs);
    EXPECT_ERRNO(reader.meta->lookup(d, "e"), EBUSY);
    EXPECT_ERRNO(meta().lookup(d, "e"), ENOENT);
    EXPECT_ERRNO(reader.meta->lookup(d, "e"), ENOENT);
}

// A tree, from the inside out: all of it in one turn.
TEST_F(HeldDeathsTest, ACrashLeavesTheNameAndTheDirectoryOrNeither) {
    for (int n = 0;; ++n) {
        Ino d = make("d"), e = make("e", d), f = make("f", d), g = make("g", e);
        must(a().create(request(f, "file", S_IFREG | 0644)));
        ASSERT_OK(a().commit());
        must(a().unlink(f, "file"));
        must(a().rmdir(e, "g"));
        must(a().rmdir(d, "f"));
        must(a().rmdir(d, "e"));
        must(a().rmdir(kRootIno, "d"));
        const bool has_died = commit_until(n);
        const bool was_begun = n > 0;
        if (!has_died) break;
        let_a_die();
        auto found = meta().lookup(kRootIno, "d");  // takes over, and finishes what was begun
        EXPECT_EQ(found.code(), was_begun ? ENOENT : 0) << n;
        EXPECT_EQ(is_dead(d), was_begun) << n;
        for (auto [name, in, directory] : {std::tuple("e", d, e), {"f", d, f}, {"g", e, g}}) {
            if (!was_begun) must(meta().lookup(in, name));
            EXPECT_EQ(is_dead(directory), was_begun) << name << " " << n;
        }
        if (!was_begun) {
            for (auto [name, in] : {std::pair("file", f)}) must(meta().unlink(in, name));
            must(meta().rmdir(e, "g"));
            must(meta().rmdir(d, "e"));
            must(meta().rmdir(d, "f"));
            must(meta().rmdir(kRootIno, "d"));
        }
        a_ = std::make_unique<TestMount>(cluster_, MetaOptions{.hold = true});
        mount_ = std::make_unique<TestMount>(cluster_);
    }
}

// The group of the names cannot be written: what was announced stays so, whatever else is written meanwhile.
TEST_F(HeldDeathsTest, WhatWasAnnouncedStaysOnRecordUntilItIsDone) {
    Ino d = make("d"), e = make("e"), x = make("x");
    ASSERT_OK(a().commit());
    must(a().rmdir(kRootIno, "d"));
    must(a().rmdir(kRootIno, "e"));
    const ObjectName own = session_object(a().session()), root = group_object(kRootGroup);
    a_->hooks->before_mutation = [&](const Mutation& m) {
        a_->faults->set_plan({.error = m.object() == root ? 1. : 0., .error_code = ENOSPC});
    };
    EXPECT_ERRNO(a().commit(), ENOSPC);
    EXPECT_TRUE(is_named("d") && is_named("e"));
    must(a().create(request(x, "f", S_IFREG | 0644)));
    EXPECT_ERRNO(a().commit(), ENOSPC);
    EXPECT_TRUE(is_named("f", x));
    ASSERT_TRUE(a().core().held.recall({.object = group_object(place_of(x).group).name}));
    a().tick();  // others get what is not of that
    EXPECT_TRUE(lease_of(x).is_free());
    ASSERT_TRUE(a().core().held.recall({.object = root.name}));
    a().tick();  // and of that nothing
    EXPECT_TRUE(is_named("d"));
    EXPECT_EQ(must(raw_.ask(std::move(Query(own).range("", "x")))).ranges.at(0).entries.size(), 1u);
    EXPECT_TRUE(is_dead(d) && is_dead(e));
    a_->hooks->before_mutation = nullptr;
    let_a_die();
    EXPECT_ERRNO(meta().lookup(kRootIno, "d"), ENOENT);
    EXPECT_ERRNO(meta().lookup(kRootIno, "e"), ENOENT);
}

TEST_F(HeldDeathsTest, WhatWasAnnouncedIsDoneOnceItCanBe) {
    Ino d = make("d");
    ASSERT_OK(a().commit());
    must(a().rmdir(kRootIno, "d"));
    const ObjectName own = session_object(a().session());
    a_->hooks->before_mutation = [&](const Mutation& m) {
        if (m.object() != own) a_->faults->set_plan({.error = 1, .error_code = ENOSPC});
    };
    EXPECT_ERRNO(a().commit(), ENOSPC);
    a_->hooks->before_mutation = nullptr;
    a_->faults->set_plan({});
    must(a().create(request(kRootIno, "f", S_IFREG | 0644)));
    ASSERT_OK(a().commit());
    EXPECT_FALSE(is_named("d"));
    EXPECT_TRUE(is_dead(d) && is_named("f"));
}

// A visitor must be able to read it: 4,096 steps, 6 MiB.
TEST_F(HeldDeathsTest, ManyInManyGroupsAreSeveralIntents) {
    constexpr int kMany = 2500;
    std::vector<Ino> parents;
    for (int i = 0; i < kMany; ++i) {
        parents.push_back(make("d" + std::to_string(i)));
        make("sub", parents.back());
    }
    ASSERT_OK(a().commit());
    const ObjectName own = session_object(a().session());
    std::map<std::string, size_t> steps;
    a_->hooks->before_mutation = [&](const Mutation& m) {
        if (m.object() != own) return;
        std::vector<std::string_view> parts;
        for (const Effect& effect : m.effects())
            if (effect.kind == Effect::Kind::set_keys)
                for (const auto& [key, value] : effect.keys)
                    if (key.starts_with("x")) parts.push_back(value);
        if (!parts.empty()) steps[m.effects().back().keys.front().first] = must(decode_intent(parts)).size();
    };
    for (Ino parent : parents) must(a().rmdir(parent, "sub"));
    ASSERT_OK(a().commit());
    a_->hooks->before_mutation = nullptr;
    EXPECT_GT(steps.size(), 2u);
    size_t all = 0;
    for (const auto& [key, size] : steps) all += size;
    EXPECT_EQ(all, size_t{2 * kMany});
    for (Ino parent : parents) EXPECT_FALSE(is_named("sub", parent));
}

// Where not all of it is known.
TEST_F(HeldDeathsTest, WhoLooksAtOneThatIsDyingGetsAnAnswer) {
    Ino d = make("d");
    ASSERT_OK(a().commit());
    const ObjectName group = group_object(place_of(d).group);
    ASSERT_TRUE(a().core().held.recall({.object = group.name}));
    a().tick();
    a_->clock.advance_ns(5 * kNsPerSecond);
    a().tick();
    must(a().create(request(d, "f", S_IFREG | 0644)));
    must(a().unlink(d, "f"));
    must(a().rmdir(kRootIno, "d"));
    EXPECT_FALSE(is_dead(d));
    const uint64_t before = a_->metered->counts().all_calls();
    auto answer = must(a().core().store.ask(std::move(Query(group).xattrs().keys({"unknown"}))));
    EXPECT_EQ(must(decode_lease(answer.xattrs[kLeaseXattr])).kind, Lease::Kind::dead);
    EXPECT_LE(a_->metered->counts().all_calls() - before, 1u);
}

TEST_F(HeldDeathsTest, AnIntentThatIsNotHeardOfIsSaidAgain) {
    Ino d = make("d");
    ASSERT_OK(a().commit());
    must(a().rmdir(kRootIno, "d"));
    const ObjectName own = session_object(a().session());
    for (bool is_late : {false, true}) {
        a_->hooks->before_mutation = [&](const Mutation& m) {
            FaultPlan lost{.lost_call = is_late ? 0. : 1., .late_effect = is_late ? 1. : 0.};
            if (m.object() == own) a_->faults->set_plan(lost);
        };
        EXPECT_ERRNO(a().commit(), ETIMEDOUT);
        a_->faults->set_plan({});
        a_->hooks->before_mutation = nullptr;
        EXPECT_TRUE(is_named("d"));
        EXPECT_FALSE(is_dead(d));
    }
    ASSERT_OK(a().commit());
    EXPECT_FALSE(is_named("d"));
    EXPECT_TRUE(is_dead(d));
    a().tick();
    EXPECT_EQ(must(raw_.ask(std::move(Query(own).range("", "x")))).ranges.at(0).entries.size(), 0u);
}

// It is in the store all the same: what comes later must not take its place.
TEST_F(HeldDeathsTest, AnIntentThatIsNotHeardOfIsNotForgottenIfItIsRefusedThen) {
    make("d");
    ASSERT_OK(a().commit());
    must(a().rmdir(kRootIno, "d"));
    const ObjectName own = session_object(a().session());
    for (const FaultPlan& plan : {FaultPlan{.lost_reply = 1}, FaultPlan{.error = 1, .error_code = ENOSPC}}) {
        a_->hooks->before_mutation = [&](const Mutation& m) { a_->faults->set_plan(m.object() == own ? plan : FaultPlan{}); };
        EXPECT_ERRNO(a().commit(), plan.error > 0 ? ENOSPC : ETIMEDOUT);
        a_->hooks->before_mutation = nullptr;
        a_->faults->set_plan({});
    }
    ASSERT_OK(a().commit());
    EXPECT_FALSE(is_named("d"));
    EXPECT_EQ(must(raw_.ask(std::move(Query(own).range("", "x")))).ranges.at(0).entries.size(), 1u);
}

TEST_F(HeldDeathsTest, WhatCannotBeAnnouncedDoesNotOutgrowAnIntent) {
    Ino p = make("p");
    std::vector<std::string> all;
    for (int i = 0; i < 200; ++i) {
        all.push_back("d" + std::to_string(i));
        Ino d = make(all.back(), p);
        for (int j = 0; j < 100; ++j) must(a().create(request(d, "a file with a long name " + std::to_string(j), S_IFREG | 0644)));
    }
    ASSERT_OK(a().commit());
    const ObjectName own = session_object(a().session());
    a_->hooks->before_mutation = [&](const Mutation& m) {
        a_->faults->set_plan({.error = m.object() == own ? 1. : 0., .error_code = EDQUOT});
    };
    std::vector<std::string> left;
    for (const auto& name : all) {
        Ino d = must(a().lookup(p, name)).ino;
        for (int j = 0; j < 100; ++j) (void)a().unlink(d, "a file with a long name " + std::to_string(j));
        if (!a().rmdir(p, name).ok()) left.push_back(name);
        (void)a().commit();
    }
    EXPECT_FALSE(left.empty());
    a_->hooks->before_mutation = nullptr;
    a_->faults->set_plan({});
    EXPECT_OK(a().commit());
    for (const auto& name : left) must(a().rmdir(p, name));
    EXPECT_OK(a().commit());
}

// The answer of what made it dead was lost: it is ours, as it should be.
TEST_F(HeldDeathsTest, ALostAnswerIsNoLoss) {
    Ino d = make("d");
    ASSERT_OK(a().commit());
    must(a().rmdir(kRootIno, "d"));
    int left = 2;  // group of the names, d
    a_->hooks->before_mutation = [&](const Mutation& m) {
        a_->faults->set_plan({.lost_reply = m.object().name.starts_with("g.") && left-- > 0 ? 1. : 0.});
    };
    a_->hooks->before_query = [&](const Query&) { a_->faults->set_plan({}); };
    ASSERT_OK(a().commit());
    a_->hooks->before_mutation = nullptr;
    a_->hooks->before_query = nullptr;
    EXPECT_LE(left, 0);
    EXPECT_FALSE(is_named("d"));
    EXPECT_TRUE(is_dead(d));
    ASSERT_OK(a().commit());
}

// It was asked for while it lived, and the answer came when it was dead and its batch not yet told so.
TEST_F(HeldDeathsTest, WhoFindsItDeadBeforeItsBatchIsOverLooksAgain) {
    const ObjectName group = group_object(place_of(make("d")).group), root = group_object(kRootGroup);
    ASSERT_OK(a().commit());
    std::promise<void> is_dead, is_answered;
    std::thread writing;
    a_->hooks->before_mutation = [&, left = 1](const Mutation& m) mutable {
        const bool is_it = writing.joinable() && m.object() == root && left-- > 0;
        a_->faults->set_plan({.lost_reply = is_it ? 1. : 0.});
    };
    a_->hooks->before_query = [&, has_begun = false](const Query& q) mutable {
        if (std::this_thread::get_id() == writing.get_id()) {  // what became of the batch of the names
            is_dead.set_value();
            is_answered.get_future().wait();
        } else if (q.object() == group && !std::exchange(has_begun, true)) {
            a().tick();
            must(a().rmdir(kRootIno, "d"));
            std::promise<void> is_known;
            writing = std::thread([&, known = is_known.get_future()] {
                known.wait();
                EXPECT_OK(a().commit());
            });
            is_known.set_value();
            is_dead.get_future().wait();
        }
    };
    a_->clock.advance_ns(kLeaseNs / 2);  // only the store may answer
    auto answer = must(a().core().store.ask(std::move(Query(group).xattrs())));
    EXPECT_EQ(must(decode_lease(answer.xattrs[kLeaseXattr])).kind, Lease::Kind::dead);
    is_answered.set_value();
    writing.join();
    a_->hooks->before_mutation = nullptr;
    a_->hooks->before_query = nullptr;
    EXPECT_FALSE(is_named("d"));
}

// One that began to die when the names were under way already, and these cannot be written.
TEST_F(HeldDeathsTest, WhoWaitsForOneIsToldWhatItWaitsFor) {
    make("d");
    const Ino e = make("e");
    ASSERT_OK(a().commit());
    a_->clock.advance_ns(kNsPerSecond);
    a().tick();  // others may read them: e is shut before it can die
    must(a().rmdir(kRootIno, "d"));
    const ObjectName group = group_object(place_of(e).group), root = group_object(kRootGroup);
    std::promise<void> is_under_way, may_go_on;
    std::thread writing;
    int code = ENOSPC;
    a_->hooks->before_mutation = [&](const Mutation& m) {
        if (m.object() == group && !writing.joinable()) {
            writing = std::thread([&] { EXPECT_ERRNO(a().commit(), ENOSPC); });
            is_under_way.get_future().wait();
        } else if (m.object() == session_object(a().session())) {
            is_under_way.set_value();
            may_go_on.get_future().wait();
        }
        a_->faults->set_plan({.error = m.object() == root ? 1. : 0., .error_code = code});
    };
    must(a().rmdir(kRootIno, "e"));
    may_go_on.set_value();
    writing.join();
    auto change = [&] { return a().core().store.apply(std::move(Mutation(group).set_keys({{"z", "of a lane"}}))); };
    EXPECT_ERRNO(change(), ENOSPC);
    code = EAGAIN;
    EXPECT_ERRNO(change(), ETIMEDOUT);
    a_->hooks->before_mutation = nullptr;
    a_->faults->set_plan({});
    ASSERT_OK(a().commit());
    EXPECT_FALSE(is_named("d") || is_named("e"));
    EXPECT_TRUE(is_dead(e));
}

TEST_F(HeldDeathsTest, OthersSeeItOnceTheyAskForEitherGroup) {
    for (bool is_of_name : {true, false}) {
        Ino d = make("d");
        ASSERT_OK(a().commit());
        must(a().rmdir(kRootIno, "d"));
        const GroupId group = is_of_name ? kRootGroup : place_of(d).group;
        ASSERT_TRUE(a().core().held.recall({.object = group_object(group).name}));
        a().tick();
        EXPECT_FALSE(is_named("d"));
        EXPECT_TRUE(is_dead(d));
        if (!is_of_name) continue;
        EXPECT_ERRNO(meta().lookup(kRootIno, "d"), ENOENT);
        EXPECT_TRUE(meta().get(d).code() != 0 || must(meta().get(d)).links == 0);
        a_->clock.advance_ns(5 * kNsPerSecond);
        a().tick();
    }
}

// Its lane in the group is removed by purge while the directory is only dead in memory.
TEST_F(HeldDeathsTest, WhatWasUnlinkedInItIsPurged) {
    Ino d = make("d");
    Ino f = must(a().create(request(d, "f", S_IFREG | 0644))).ino;
    ASSERT_OK(a().commit());
    must(a().unlink(d, "f"));
    must(a().rmdir(kRootIno, "d"));
    EXPECT_EQ(purge_all(a()), (std::set<Ino>{f}));
    EXPECT_TRUE(is_dead(d));
    a_->clock.advance_ns(2 * kLeaseNs);
    a().tick();
    EXPECT_TRUE(purge(a()).empty());
    EXPECT_EQ(all_groups(), std::set<std::string>{group_object(kRootGroup).name});
}

// Whose session is over loses both changes; the next one finds both as they were.
TEST_F(HeldDeathsTest, WhatIsLostIsLostTogether) {
    Ino d = make("d");
    ASSERT_OK(a().commit());
    must(a().rmdir(kRootIno, "d"));
    mount_->hooks->may_fence = false;
    must(meta().create(request(kRootIno, "others", S_IFREG | 0644)));  // waits until it is dead
    EXPECT_ERRNO(a().commit(), EIO);
    EXPECT_TRUE(is_named("d"));
    EXPECT_FALSE(is_dead(d));
    must(meta().rmdir(kRootIno, "d"));
    a().tick();
    let_a_die();
}

}  // namespace
}  // namespace meshfs
