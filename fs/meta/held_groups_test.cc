// Groups a mount has for itself: how they come to be held, what is answered and written when, how they go.
#include "fs/base/scheduler.h"
#include "fs/meta/held_fixture.h"
#include "fs/store/sim_store.h"

namespace meshfs {
namespace {

constexpr SessionId kOther{12345};

TEST_F(HeldGroupsTest, TheFirstChangeOfAFreeGroupTakesIt) {
    ASSERT_OK(change("n1", "a"));
    EXPECT_EQ(sent_.size(), 1u);
    EXPECT_EQ(stored("n1"), "a");
    EXPECT_TRUE(stored_lease().is_kept_by(core().session_id()));
    EXPECT_EQ(stored_lease().epoch, 2u);
}

TEST_F(HeldGroupsTest, WhatIsHeldIsChangedAndAnsweredInMemory) {
    ASSERT_OK(change("n1", "a"));
    ASSERT_OK(change("n2", "b"));
    const uint64_t before = calls();
    ASSERT_OK(change("n2", "c"));
    EXPECT_EQ(answered("n1"), "a");
    EXPECT_EQ(answered("n2"), "c");
    EXPECT_EQ(calls(), before);
    EXPECT_EQ(stored("n2"), "-");
}

TEST_F(HeldGroupsTest, WhatIsNotKnownIsReadOnce) {
    ASSERT_OK(raw_.apply(std::move(Mutation(kGroup).set_keys({{"n9", "z"}}))));
    ASSERT_OK(change("n1", "a"));
    EXPECT_EQ(answered("n9"), "z");
    const uint64_t before = calls();
    EXPECT_EQ(answered("n9"), "z");
    EXPECT_EQ(calls(), before);
}

TEST_F(HeldGroupsTest, ACommitIsOneBatchAndRaisesTheEpoch) {
    ASSERT_OK(change("n1", "a"));
    for (const char* key : {"n2", "n3", "n4"}) ASSERT_OK(change(key, "b"));
    sent_.clear();
    ASSERT_OK(held_.commit());
    EXPECT_EQ(sent_.size(), 1u);
    EXPECT_EQ(stored_lease().epoch, 3u);
    for (const char* key : {"n2", "n3", "n4"}) EXPECT_EQ(stored(key), "b");
    ASSERT_OK(held_.commit());
    EXPECT_EQ(sent_.size(), 1u);
    ASSERT_OK(change("n5", "c"));
    ASSERT_OK(held_.commit());
    EXPECT_EQ(stored_lease().epoch, 4u);
}

TEST_F(HeldGroupsTest, WhatIsDueIsWrittenAfterASecond) {
    make_dirty();
    mount_->clock.advance_ns(kNsPerSecond - 1);
    held_.tend();
    EXPECT_EQ(stored("n2"), "-");
    mount_->clock.advance_ns(1);
    held_.tend();
    EXPECT_EQ(stored("n2"), "batched");
}

TEST_F(HeldGroupsTest, WhatIsBornIsInTheStoreBeforeItsName) {
    make_dirty();
    ASSERT_OK(give_birth());
    ASSERT_OK(change("nborn", "78"));
    EXPECT_TRUE(sent_.empty());
    EXPECT_EQ(stored("d", kBorn), "ENOENT");
    at_next_ = [this] { EXPECT_EQ(stored("nborn"), "-"); };
    ASSERT_OK(held_.commit());
    ASSERT_EQ(sent_.size(), 2u);
    EXPECT_EQ(sent_[0].object(), kBorn);
    EXPECT_EQ(sent_[1].object(), kGroup);
    EXPECT_EQ(stored("d", kBorn), "inode");
    EXPECT_EQ(stored("nborn"), "78");
}

// The batch was frozen when the birth came to nothing: its names wait with it.
TEST_F(HeldGroupsTest, WithoutTheBirthNothingIsNamed) {
    make_dirty();
    ASSERT_OK(give_birth());
    ASSERT_OK(change("nborn", "78"));
    mount_->faults->set_plan({.error = 1, .error_code = ENOSPC});
    EXPECT_ERRNO(held_.commit(), ENOSPC);
    mount_->faults->set_plan({});
    EXPECT_EQ(stored("nborn"), "-");
    ASSERT_OK(held_.commit());
    EXPECT_EQ(stored("nborn"), "78");
    EXPECT_EQ(stored("d", kBorn), "inode");
}

// The birth arrived, with a name that is gone by the time it is sent again.
TEST_F(HeldGroupsTest, WhatIsRemovedAfterAnUnheardBirthIsGone) {
    ASSERT_OK(give_birth());
    mount_->faults->set_plan({.lost_reply = 1});
    bool once = false;  // while it is asked what became of it
    mount_->hooks->before_query = [&](const Query&) {
        if (std::exchange(once, true)) return;
        const std::string lease = encode(*held_.wants(kBorn, 1));
        ASSERT_OK(held_.apply(std::move(Mutation(kBorn).xattr_is(kLeaseXattr, lease).remove_keys({"d"}))));
    };
    EXPECT_ERRNO(held_.commit(), ETIMEDOUT);
    mount_->hooks->before_query = nullptr;
    mount_->faults->set_plan({});
    EXPECT_EQ(stored("d", kBorn), "inode");
    ASSERT_OK(held_.commit());
    EXPECT_EQ(stored("d", kBorn), "-");
}

TEST_F(HeldGroupsTest, WhatIsBornAndRemovedIsNeverSent) {
    ASSERT_OK(give_birth());
    const std::string lease = encode(*held_.wants(kBorn, 1));
    ASSERT_OK(held_.apply(std::move(Mutation(kBorn).xattr_is(kLeaseXattr, lease).remove())));
    ASSERT_OK(held_.commit());
    EXPECT_TRUE(sent_.empty());
    EXPECT_ERRNO(held_.ask(std::move(Query(kBorn).xattrs())), ENOENT);
}

TEST_F(HeldGroupsTest, WhatIsRecalledIsWrittenAndThenFree) {
    make_dirty();
    EXPECT_FALSE(held_.recall({.object = kBorn.name}));
    EXPECT_TRUE(held_.recall({.object = kGroup.name}));
    EXPECT_TRUE(sent_.empty());  // a message must not block
    held_.tend();
    ASSERT_EQ(sent_.size(), 2u);
    EXPECT_EQ(stored("n2"), "batched");
    EXPECT_TRUE(stored_lease().is_free());
    EXPECT_EQ(stored_lease().epoch, 4u);
    EXPECT_EQ(answered("n2"), "batched");
}

TEST_F(HeldGroupsTest, WhatIsFoughtOverStaysFreeEverLonger) {
    for (int64_t pause : {kNsPerSecond, 2 * kNsPerSecond, 4 * kNsPerSecond}) {
        ASSERT_OK(change("n1", "taken"));
        ASSERT_TRUE(stored_lease().is_kept_by(core().session_id()));
        ASSERT_TRUE(held_.recall({.object = kGroup.name}));
        held_.tend();
        beat_after(pause - 1);
        ASSERT_OK(change("n1", "free"));
        EXPECT_TRUE(stored_lease().is_free());
        EXPECT_EQ(stored("n1"), "free");
        beat_after(1);
    }
    ASSERT_OK(change("n1", "taken"));
    EXPECT_FALSE(stored_lease().is_free());
}

TEST_F(HeldGroupsTest, ABatchWhoseAnswerIsLostIsSentAgainUnderTheNextEpoch) {
    make_dirty();
    mount_->faults->set_plan({.lost_reply = 1});
    at_next_ = [this] { at_next_ = [this] { mount_->faults->set_plan({}); }; };
    // Between the two it is asked what became of the first, until there is an answer.
    mount_->hooks->before_query = [this](const Query&) { mount_->faults->set_plan({}); };
    ASSERT_OK(held_.commit());
    mount_->hooks->before_query = nullptr;
    ASSERT_EQ(sent_.size(), 2u);
    EXPECT_EQ(stored("n2"), "batched");
    EXPECT_EQ(stored_lease().epoch, 4u);
    EXPECT_ERRNO(raw_.apply(sent_[0]), ECANCELED);  // late, it does nothing
    ASSERT_OK(change("n3", "c"));
    ASSERT_OK(held_.commit());
    EXPECT_EQ(stored("n3"), "c");
}

TEST_F(HeldGroupsTest, ABatchThatNeverArrivedIsSentAgain) {
    make_dirty();
    mount_->faults->set_plan({.lost_call = 1});
    mount_->hooks->before_query = [this](const Query&) { mount_->faults->set_plan({}); };
    ASSERT_OK(held_.commit());
    mount_->hooks->before_query = nullptr;
    EXPECT_EQ(sent_.size(), 2u);
    EXPECT_EQ(stored("n2"), "batched");
    EXPECT_EQ(stored_lease().epoch, 3u);
}

TEST_F(HeldGroupsTest, WhatCouldNotBeWrittenStaysAndIsTold) {
    make_dirty();
    EXPECT_EQ(answered("n3"), "-");
    mount_->faults->set_plan({.error = 1, .error_code = ENOSPC});
    EXPECT_ERRNO(held_.commit(), ENOSPC);
    EXPECT_ERRNO(change("n3", "c"), ENOSPC);  // it is not taken on what cannot be written
    EXPECT_EQ(answered("n2"), "batched");
    mount_->faults->set_plan({});
    ASSERT_OK(change("n3", "c"));
    ASSERT_OK(held_.commit());
    EXPECT_EQ(stored("n2"), "batched");
    EXPECT_EQ(stored("n3"), "c");
}

TEST_F(HeldGroupsTest, MuchThatIsRefusedIsNotSentAgainWithoutAPause) {
    make_dirty();
    for (int i = 0; i < 20; ++i) ASSERT_OK(change("nlarge" + std::to_string(i), std::string(60'000, 'x')));
    mount_->faults->set_plan({.error = 1, .error_code = ENOSPC});
    held_.tend();
    EXPECT_EQ(sent_.size(), 1u);
    held_.tend();
    EXPECT_EQ(sent_.size(), 1u);
    mount_->clock.advance_ns(kNsPerSecond);
    held_.tend();
    EXPECT_EQ(sent_.size(), 2u);
    mount_->faults->set_plan({});
    ASSERT_OK(held_.commit());
}

TEST_F(HeldGroupsTest, OutsideTheWindowTheStoreAnswersAndHasEachChangeAtOnce) {
    make_dirty();
    mount_->clock.advance_ns(kLeaseNs / 2);
    const uint64_t before = calls();
    EXPECT_EQ(answered("n2"), "batched");
    EXPECT_GE(calls(), before + 2);  // what was not written, then the look
    EXPECT_EQ(stored("n2"), "batched");
    ASSERT_OK(change("n3", "c"));
    EXPECT_EQ(stored("n3"), "c");
    EXPECT_FALSE(held_.wants(kBorn, 1));
    meta().tick();
    const uint64_t again = calls();
    EXPECT_EQ(answered("n3"), "c");
    EXPECT_EQ(calls(), again);
}

TEST_F(HeldGroupsTest, WhatAnotherTookOverIsToldOnce) {
    make_dirty();
    set_lease(kGroup, exclusive_lease(kOther, 9));
    EXPECT_ERRNO(held_.commit(), EIO);
    EXPECT_OK(held_.commit());
    EXPECT_EQ(stored("n2"), "-");
    EXPECT_EQ(stored_lease().session, kOther);
    EXPECT_EQ(answered("n2"), "-");
}

TEST_F(HeldGroupsTest, ATakeoverIsFoundByReadingToo) {
    make_dirty();
    ASSERT_OK(raw_.apply(std::move(Mutation(kGroup).set_xattr(kLeaseXattr, encode(free_lease(9))).set_keys({{"n9", "other's"}}))));
    EXPECT_EQ(answered("n9"), "other's");
    EXPECT_EQ(answered("n2"), "-");
    EXPECT_ERRNO(held_.commit(), EIO);
    EXPECT_OK(held_.commit());
}

// Else a mount that is dead waits for ever for another dead one, and does not begin anew.
TEST_F(HeldGroupsTest, WhatAnotherHasIsTakenOverFromHimThoughItWasOurs) {
    ASSERT_OK(change("n1", "ours"));
    mount_->clock.advance_ns(kLeaseNs / 2);
    Lease others = exclusive_lease(kOther, 9);
    others.flags = Lease::kept;
    set_lease(kGroup, others);
    EXPECT_EQ(must(held_.ask(std::move(Query(kGroup).xattrs()))).xattrs[kLeaseXattr], encode(others));
    EXPECT_OK(held_.apply(lease_change(kGroup, others, free_lease(10))));
    EXPECT_OK(held_.commit());  // nothing was lost
}

// What was found to be lost while its batch was under way is not brought back by the batch's answer.
TEST_F(HeldGroupsTest, ABatchOfWhatIsGoneByThenChangesNothing) {
    make_dirty();
    const Lease own = stored_lease();
    at_next_ = [&] {
        set_lease(kGroup, exclusive_lease(kOther, 9));
        EXPECT_EQ(answered("n8"), "-");
        set_lease(kGroup, own);
    };
    EXPECT_ERRNO(held_.commit(), EIO);
    EXPECT_OK(held_.commit());
    ASSERT_OK(change("n3", "c"));
    ASSERT_OK(held_.commit());
    EXPECT_EQ(stored("n3"), "c");
    mount_->clock.advance_ns(kNsPerSecond);
    held_.tend();
    EXPECT_EQ(stored_lease().flags, Lease::kept | Lease::write_through);  // the one that is held now is looked after
}

TEST_F(HeldGroupsTest, SynchronouslyEachChangeIsInTheStoreWhenItReturns) {
    held_.set_synchronous(true);
    ASSERT_OK(change("n1", "a"));
    ASSERT_OK(change("n2", "b"));
    EXPECT_EQ(stored("n2"), "b");
    ASSERT_OK(give_birth());
    EXPECT_EQ(stored("d", kBorn), "inode");
    const uint64_t before = calls();
    EXPECT_EQ(answered("n2"), "b");
    EXPECT_EQ(calls(), before);
}

TEST_F(HeldGroupsTest, WhatIsQuietIsForOthersToReadUntilItChanges) {
    make_dirty();
    ASSERT_OK(held_.commit());
    held_.tend();
    EXPECT_EQ(stored_lease().flags, Lease::kept);
    mount_->clock.advance_ns(kNsPerSecond);
    held_.tend();
    EXPECT_EQ(stored_lease().flags, Lease::kept | Lease::write_through);
    EXPECT_EQ(stored_lease().epoch, 4u);
    const uint64_t before = calls();
    EXPECT_EQ(answered("n2"), "batched");
    EXPECT_EQ(calls(), before);
    ASSERT_OK(change("n3", "c"));
    EXPECT_EQ(stored_lease().flags, Lease::kept);  // before anything is answered that is not in the store
    EXPECT_EQ(stored("n3"), "c");
    ASSERT_OK(change("n3", "d"));
    EXPECT_EQ(stored("n3"), "c");
}

// One write, and they read on.
TEST_F(HeldGroupsTest, WhatChangesOfADirectoryAloneShutsNobodyOut) {
    make_dirty();
    ASSERT_OK(held_.commit());
    mount_->clock.advance_ns(kNsPerSecond);
    held_.tend();
    ASSERT_EQ(stored_lease().flags, Lease::kept | Lease::write_through);
    const size_t before = sent_.size();
    ASSERT_OK(change("d", "mode"));
    EXPECT_EQ(stored("d"), "mode");
    EXPECT_EQ(stored_lease().flags, Lease::kept | Lease::write_through);
    EXPECT_EQ(answered("d"), "mode");
    EXPECT_EQ(sent_.size(), before + 1);
}

// What could not be written is not answered while others may read what is there.
TEST_F(HeldGroupsTest, AChangeOfWhatOthersReadThatFailsIsNotAnswered) {
    make_dirty();
    ASSERT_OK(held_.commit());
    mount_->clock.advance_ns(kNsPerSecond);
    held_.tend();
    ASSERT_EQ(stored_lease().flags, Lease::kept | Lease::write_through);
    (void)answered("n3");
    at_next_ = [this] { mount_->faults->set_plan({.error = 1}); };
    EXPECT_FALSE(change("n3", "c").ok());
    mount_->faults->set_plan({});
    EXPECT_EQ(answered("n3"), stored("n3"));
}

TEST_F(HeldGroupsTest, WhatIsReadAgainAndAgainIsHeldForItsReaders) {
    for (int i = 0; i < 4; ++i) (void)must(held_.ask(std::move(Query(kGroup).xattrs().keys({"n1"}))));
    EXPECT_EQ(stored_lease().flags, Lease::kept | Lease::write_through);
    EXPECT_EQ(answered("n1"), "-");
    const uint64_t before = calls();
    EXPECT_EQ(answered("n1"), "-");
    EXPECT_EQ(calls(), before);
}

TEST_F(HeldGroupsTest, AtTheEndAllIsWrittenAndFree) {
    make_dirty();
    ASSERT_OK(give_birth());
    ASSERT_OK(change("nborn", "78"));
    ASSERT_OK(held_.end());
    EXPECT_EQ(stored("nborn"), "78");
    EXPECT_TRUE(stored_lease().is_free());
    EXPECT_TRUE(stored_lease(kBorn).is_free());
    EXPECT_FALSE(held_.wants(kGroup, 9));
}

// --- what no late or careless caller may get past

TEST_F(HeldGroupsTest, WhatIsBornIsInTheStoreBeforeAGroupIsTakenThatNamesIt) {
    ASSERT_OK(give_birth());
    at_next_ = [this] { at_next_ = [this] { EXPECT_EQ(stored("d", kBorn), "inode"); }; };
    ASSERT_OK(change("nborn", "78"));
    ASSERT_EQ(sent_.size(), 2u);
    EXPECT_EQ(sent_[0].object(), kBorn);
    EXPECT_TRUE(stored_lease().is_kept_by(core().session_id()));
}

TEST_F(HeldGroupsTest, WhatIsBornIsInTheStoreBeforeAFreeGroupNamesIt) {
    ASSERT_OK(change("n1", "taken"));
    ASSERT_TRUE(held_.recall({.object = kGroup.name}));
    held_.tend();
    sent_.clear();
    ASSERT_OK(give_birth());
    at_next_ = [this] { at_next_ = [this] { EXPECT_EQ(stored("d", kBorn), "inode"); }; };
    ASSERT_OK(change("nborn", "78"));
    ASSERT_EQ(sent_.size(), 2u);
    EXPECT_EQ(sent_[0].object(), kBorn);
    EXPECT_TRUE(stored_lease().is_free());
}

TEST_F(HeldGroupsTest, ABatchThatComesLateDoesNothing) {
    make_dirty();
    ASSERT_OK(held_.commit());
    const Mutation first = sent_.at(0);
    ASSERT_OK(change("n2", "newer"));
    ASSERT_OK(held_.commit());
    EXPECT_ERRNO(raw_.apply(first), ECANCELED);
    EXPECT_EQ(stored("n2"), "newer");
}

TEST_F(HeldGroupsTest, GuardsAreJudgedInMemory) {
    ASSERT_OK(raw_.apply(std::move(Mutation(kGroup).set_keys({{"n9", "z"}}))));
    make_dirty();
    const std::string lease = encode(stored_lease());
    auto guarded = [&] { return std::move(Mutation(kGroup).xattr_is(kLeaseXattr, lease)); };
    EXPECT_ERRNO(held_.apply(std::move(guarded().key_is("n2", "stale").set_keys({{"n2", "x"}}))), ECANCELED);
    EXPECT_ERRNO(held_.apply(std::move(guarded().key_is("n2", std::nullopt).set_keys({{"n2", "x"}}))), ECANCELED);
    EXPECT_ERRNO(held_.apply(std::move(guarded().key_is("n3", "never").set_keys({{"n2", "x"}}))), ECANCELED);
    EXPECT_ERRNO(held_.apply(std::move(guarded().key_is("n9", std::nullopt).set_keys({{"n2", "x"}}))), ECANCELED);
    EXPECT_ERRNO(held_.apply(std::move(guarded().absent().set_keys({{"n2", "x"}}))), EEXIST);
    EXPECT_ERRNO(held_.apply(std::move(Mutation(kGroup).xattr_is(kAboutXattr, "another").set_keys({{"n2", "x"}}))), ECANCELED);
    const std::string before = encode(free_lease(1));
    EXPECT_ERRNO(held_.apply(std::move(Mutation(kGroup).xattr_is(kLeaseXattr, before).set_keys({{"n2", "x"}}))), ECANCELED);
    EXPECT_EQ(answered("n2"), "batched");
    ASSERT_OK(held_.commit());
    EXPECT_EQ(stored("n2"), "batched");
    EXPECT_OK(held_.apply(std::move(guarded().key_is("n9", "z").key_is("n2", "batched").set_keys({{"n2", "x"}}))));
    EXPECT_EQ(answered("n2"), "x");
}

// Its mutations may be under way yet: under the raised epoch none of them can take effect after what was read.
TEST_F(HeldGroupsTest, WhatALostAnswerLeftIsRaisedBeforeItIsHeld) {
    Lease left = exclusive_lease(core().session_id(), 5);
    left.flags = Lease::kept;
    set_lease(kGroup, left);
    const Mutation late = std::move(Mutation(kGroup).xattr_is(kLeaseXattr, encode(left)).set_keys({{"n1", "late"}}));
    EXPECT_EQ(answered("n1"), "-");
    EXPECT_EQ(stored_lease().epoch, 6u);
    EXPECT_ERRNO(raw_.apply(late), ECANCELED);
    EXPECT_EQ(answered("n1"), "-");
    const uint64_t before = calls();
    EXPECT_EQ(answered("n1"), "-");
    EXPECT_EQ(calls(), before);
}

TEST_F(HeldGroupsTest, WhatCannotBeRaisedIsAnsweredFromTheStore) {
    Lease left = exclusive_lease(core().session_id(), 5);
    left.flags = Lease::kept;
    set_lease(kGroup, left);
    at_next_ = [this] { mount_->faults->set_plan({.error = 1, .error_code = ENOSPC}); };
    EXPECT_EQ(answered("n1"), "-");
    mount_->faults->set_plan({});
    EXPECT_EQ(stored_lease().epoch, 5u);
}

// A full store lets nobody open it to readers, and it is held as before.
TEST_F(HeldGroupsTest, AGroupWhoseLeaseCannotBeChangedStaysHeld) {
    make_dirty();
    ASSERT_OK(held_.commit());
    mount_->clock.advance_ns(kNsPerSecond);
    at_next_ = [this] { mount_->faults->set_plan({.error = 1, .error_code = ENOSPC}); };
    held_.tend();
    mount_->faults->set_plan({});
    EXPECT_EQ(stored_lease().flags, Lease::kept);
    const uint64_t before = calls();
    EXPECT_EQ(answered("n2"), "batched");
    EXPECT_EQ(calls(), before);
    ASSERT_OK(change("n3", "c"));
    ASSERT_OK(held_.commit());
    EXPECT_EQ(stored("n3"), "c");
}

// --- its thread

// Knows whether the session above it has closed its mailboxes, and calls a test around each mutation.
class WatchedStore final : public ForwardingStore {
public:
    using ForwardingStore::ForwardingStore;
    using ForwardingStore::start;
    void start(Mutation mutation, Then<void> then) override {
        const Mutation copy = mutation;
        if (before) before(copy);
        inner_.start(std::move(mutation), std::move(then));
        if (after) after(copy);
    }
    Result<std::unique_ptr<Mailbox>> open_mailbox(ObjectName object, MailHandler handler) override {
        std::unique_ptr<Mailbox> box = TRY(inner_.open_mailbox(std::move(object), std::move(handler)));
        return std::unique_ptr<Mailbox>(std::make_unique<Counted>(*this, std::move(box)));
    }
    std::function<void(const Mutation&)> before, after;
    int mailboxes = 0;

private:
    struct Counted final : Mailbox {
        Counted(WatchedStore& store_, std::unique_ptr<Mailbox> box_) : store(store_), box(std::move(box_)) { ++store.mailboxes; }
        ~Counted() override { --store.mailboxes; }
        WatchedStore& store;
        std::unique_ptr<Mailbox> box;
    };
};

// Of a mount that is not closed, as one whose beginning failed: the thread looks at the session.  In simulated time, so that
// who could go on has gone on when the batch does.
TEST(HeldGroupsThread, EndsBeforeTheSession) {
    Scheduler scheduler(1);
    scheduler.run([&] {
        SimStore sim(std::make_shared<MemoryCluster>(), scheduler, 0, {});
        WatchedStore store(sim);
        Clock& clock = Clock::system();
        ASSERT_OK(format_volume(store, clock, {.lease_seconds = 5}));
        auto meta = must(Meta::open(store, clock, {.hold = true}));
        const CreateRequest request{.directory = kRootIno, .name = "a", .mode = S_IFREG | 0644};
        must(meta->create(request));
        bool is_in_batch = false, has_ended = false;
        store.before = [&](const Mutation& m) {
            if (is_in_batch || !m.object().name.starts_with("g.")) return;
            is_in_batch = true;
            clock.sleep_ns(kNsPerSecond);
            EXPECT_GT(store.mailboxes, 0);
            has_ended = true;
        };
        must(meta->change(must(meta->lookup(kRootIno, "a")).ino, [](InodeChange& change) -> Status {
            change.inode.mode = S_IFREG | 0600;
            return {};
        }));
        while (!is_in_batch) clock.sleep_ns(kNsPerMs);
        meta.reset();
        EXPECT_TRUE(has_ended);
        EXPECT_EQ(store.mailboxes, 0);
        sim.stop();
    });
}

// A client that stood still while it waited for what its other thread does with the lease: its memory is no longer asked.
TEST(HeldGroupsThread, WhoWaitedLooksAtTheWindowAfterwards) {
    Scheduler scheduler(1);
    scheduler.run([&] {
        auto cluster = std::make_shared<MemoryCluster>();
        constexpr Scheduler::Group kClient = 1;
        SimStore raw(cluster, scheduler, 0, {}), sim(cluster, scheduler, kClient, {});
        WatchedStore store(sim);
        Clock& clock = Clock::system();
        ASSERT_OK(format_volume(raw, clock, {.lease_seconds = 5}));
        const ObjectName root = group_object(kRootGroup);
        std::unique_ptr<Meta> meta;
        bool is_changing = false;
        std::string seen;
        auto client = scheduler.spawn(kClient, "client", [&] {
            meta = must(Meta::open(store, clock, {.background = false, .hold = true}));
            must(meta->create({.directory = kRootIno, .name = "a", .mode = S_IFREG | 0644}));
            must(meta->core().store.ask(std::move(Query(root).xattrs().keys({"x"}))));  // known not to be there
            clock.sleep_ns(kNsPerSecond);
            auto reader = scheduler.spawn(kClient, "reader", [&] {
                while (!is_changing) clock.sleep_ns(kNsPerMs);
                Answer answer = must(meta->core().store.ask(std::move(Query(root).xattrs().keys({"x"}))));
                seen = answer.keys.contains("x") ? answer.keys["x"] : "-";
            });
            store.before = [&](const Mutation& m) {
                if (is_changing || m.object() != root) return;
                is_changing = true;
                clock.sleep_ns(10 * kNsPerMs);
            };
            store.after = [&](const Mutation&) { scheduler.freeze(kClient, 60 * kNsPerSecond); };  // it arrives
            meta->core().held.tend();  // for others to read
            (void)scheduler.join(reader);
        });
        clock.sleep_ns(30 * kNsPerSecond);  // by now anybody may take it over
        EXPECT_TRUE(is_changing);
        ASSERT_OK(raw.apply(std::move(Mutation(root).set_xattr(kLeaseXattr, encode(free_lease(99))).set_keys({{"x", "other's"}}))));
        (void)scheduler.join(client);
        EXPECT_EQ(seen, "other's");
        meta.reset();
        sim.stop();
        raw.stop();
    });
}

}  // namespace
}  // namespace meshfs
