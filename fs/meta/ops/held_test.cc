// Mounts that hold groups: what a crash, a takeover or a purge finds in the store.
#include <thread>

#include "fs/base/thread.h"
#include "fs/meta/group.h"
#include "fs/meta/ops/fixture.h"

namespace meshfs {
namespace {

class HeldMountsTest : public MetaTest {
protected:
    HeldMountsTest() : a_(std::make_unique<TestMount>(cluster_, MetaOptions{.hold = true})) {
        a_->hooks->before_mutation = [this](const Mutation& m) { judge(m); };
    }
    ~HeldMountsTest() override {
        if (a_) a_->hooks->before_mutation = nullptr;
    }
    Meta& a() { return *a_->meta; }

    // A crash may come at any moment: no directory is named that is not in the store.
    void judge(const Mutation& m) {
        for (const Effect& effect : m.effects()) {
            if (effect.kind != Effect::Kind::set_keys) continue;
            for (const auto& [key, value] : effect.keys) {
                if (!key.starts_with("n")) continue;
                Dentry dentry = must(decode_dentry(value));
                if (dentry.kind != Dentry::Kind::directory) continue;
                ++named_;
                ObjectName child = group_object(place_of(dentry.ino).group);
                auto there = raw_.ask(std::move(Query(child).keys({kPlaceKey})));
                ASSERT_TRUE(there.ok()) << m.object().name << " names " << child.name;
                // By which gc tells that it has a name.
                Place place = must(decode_place(there->keys[kPlaceKey])).dentry;
                EXPECT_EQ(slot_key(place.slot), slot_key(dentry.anchor)) << child.name;
                EXPECT_EQ(group_object(place.group), m.object()) << child.name;
            }
        }
    }
    // What others asked for is let go of, and stays free for a second.
    void recall(const ObjectName& group) {
        ASSERT_TRUE(a().core().held.recall({.object = group.name}));
        a().tick();
        ASSERT_TRUE(stored_lease(group).is_free());
    }
    Lease stored_lease(const ObjectName& group) {
        return must(decode_lease(must(raw_.ask(std::move(Query(group).xattrs()))).xattrs[kLeaseXattr]));
    }
    bool is_stored(const std::string& name) {
        return must(raw_.ask(std::move(Query(root_).keys({name_key(name)})))).keys.contains(name_key(name));
    }
    static Status make(Meta& meta, const std::string& name, uint32_t type = S_IFREG) {
        auto made = type == S_IFDIR ? meta.mkdir(request(kRootIno, name, S_IFDIR | 0755))
                                    : meta.create(request(kRootIno, name, S_IFREG | 0644));
        return made.ok() ? Status() : made.error();
    }

    const ObjectName root_ = group_object(kRootGroup);
    int named_ = 0;  // directories, in mutations of a_
    std::unique_ptr<TestMount> a_;
};

TEST_F(HeldMountsTest, ADirectoryIsInTheStoreBeforeItsName) {
    ASSERT_OK(make(a(), "d", S_IFDIR));  // its slot is reserved, which takes the root
    EXPECT_EQ(named_, 0);
    ASSERT_OK(a().commit());
    EXPECT_EQ(named_, 1);
    recall(root_);
    ASSERT_OK(make(a(), "e", S_IFDIR));  // a slot of the reserve; the root stays free
    EXPECT_EQ(named_, 2);
    EXPECT_TRUE(stored_lease(root_).is_free());
    a_->clock.advance_ns(2 * kNsPerSecond);
    a().tick();
    ASSERT_OK(make(a(), "f", S_IFDIR));  // the same; its name takes the root
    EXPECT_EQ(named_, 3);
    EXPECT_FALSE(stored_lease(root_).is_free());
}

// Its range is split by another mount after it was made, and before it is named.
TEST_F(HeldMountsTest, ADirectoryKnowsItsPlaceBeforeItsName) {
    ASSERT_OK(make(a(), "e", S_IFDIR));  // slots are in reserve
    ASSERT_OK(a().commit());
    recall(root_);
    TestMount other(cluster_, {.split_names = 2});
    bool is_split = false;
    a_->hooks->before_mutation = [&](const Mutation& m) {
        if (m.object().name.starts_with("g.") && m.object() != root_ && !std::exchange(is_split, true)) {
            for (const char* name : {"a", "b", "c"}) EXPECT_OK(make(*other.meta, name));
            core().maps.forget(kRootIno);
            for (const auto& [first, group] : must(read_range_map(core(), kRootIno)))
                a().core().held.recall({.object = group_object(group).name});  // what a does there is written at once
        }
        judge(m);
    };
    const int named_before = named_;
    ASSERT_OK(make(a(), "z", S_IFDIR));
    ASSERT_OK(a().commit());
    EXPECT_GT(named_, named_before);
    EXPECT_TRUE(is_split);
    a_->hooks->before_mutation = nullptr;
}

// Its maker names it in a group that he holds, and closes it, when he is about to be asked.
TEST_F(HeldMountsTest, APurgeElsewhereSeesANameThatIsNotWrittenYet) {
    Ino t = must(a().create_unnamed(request(kRootIno, "", S_IFREG | 0600))).ino;
    ASSERT_OK(a().commit());
    recall(root_);
    core().unlinked.push({.object = root_, .key = unlinked_key(t)});  // as gc finds it
    int looks = 0;  // at its record
    bool is_named = false;
    mount_->hooks->before_query = [&](const Query& query) {
        if (query.object().name.starts_with("sessions") && looks > 0 && !std::exchange(is_named, true)) {
            a_->clock.advance_ns(2 * kNsPerSecond);  // it was asked for, and is taken again
            EXPECT_OK(make(a(), "x"));
            EXPECT_OK(a().publish(t, kRootIno, "n", {}));
            a().released(t);
            EXPECT_FALSE(is_stored("n"));
        }
        if (query.object() == root_ && ++looks > 2) a().tick();  // lets go of what is asked for
    };
    EXPECT_TRUE(must(meta().purgeable(16)).empty());
    EXPECT_TRUE(is_named);
    EXPECT_EQ(must(meta().lookup(kRootIno, "n")).ino, t);
    mount_->hooks->before_query = nullptr;
}

// The change is in memory and stays there, though its caller was told that it could not be written.
TEST_F(HeldMountsTest, ANumberIsNotGivenTwiceWhenThereIsNoRoom) {
    TestMount mount(cluster_, {.hold = true, .synchronous = true});
    ASSERT_OK(make(*mount.meta, "a"));
    mount.faults->set_plan({.error = 1, .error_code = ENOSPC});
    EXPECT_ERRNO(make(*mount.meta, "b"), ENOSPC);
    mount.faults->set_plan({});
    Ino c = must(mount.meta->create(request(kRootIno, "c", S_IFREG | 0644))).ino;
    auto b = mount.meta->lookup(kRootIno, "b");
    EXPECT_TRUE(!b.ok() || b->ino != c);
}

// The keyring of the other does not allow to fence: leases alone keep out what the dead had not written.
TEST_F(HeldMountsTest, WhatTheDeadHadNotWrittenNeverLands) {
    ASSERT_OK(make(a(), "written"));
    ASSERT_OK(make(a(), "unwritten"));
    ASSERT_OK(make(a(), "directory", S_IFDIR));
    ASSERT_OK(a().create(request(must(a().lookup(kRootIno, "directory")).ino, "below", S_IFREG | 0644)));
    mount_->hooks->may_fence = false;
    ASSERT_OK(make(meta(), "others"));  // waits until it is dead
    EXPECT_TRUE(a().is_in_window());    // by its clock nothing has happened
    EXPECT_ERRNO(a().commit(), EIO);
    EXPECT_EQ(names(), (std::vector<std::string>{"others", "written"}));
    EXPECT_ERRNO(meta().lookup(kRootIno, "unwritten"), ENOENT);
    a().tick();
    EXPECT_ERRNO(make(a(), "late"), ESHUTDOWN);
    EXPECT_EQ(names(), (std::vector<std::string>{"others", "written"}));
    a_->hooks->before_mutation = nullptr;
    a_->die();
    a_.reset();
}

// Its leases are as it left them, and it may not be fenced: nobody else tells it to stop.
TEST_F(HeldMountsTest, AnOperationOfAMountThatIsDeclaredDeadMeanwhileEnds) {
    ASSERT_OK(make(a(), "d", S_IFDIR));
    ASSERT_OK(make(a(), "f"));
    Ino d = must(a().lookup(kRootIno, "d")).ino;
    ASSERT_OK(a().commit());
    bool is_dead = false;
    a_->hooks->before_mutation = [&](const Mutation& m) {
        if (is_dead || !m.object().name.starts_with("g.")) return;
        is_dead = true;
        ASSERT_OK(raw_.apply(std::move(Mutation(session_object(a().session()))
                                           .set_xattr(kStateXattr, encode(StateRecord{.state = SessionState::dead})))));
        a().tick();
        a_->faults->set_plan({.lost_call = 1});
    };
    a_->hooks->before_query = [&](const Query&) { a_->faults->set_plan({}); };
    EXPECT_ERRNO(a().rename({kRootIno, "f", d, "f"}), ESHUTDOWN);
    EXPECT_TRUE(is_dead);
    a_->hooks->before_mutation = nullptr;
    a_->hooks->before_query = nullptr;
    a_->die();
    a_.reset();
}

// What it has begun is for visitors: nobody here will ever let go of its objects.
TEST_F(HeldMountsTest, WhoWaitsForAnOperationOfADeadMountEnds) {
    ASSERT_OK(make(a(), "d", S_IFDIR));
    ASSERT_OK(make(a(), "f"));
    Ino d = must(a().lookup(kRootIno, "d")).ino;
    ASSERT_OK(a().commit());
    const ObjectName own = session_object(a().session());
    a_->hooks->before_mutation = [&](const Mutation& m) {
        if (m.object() == own) a_->faults->set_plan({.lost_reply = 1});
    };
    EXPECT_ERRNO(a().rename({kRootIno, "f", d, "f"}), ETIMEDOUT);
    a_->hooks->before_mutation = nullptr;
    a_->faults->set_plan({});
    int waited_for = 0;
    Thread waiter("waiter", [&] { waited_for = make(a(), "g").code(); });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ASSERT_OK(raw_.apply(std::move(Mutation(own).set_xattr(kStateXattr, encode(StateRecord{.state = SessionState::dead})))));
    a().tick();
    waiter.join();
    EXPECT_EQ(waited_for, ESHUTDOWN);
    a_->die();
    a_.reset();
}

TEST_F(HeldMountsTest, AColdDirectoryIsListedWithThreeCalls) {
    Ino d = must(mkdir("d")).ino;
    for (int i = 0; i < 100; ++i) must(create("f" + std::to_string(i), d));
    const uint64_t before = a_->metered->counts().all_calls();
    a().will_list(d);
    must(a().get(d));
    auto page = must(a().list({.directory = d, .with_inodes = true}));
    EXPECT_EQ(page.entries.size(), 100u);
    for (const auto& entry : page.entries) must(a().lookup(d, entry.name));
    EXPECT_EQ(a_->metered->counts().all_calls() - before, 3u);
}

TEST_F(HeldMountsTest, WhatAnOperationOverSeveralGroupsChangedStaysHeld) {
    ASSERT_OK(make(a(), "d", S_IFDIR));
    ASSERT_OK(make(a(), "f"));
    Ino d = must(a().lookup(kRootIno, "d")).ino;
    EXPECT_ERRNO(a().lookup(kRootIno, "h"), ENOENT);  // known from here on
    must(a().rename({kRootIno, "f", d, "g"}));
    const uint64_t before = a_->metered->counts().all_calls();
    EXPECT_ERRNO(a().lookup(kRootIno, "f"), ENOENT);
    must(a().lookup(d, "g"));
    ASSERT_OK(make(a(), "h"));
    EXPECT_EQ(a_->metered->counts().all_calls(), before);
    Meta& b = meta();
    a().tick();
    recall(group_object(kRootGroup));
    recall(group_object(place_of(d).group));
    must(b.lookup(kRootIno, "h"));
    must(b.lookup(d, "g"));
}

TEST_F(HeldMountsTest, NothingIsPurgedBeforeItsNameIsGoneFromTheStore) {
    ASSERT_OK(make(a(), "f"));
    ASSERT_OK(a().commit());
    Ino f = must(a().unlink(kRootIno, "f")).inode.ino;
    ASSERT_TRUE(is_stored("f"));
    a_->faults->set_plan({.error = 1, .error_code = ENOSPC});
    EXPECT_ERRNO(a().purgeable(16), ENOSPC);
    a_->faults->set_plan({});
    ASSERT_TRUE(is_stored("f"));
    auto items = must(a().purgeable(16));
    ASSERT_EQ(items.size(), 1u);
    EXPECT_EQ(items[0].inode.ino, f);
    EXPECT_FALSE(is_stored("f"));
    EXPECT_OK(a().purged(items[0]));
}

class PromisesTest : public HeldMountsTest {
protected:
    PromisesTest() {
        a().on_broken_promises([this](const std::vector<Ino>& inodes) {
            ++told_;
            broken_ = inodes;
        });
    }
    ~PromisesTest() override { a().on_broken_promises(nullptr); }

    int told_ = 0;
    std::vector<Ino> broken_;
};

TEST_F(PromisesTest, AreBrokenBeforeTheGroupIsFree) {
    ASSERT_OK(make(a(), "f"));
    uint64_t since = a().moment();
    Inode f = must(a().lookup(kRootIno, "f"));
    EXPECT_GT(a().promise(f, since), 0);
    EXPECT_LE(a().promise(f, since), kNsPerSecond);
    EXPECT_EQ(a().keep_name_ns(), 0);
    EXPECT_TRUE(a().is_promised(f));
    int freed = 0;
    a_->hooks->before_mutation = [&](const Mutation& m) {
        for (const Effect& effect : m.effects())
            if (effect.kind == Effect::Kind::set_xattr && effect.name == kLeaseXattr &&
                must(decode_lease(effect.value)).is_free()) {
                ++freed;
                EXPECT_EQ(broken_, std::vector<Ino>{f.ino});
            }
    };
    recall(root_);
    EXPECT_EQ(freed, 1);
    EXPECT_EQ(told_, 1);
    EXPECT_FALSE(a().is_promised(f));
}

TEST_F(PromisesTest, AreNotMadeOfWhatWasReadBeforeTheGroupCameOrWent) {
    ASSERT_OK(make(a(), "f"));
    uint64_t since = a().moment();
    Inode f = must(a().lookup(kRootIno, "f"));
    recall(root_);
    EXPECT_EQ(a().promise(f, since), 0);

    since = a().moment();
    f = must(a().lookup(kRootIno, "f"));
    EXPECT_EQ(a().promise(f, since), 0);
    a_->clock.advance_ns(2 * kNsPerSecond);
    a().tick();
    ASSERT_OK(make(a(), "g"));  // takes it
    EXPECT_EQ(a().promise(f, since), 0);
    since = a().moment();
    f = must(a().lookup(kRootIno, "f"));
    EXPECT_GT(a().promise(f, since), 0);
}

TEST_F(PromisesTest, EndWithTheWindowAndTheSession) {
    ASSERT_OK(make(a(), "f"));
    uint64_t since = a().moment();
    Inode f = must(a().lookup(kRootIno, "f"));
    EXPECT_GT(a().promise(f, since), 0);
    a_->clock.advance_ns(kLeaseNs / 2);
    EXPECT_EQ(a().promise(f, since), 0);
    mount_->hooks->may_fence = false;  // the fixture's store cannot connect anew
    ASSERT_OK(make(meta(), "others"));  // takes it over
    a().tick();
    ASSERT_OK(a().begin_anew());
    EXPECT_EQ(told_, 1);
    EXPECT_EQ(broken_, std::vector<Ino>{f.ino});
}

// A file with several names is in a record of its own, which is nobody's to keep.
TEST_F(PromisesTest, AreMadeOfInodesThatAreInAHeldGroupAlone) {
    ASSERT_OK(make(a(), "f"));
    ASSERT_OK(a().link(must(a().lookup(kRootIno, "f")).ino, kRootIno, "g"));
    ASSERT_OK(make(a(), "h"));  // takes the root again
    uint64_t since = a().moment();
    Inode f = must(a().lookup(kRootIno, "f"));
    EXPECT_EQ(f.links, 2u);
    EXPECT_EQ(a().promise(f, since), 0);
    EXPECT_EQ(a().promise(must(a().get(f.ino)), since), 0);
    Inode root = must(a().get(kRootIno));
    EXPECT_GT(a().promise(root, a().moment()), 0);
}

}  // namespace
}  // namespace meshfs
