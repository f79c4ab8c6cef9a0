#include "fs/meta/session.h"

#include <atomic>
#include <future>

#include "fs/meta/ops/fixture.h"
#include "fs/meta/process.h"
#include "fs/meta/registry.h"

namespace meshfs {
namespace {

class SessionTest : public MetaTest {
protected:
    SessionTest() : other_(std::make_unique<TestMount>(cluster_)) {
        // Two mounts of one process would be judged by that; others are on other hosts.
        for (auto* mount : {mount_.get(), other_.get()}) change_record(mount->session().id(), [](SessionRecord& r) {
            r.boot_id = "another host's";
        });
    }
    Session& mine() { return mount_->session(); }
    Session& others() { return other_->session(); }
    SessionState seen() { return must(mine().look_at(others().id())); }
    // Neither of them may be alive at the end.
    void expect_other_is_dead() {
        other_->meta->tick();
        EXPECT_ERRNO(others().check_alive(), ESHUTDOWN);
        EXPECT_ERRNO(other_->meta->create(request(kRootIno, "late", S_IFREG)), ESHUTDOWN);
        other_->die();
    }
    void change_record(SessionId session, const std::function<void(SessionRecord&)>& change) {
        SessionRecord record = must(read_registry(raw_, mount_->clock)).at(session);
        change(record);
        ASSERT_OK(raw_.apply(std::move(Mutation(registry_object(registry_of(session)))
                                           .set_keys({{registry_key(session), encode(record)}}))));
    }
    bool exists(const ObjectName& object) { return raw_.ask(std::move(Query(object).exists())).ok(); }

    std::unique_ptr<TestMount> other_;
};

TEST_F(SessionTest, EverybodyIsListedWithStateAndBeat) {
    other_->meta->tick();
    auto sessions = must(meta().sessions());
    ASSERT_EQ(sessions.size(), 2u);
    EXPECT_TRUE(sessions[0].own);
    EXPECT_EQ(sessions[0].state, "alive");
    EXPECT_EQ(sessions[1].id, others().id());
    EXPECT_EQ(sessions[1].client, other_->metered->client());
    EXPECT_EQ(sessions[1].beat, sessions[0].beat + 1);
}

TEST_F(SessionTest, OneThatEndsLeavesNothing) {
    SessionId id = others().id();
    EXPECT_EQ(seen(), SessionState::alive);
    other_.reset();
    EXPECT_EQ(must(mine().look_at(id)), SessionState::ended);
    EXPECT_FALSE(exists(session_object(id)));
    EXPECT_EQ(must(read_registry(raw_, mount_->clock)).size(), 1u);
    EXPECT_EQ(must(mine().look_at(SessionId{12345})), SessionState::ended);
}

TEST_F(SessionTest, OneThatEndsWithSomethingLeftStaysInTheRegistry) {
    SessionId id = others().id();
    ASSERT_OK(others().apply(std::move(others().own_change().set_keys({{"bx", "y"}}))));
    other_.reset();
    EXPECT_EQ(must(mine().look_at(id)), SessionState::ended);
    EXPECT_TRUE(exists(session_object(id)));
    EXPECT_TRUE(must(read_registry(raw_, mount_->clock)).contains(id));
}

TEST_F(SessionTest, TheWindowIsHalfTFromTheSendingOfTheLastGoodBeat) {
    EXPECT_TRUE(meta().is_in_window());
    mount_->clock.advance_ns(kLeaseNs / 2 - 1);
    EXPECT_TRUE(meta().is_in_window());
    mount_->faults->set_plan({.lost_reply = 1});
    meta().tick();
    mount_->clock.advance_ns(1);
    EXPECT_FALSE(meta().is_in_window());
    mount_->faults->set_plan({});
    // The beat takes a second of the clock: what counts is when it was sent.
    mount_->hooks->before_mutation = [&](const Mutation&) { mount_->clock.advance_ns(kNsPerSecond); };
    meta().tick();
    mount_->hooks->before_mutation = nullptr;
    EXPECT_TRUE(meta().is_in_window());
    mount_->clock.advance_ns(kLeaseNs / 2 - kNsPerSecond);
    EXPECT_FALSE(meta().is_in_window());
}

TEST_F(SessionTest, TheSameBeatSeenForTIsDeath) {
    EXPECT_EQ(seen(), SessionState::alive);
    mount_->clock.advance_ns(kLeaseNs - 1);
    EXPECT_EQ(seen(), SessionState::alive);
    mount_->clock.advance_ns(1);
    EXPECT_EQ(seen(), SessionState::dead);
    expect_other_is_dead();
}

TEST_F(SessionTest, WhoBeatsLives) {
    for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(seen(), SessionState::alive);
        mount_->clock.advance_ns(kLeaseNs);
        other_->meta->tick();
    }
    EXPECT_EQ(seen(), SessionState::alive);
    EXPECT_OK(others().check_alive());
}

TEST_F(SessionTest, ABeatBetweenLookAndVerdictIsLife) {
    EXPECT_EQ(seen(), SessionState::alive);
    mount_->clock.advance_ns(kLeaseNs);
    mount_->hooks->before_mutation = [&](const Mutation& m) {
        if (m.object() == session_object(others().id())) other_->meta->tick();
    };
    EXPECT_EQ(seen(), SessionState::alive);
    mount_->hooks->before_mutation = nullptr;
    EXPECT_EQ(seen(), SessionState::alive);
    EXPECT_OK(others().check_alive());
}

TEST_F(SessionTest, AJudgeThatLostItsAnswerFindsItsVerdict) {
    EXPECT_EQ(seen(), SessionState::alive);
    mount_->clock.advance_ns(kLeaseNs);
    mount_->hooks->before_mutation = [&](const Mutation&) { mount_->faults->set_plan({.lost_reply = 1}); };
    EXPECT_EQ(seen(), SessionState::alive);
    mount_->hooks->before_mutation = nullptr;
    mount_->faults->set_plan({});
    EXPECT_EQ(seen(), SessionState::dead);
    expect_other_is_dead();
}

TEST_F(SessionTest, NothingOfADeadSessionsOwnLands) {
    Mutation late = std::move(others().own_change().set_keys({{"x1", "intent"}}));
    EXPECT_EQ(seen(), SessionState::alive);
    mount_->clock.advance_ns(kLeaseNs);
    EXPECT_EQ(seen(), SessionState::dead);
    EXPECT_ERRNO(raw_.apply(late), ECANCELED);
    EXPECT_ERRNO(others().apply(late), ESHUTDOWN);
    EXPECT_ERRNO(others().check_alive(), ESHUTDOWN);
    EXPECT_ERRNO(other_->meta->close(), ESHUTDOWN);
    other_->die();
}

TEST_F(SessionTest, ItsOwnGuardsAreTheCallers) {
    Mutation guarded = std::move(others().own_change().key_is("k", "v").set_keys({{"k", "w"}}));
    EXPECT_ERRNO(others().apply(guarded), ECANCELED);
    EXPECT_OK(others().check_alive());
}

TEST_F(SessionTest, TheDeadAreFenced) {
    EXPECT_EQ(seen(), SessionState::alive);
    mount_->clock.advance_ns(kLeaseNs);
    EXPECT_EQ(seen(), SessionState::dead);
    EXPECT_ERRNO(other_->metered->apply(std::move(Mutation({kMetaPool, "anything"}).create())), ESHUTDOWN);
    auto answer = must(raw_.ask(std::move(Query(session_object(others().id())).xattrs())));
    EXPECT_TRUE(must(decode_state(answer.xattrs[kStateXattr])).is_fenced);
    expect_other_is_dead();
}

TEST_F(SessionTest, AProcessSeenGoneOnThisHostIsDeadAtOnce) {
    change_record(others().id(), [](SessionRecord& r) {
        describe_this_process(r);
        r.process_started -= 1;  // this number was another process's before
    });
    EXPECT_EQ(seen(), SessionState::dead);
    expect_other_is_dead();
    SessionRecord self;
    describe_this_process(self);
    EXPECT_FALSE(is_process_gone(self));
    self.pid_namespace += 1;
    self.process_started -= 1;
    EXPECT_FALSE(is_process_gone(self));
}

TEST_F(SessionTest, OnAStoreOfOneProcessEverybodyElseIsDead) {
    mount_->hooks->claims_exclusive = true;
    EXPECT_EQ(seen(), SessionState::dead);
    mount_->clock.advance_ns(100 * kLeaseNs);
    EXPECT_TRUE(meta().is_in_window());
    expect_other_is_dead();
}

TEST_F(SessionTest, AFrozenBeginnerCannotComeAliveLater) {
    SessionId number{77};
    ManualClock clock;
    VolumeInfo volume = meta().volume();
    ASSERT_OK(raw_.apply(std::move(Mutation(registry_object(registry_of(number)))
                                       .set_keys({{registry_key(number), encode(SessionRecord{})}}))));
    EXPECT_EQ(must(mine().look_at(number)), SessionState::alive);
    mount_->clock.advance_ns(kLeaseNs);
    EXPECT_EQ(must(mine().look_at(number)), SessionState::dead);
    EXPECT_ERRNO(Session::begin(raw_, clock, volume, number, {.background = false}), ESHUTDOWN);
    // The same if everything of it was cleared away while it stood before making its object.
    HookedStore store(std::make_unique<MemoryStore>(cluster_));
    number = SessionId{78};
    store.before_mutation = [&](const Mutation& m) {
        if (m.object() != session_object(number)) return;
        ASSERT_OK(raw_.apply(std::move(Mutation(registry_object(registry_of(number))).remove_keys({registry_key(number)}))));
    };
    EXPECT_ERRNO(Session::begin(store, clock, volume, number, {.background = false}), ESHUTDOWN);
    store.stop();
}

TEST_F(SessionTest, ALostAnswerAtTheBeginningIsNoDeath) {
    HookedStore store(std::make_unique<FaultStore>(std::make_unique<MemoryStore>(cluster_),
                                                   FaultPlan{.seed = 3, .lost_call = 0.2, .lost_reply = 0.3}));
    ManualClock clock;
    int begun = 0;
    for (uint32_t number = 100; number < 130; ++number) {
        auto session = Session::begin(store, clock, meta().volume(), SessionId{number}, {.background = false});
        if (!session.ok()) EXPECT_EQ(session.code(), ETIMEDOUT) << session.error().text();
        else if ((*session)->end().ok()) ++begun;
    }
    EXPECT_GT(begun, 5);
    store.stop();
}

TEST_F(SessionTest, ARecallComesByMessage) {
    auto told = std::make_shared<std::promise<std::string>>();  // it may be told again at a beat, also after this test
    auto is_told = std::make_shared<std::atomic<bool>>(false);
    others().on_recall([told, is_told](const Recall& recall) {
        if (!is_told->exchange(true)) told->set_value(recall.object);
    });
    mine().recall(others().id(), group_object(GroupId{5}), 1);
    EXPECT_EQ(told->get_future().get(), "g.5");
}

TEST_F(SessionTest, ADeafHolderFindsARecallAtItsNextBeat) {
    other_->faults->set_deaf(true);
    std::vector<std::string> told;
    others().on_recall([&](const Recall& recall) { told.push_back(recall.object); });
    mine().recall(others().id(), group_object(GroupId{5}), 1);
    other_->meta->tick();
    EXPECT_TRUE(told.empty());
    mount_->clock.advance_ns(100 * kNsPerMs);
    mine().recall(others().id(), group_object(GroupId{5}), 1);
    other_->meta->tick();
    EXPECT_EQ(told, std::vector<std::string>{"g.5"});
    other_->meta->tick();
    EXPECT_EQ(told.size(), 1u);
}

TEST_F(SessionTest, WhoLetsGoAndTakesAgainIsNotDeclaredDead) {
    for (uint64_t epoch = 1; epoch < 50; ++epoch) {
        mine().recall(others().id(), group_object(GroupId{5}), epoch);
        mount_->clock.advance_ns(kLeaseNs / 10);
        other_->meta->tick();
    }
    EXPECT_OK(others().check_alive());
    EXPECT_EQ(seen(), SessionState::alive);
}

TEST_F(SessionTest, WhoBeatsButDoesNotLetGoIsDeclaredDeadAndOutwaited) {
    for (int i = 0; i < 20; ++i) {
        mine().recall(others().id(), group_object(GroupId{5}), 1);
        mount_->clock.advance_ns(kLeaseNs / 10);
        other_->meta->tick();
        EXPECT_EQ(seen(), SessionState::alive);
    }
    EXPECT_OK(others().check_alive());
    EXPECT_TRUE(others().is_in_window());
    mine().recall(others().id(), group_object(GroupId{5}), 1);
    TestMount third(cluster_);  // another judge waits, too
    EXPECT_EQ(seen(), SessionState::alive);
    EXPECT_EQ(must(third.session().look_at(others().id())), SessionState::alive);
    for (auto* judge : {mount_.get(), &third}) {
        judge->clock.advance_ns(kLeaseNs - 1);
        EXPECT_EQ(must(judge->session().look_at(others().id())), SessionState::alive);
        judge->clock.advance_ns(1);
        EXPECT_EQ(must(judge->session().look_at(others().id())), SessionState::dead);
    }
    expect_other_is_dead();
}

TEST_F(SessionTest, WhoWasAwayHimselfHasNotWaited) {
    for (int i = 0; i < 10; ++i) {
        mine().recall(others().id(), group_object(GroupId{5}), 1);
        mount_->clock.advance_ns(kLeaseNs / 2 + 1);
    }
    EXPECT_OK(others().check_alive());
    other_->meta->tick();
    EXPECT_OK(others().check_alive());
}

TEST_F(SessionTest, WhoLetGoInTimeIsNotDeclaredDead) {
    const ObjectName object = group_object(GroupId{5});
    auto set = [&](const std::string& lease) {
        ASSERT_OK(raw_.apply(std::move(Mutation(object).set_xattr(kLeaseXattr, lease))));
    };
    const std::vector<std::string> let_go{encode(free_lease(8)), encode(exclusive_lease(others().id(), 9)),
                                          encode(exclusive_lease(mine().id(), 8)), "damaged"};
    for (const std::string& lease : let_go) {
        set(encode(exclusive_lease(others().id(), 7)));
        mine().recall(others().id(), object, 7);
        for (int i = 0; i < 5; ++i) {
            mount_->clock.advance_ns(kLeaseNs * 2 / 5);
            if (i == 4) set(lease);  // after it was looked at, before the verdict
            mine().recall(others().id(), object, 7);
        }
        other_->meta->tick();
        EXPECT_OK(others().check_alive());
        mount_->clock.advance_ns(kLeaseNs);
    }
}

TEST_F(SessionTest, ABeatSinceTheLeaseWasLookedAtIsLife) {
    const ObjectName object = group_object(GroupId{5});
    ASSERT_OK(raw_.apply(std::move(Mutation(object).set_xattr(kLeaseXattr, encode(exclusive_lease(others().id(), 7))))));
    mine().recall(others().id(), object, 7);
    mount_->hooks->before_query = [&](const Query& q) {
        if (q.object() == object) other_->meta->tick();
    };
    for (int i = 0; i < 5; ++i) {
        mount_->clock.advance_ns(kLeaseNs * 2 / 5);
        mine().recall(others().id(), object, 7);
    }
    mount_->hooks->before_query = nullptr;
    other_->meta->tick();
    EXPECT_OK(others().check_alive());
}

TEST_F(SessionTest, ADamagedSessionCountsAsAlive) {
    ASSERT_OK(raw_.apply(std::move(Mutation(session_object(others().id())).set_xattr(kStateXattr, "garbage"))));
    EXPECT_EQ(seen(), SessionState::alive);
    mount_->clock.advance_ns(10 * kLeaseNs);
    EXPECT_EQ(seen(), SessionState::alive);
    other_->die();
}

}  // namespace
}  // namespace meshfs
