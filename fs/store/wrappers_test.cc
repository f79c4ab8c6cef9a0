// The wrappers: what is counted, and each fault does what its name says.
#include <gtest/gtest.h>

#include "fs/store/conformance_fixture.h"
#include "fs/store/fault_store.h"
#include "fs/store/io_batch.h"
#include "fs/store/memory_store.h"
#include "fs/store/metered_store.h"
#include "fs/store/reconnecting_store.h"

namespace meshfs {
namespace {

class Faults : public testing::Test {
protected:
    std::optional<std::string> value() {
        auto answer = judge_.ask(Query(o_).keys({"k"}));
        if (!answer || answer->keys.empty()) return std::nullopt;
        return answer->keys.at("k");
    }
    const ObjectName o_{0, "o"};
    std::shared_ptr<MemoryCluster> cluster_ = std::make_shared<MemoryCluster>();
    MemoryStore judge_{cluster_};
    FaultStore store_{std::make_unique<MemoryStore>(cluster_)};
};

TEST_F(Faults, AnErrorMeansThatNothingHappened) {
    store_.set_plan({.error = 1, .error_code = ENOSPC});
    EXPECT_ERRNO(store_.apply(Mutation(o_).set_keys({{"k", "v"}})), ENOSPC);
    EXPECT_EQ(value(), std::nullopt);
    EXPECT_EQ(store_.faults(), 1u);
}

TEST_F(Faults, ALostReplyHidesWhatHappened) {
    store_.set_plan({.lost_reply = 1});
    EXPECT_ERRNO(store_.apply(Mutation(o_).set_keys({{"k", "v"}})), ETIMEDOUT);
    EXPECT_EQ(value(), "v");
}

TEST_F(Faults, ALostCallDoesNotHappen) {
    store_.set_plan({.lost_call = 1});
    EXPECT_ERRNO(store_.apply(Mutation(o_).set_keys({{"k", "v"}})), ETIMEDOUT);
    EXPECT_EQ(value(), std::nullopt);
}

TEST_F(Faults, ALateEffectIsSettledByTheNextAnswer) {
    store_.set_plan({.delay_us_min = 2000, .delay_us_max = 2000, .late_effect = 1});
    EXPECT_ERRNO(store_.apply(Mutation(o_).set_keys({{"k", "late"}})), ETIMEDOUT);
    store_.set_plan({});
    EXPECT_OK(store_.apply(Mutation(o_).key_is("k", "late").set_keys({{"k", "next"}})));
    EXPECT_EQ(value(), "next");
}

TEST_F(Faults, TheDeadChangeNothing) {
    ASSERT_OK(store_.apply(Mutation(o_).set_keys({{"k", "v"}})));
    store_.kill();
    EXPECT_ERRNO(store_.apply(Mutation(o_).set_keys({{"k", "w"}})), ESHUTDOWN);
    EXPECT_EQ(value(), "v");
}

TEST_F(Faults, SilenceHoldsCallsUntilItEnds) {
    store_.set_silent(true);
    IoBatch batch(store_);
    batch.add(Mutation(o_).set_keys({{"k", "v"}}));
    EXPECT_EQ(value(), std::nullopt);
    store_.set_silent(false);
    EXPECT_OK(batch.wait());
    EXPECT_EQ(value(), "v");
}

TEST_F(Faults, WhoJudgesAMutationHimselfGetsItsAnswer) {
    std::vector<int> codes(2, -1);
    IoBatch batch(store_);
    batch.add(Mutation(o_).exists().set_keys({{"k", "v"}}), [&](Status status) { codes[0] = status.code(); });
    EXPECT_OK(batch.wait());
    batch.add(Mutation(o_).set_keys({{"k", "w"}}), [&](Status status) { codes[1] = status.code(); });
    EXPECT_OK(batch.wait());
    EXPECT_EQ(codes, (std::vector<int>{ENOENT, 0}));
    EXPECT_EQ(value(), "w");
}

TEST_F(Faults, SilenceEndsWithStop) {
    store_.set_silent(true);
    IoBatch batch(store_);
    batch.add(Mutation(o_).set_keys({{"k", "v"}}));
    store_.stop();
    EXPECT_ERRNO(batch.wait(), ETIMEDOUT);
    EXPECT_EQ(value(), std::nullopt);
}

TEST_F(Faults, ADeafMailboxIsSilent) {
    ASSERT_OK(store_.apply(Mutation(o_).create()));
    int messages = 0;
    auto box = store_.open_mailbox(o_, {.message = [&](Buffer, Acknowledge ack) { ++messages, ack({}); }, .lost = [](int) {}});
    ASSERT_OK(box);
    store_.set_deaf(true);
    Mutex mutex;
    CondVar told;
    std::optional<Result<Acks>> result;
    judge_.notify(o_, {}, 1, [&](Result<Acks> acks) {
        MutexLock lock(mutex);
        result = std::move(acks);
        told.notify_all();
    });
    MutexLock lock(mutex);
    while (!result) told.wait(mutex);
    ASSERT_OK(*result);
    EXPECT_EQ((*result)->silent.size(), 1u);
    EXPECT_EQ(messages, 0);
}

TEST_F(Faults, TheSameSeedGivesTheSameFaults) {
    auto codes = [&](uint64_t seed) {
        store_.set_plan({.seed = seed, .error = 0.2, .lost_call = 0.2, .lost_reply = 0.2});
        std::vector<int> out;
        for (int i = 0; i < 50; ++i) out.push_back(store_.apply(Mutation({0, "x" + std::to_string(i)}).create()).code());
        return out;
    };
    auto first = codes(7);
    EXPECT_EQ(codes(7), first);
    EXPECT_NE(codes(8), first);
}

TEST(Metered, NamesTheCallThatHasWaitedLongest) {
    auto faulty = std::make_unique<FaultStore>(std::make_unique<MemoryStore>());
    FaultStore& faults = *faulty;
    MeteredStore store(std::move(faulty));
    EXPECT_EQ(store.waiting().calls, 0u);
    faults.set_silent(true);
    Mutex mutex;
    CondVar answered;
    int answers = 0;
    auto count = [&](Status) {
        MutexLock lock(mutex);
        ++answers;
        answered.notify_all();
    };
    store.start(Mutation({0, "first"}).create(), count);
    store.start(Mutation({0, "second"}).create(), count);
    auto waiting = store.waiting();
    EXPECT_EQ(waiting.calls, 2u);
    ASSERT_TRUE(waiting.longest.has_value());
    EXPECT_EQ(waiting.longest->object.name, "first");
    EXPECT_EQ(waiting.longest->kind, StoreCount::Kind::mutation);
    faults.set_silent(false);
    {
        MutexLock lock(mutex);
        while (answers < 2) answered.wait(mutex);
    }
    EXPECT_EQ(store.waiting().calls, 0u);
}

TEST(Metered, CountsCallsBytesAndErrors) {
    MeteredStore store(std::make_unique<MemoryStore>());
    ASSERT_OK(store.apply(Mutation({0, "o"}).absent().set_keys({{"key", "value"}})));
    EXPECT_ERRNO(store.apply(Mutation({0, "o"}).absent().create()), EEXIST);
    EXPECT_ERRNO(store.apply(Mutation({0, ""}).create()), EINVAL);
    ASSERT_OK(store.transfer({.direction = Transfer::Direction::write, .object = {1, "d"}, .bytes = Buffer::zeros(100)}));
    ASSERT_OK(store.ask(Query({1, "d"}).bytes(0, 60)));
    auto counts = store.counts();
    EXPECT_EQ(counts.calls(StoreCount::Kind::mutation), 3u);
    EXPECT_EQ(counts.all_calls(), 5u);
    for (const StoreCount& c : counts.counts) {
        uint64_t in_histogram = 0;
        for (uint64_t n : c.histogram) in_histogram += n;
        EXPECT_EQ(in_histogram, c.calls);
        EXPECT_GT(c.quantile_us(0.5), 0u);
        if (c.kind == StoreCount::Kind::mutation) {
            EXPECT_EQ(c.pool, 0);
            EXPECT_EQ(c.bytes, 8u);
            EXPECT_EQ(c.refused, 1u);
            EXPECT_EQ(c.errors, 1u);
        } else {
            EXPECT_EQ(c.pool, 1);
            EXPECT_EQ(c.bytes, c.kind == StoreCount::Kind::write ? 100u : 60u);
        }
    }
}

// Says what it was told.
class ToldStore final : public ForwardingStore {
public:
    struct Told {
        std::map<Pool, std::string> pools;
        int soft_timeout = 0;
        bool is_stopped = false;
    };
    ToldStore(std::shared_ptr<MemoryCluster> cluster, Told& told)
        : ForwardingStore(std::make_unique<MemoryStore>(std::move(cluster))), told_(told) {}
    Status add_data_pool(Pool pool, const std::string& name) override {
        told_.pools[pool] = name;
        return {};
    }
    void set_soft_timeout(int seconds) override { told_.soft_timeout = seconds; }
    void stop() override {
        told_.is_stopped = true;
        inner_.stop();
    }

private:
    Told& told_;
};

class Reconnecting : public testing::Test {
protected:
    const ObjectName o_{0, "o"};
    std::shared_ptr<MemoryCluster> cluster_ = std::make_shared<MemoryCluster>();
    ToldStore::Told first_, second_;
    Status connected_;
    ReconnectingStore store_{std::make_unique<ToldStore>(cluster_, first_), [this]() -> Result<std::unique_ptr<Store>> {
        TRY(Status(connected_));
        return std::unique_ptr<Store>(std::make_unique<ToldStore>(cluster_, second_));
    }};
};

TEST_F(Reconnecting, TheNextConnectionHasThePoolsAndTheTimeoutOfTheFirst) {
    ASSERT_OK(store_.add_data_pool(Pool{1}, "data"));
    ASSERT_OK(store_.add_data_pool(Pool{2}, "more"));
    store_.set_soft_timeout(7);
    ASSERT_OK(store_.restart());
    EXPECT_EQ(second_.pools, first_.pools);
    EXPECT_EQ(second_.soft_timeout, 7);
    EXPECT_TRUE(first_.is_stopped);
    EXPECT_FALSE(second_.is_stopped);
}

TEST_F(Reconnecting, IsAnotherClientThatAFenceOfTheFirstDoesNotMeet) {
    ClientId before = store_.client();
    ASSERT_OK(store_.restart());
    EXPECT_NE(store_.client(), before);
    MemoryStore other(cluster_);
    ASSERT_OK(other.fence(before));
    EXPECT_OK(store_.apply(Mutation(o_).set_keys({{"k", "v"}})));
    other.stop();
}

TEST_F(Reconnecting, KeepsTheFirstIfThereIsNoOther) {
    connected_ = fail(ETIMEDOUT);
    EXPECT_ERRNO(store_.restart(), ETIMEDOUT);
    EXPECT_FALSE(first_.is_stopped);
    EXPECT_OK(store_.apply(Mutation(o_).set_keys({{"k", "v"}})));
}

}  // namespace
}  // namespace meshfs
