// Clients in a simulation: a guarded counter survives everything, an unguarded one is found out.
#include "fs/store/sim_store.h"

#include <gtest/gtest.h>

#include "fs/store/conformance_fixture.h"

namespace meshfs {
namespace {

const ObjectName kCounter{0, "counter"};

struct CountRun {
    int acknowledged = 0;  // additions that were answered
    int uncertain = 0;     // that ended with ETIMEDOUT, or with the client
    int counted = 0;
    uint64_t trace = 0, drawn = 0;
    bool operator==(const CountRun&) const = default;
};

int value_of(Store& store) {
    auto answer = store.ask(Query(kCounter).keys({"n"}));
    return answer.ok() ? std::stoi(answer->keys.at("n")) : -1;
}

// Adds to the counter; guarded as everything in MeshFS is, on what was read.
void add_up(Store& store, int times, CountRun& run) {
    for (int i = 0; i < times; ++i) {
        ++run.uncertain;  // until answered
        Status done = fail(ECANCELED);
        while (done.code() == ECANCELED) {
            auto read = store.ask(Query(kCounter).keys({"n"}));
            if (!read) {
                done = read.error();
                --run.uncertain;
                break;
            }
            std::string old = read->keys.at("n");
            done = store.apply(
                Mutation(kCounter).key_is("n", old).set_keys({{"n", std::to_string(std::stoi(old) + 1)}}));
        }
        if (done.ok()) {
            ++run.acknowledged;
            --run.uncertain;
        }
    }
}

CountRun count(uint64_t seed, const SimFaults& faults, bool is_broken = false) {
    CountRun run;
    Scheduler scheduler(seed);
    auto cluster = std::make_shared<MemoryCluster>();
    scheduler.run([&] {
        SimStore judge(cluster, scheduler, 0, {});
        ASSERT_OK(judge.apply(Mutation(kCounter).set_keys({{"n", "0"}})));
        std::vector<std::unique_ptr<SimStore>> stores;
        std::vector<Scheduler::ThreadNumber> threads;
        for (Scheduler::Group g = 1; g <= 3; ++g) {
            stores.push_back(std::make_unique<SimStore>(cluster, scheduler, g, faults));
            if (is_broken) stores.back()->set_filter([](auto& m) { return without_guards(m, Guard::Kind::key_is); });
            threads.push_back(scheduler.spawn(g, "client", [&, store = stores.back().get()] { add_up(*store, 5, run); }));
        }
        for (auto thread : threads) (void)scheduler.join(thread);
        scheduler.sleep_until(scheduler.boot_ns() + 10 * kNsPerSecond);  // the last late effect
        run.counted = value_of(judge);
        for (Scheduler::Group g = 1; g <= 3; ++g) {
            run.drawn += stores[g - 1]->faults_drawn();
            stores[g - 1]->reap();
            scheduler.revive(g);
        }
        for (auto thread : threads) ASSERT_TRUE(scheduler.join(thread));
        EXPECT_EQ(value_of(judge), run.counted);  // nothing of the reaped
    });
    run.trace = scheduler.trace();
    return run;
}

TEST(SimStore, WithoutFaultsEveryAdditionCounts) {
    for (uint64_t seed = 1; seed <= 100; ++seed) {
        CountRun run = count(seed, {});
        ASSERT_EQ(run.counted, 15) << "seed " << seed;
        ASSERT_EQ(run.acknowledged, 15) << "seed " << seed;
    }
}

TEST(SimStore, WhatWasAnsweredIsThereInEveryCatastrophe) {
    SimFaults faults{.error = 0.02, .lost_call = 0.02, .lost_reply = 0.05, .death = 0.02, .freeze = 0.02, .freeze_ns_max = 5'000'000'000};
    uint64_t drawn = 0;
    for (uint64_t seed = 1; seed <= 300; ++seed) {
        CountRun run = count(seed, faults);
        drawn += run.drawn;
        ASSERT_GE(run.counted, run.acknowledged) << "seed " << seed;
        ASSERT_LE(run.counted, 15) << "seed " << seed;
        bool replays = seed % 10 != 0 || count(seed, faults) == run;
        ASSERT_TRUE(replays) << "seed " << seed;
    }
    EXPECT_GT(drawn, 100u);
}

TEST(SimStore, AMissingGuardIsFound) {
    int found = 0;
    for (uint64_t seed = 1; seed <= 20; ++seed) found += count(seed, {}, true).counted < 15;
    EXPECT_GT(found, 0);
}

TEST(SimStore, MailCrossesClients) {
    Scheduler scheduler(5);
    auto cluster = std::make_shared<MemoryCluster>();
    scheduler.run([&] {
        SimStore a(cluster, scheduler, 1, {}), b(cluster, scheduler, 2, {});
        ASSERT_OK(a.apply(Mutation(kCounter).create()));
        auto box = a.open_mailbox(kCounter, {.message = [](Buffer, Acknowledge ack) { ack(Buffer::copy_of("here")); },
                                             .lost = [](int) {}});
        ASSERT_OK(box);
        Mutex mutex;
        CondVar told;
        std::optional<Result<Acks>> result;
        auto ask = [&] {
            result.reset();
            b.notify(kCounter, {}, 1, [&](Result<Acks> acks) {
                MutexLock lock(mutex);
                result = std::move(acks);
                told.notify_all();
            });
            MutexLock lock(mutex);
            while (!result) told.wait(mutex);
        };
        ask();
        ASSERT_OK(*result);
        ASSERT_EQ((*result)->answered.size(), 1u);
        EXPECT_EQ((*result)->answered[0].second.view(), "here");
        scheduler.kill(1);
        ask();
        EXPECT_EQ((*result)->silent.size(), 1u);
        scheduler.revive(1);
    });
}

}  // namespace
}  // namespace meshfs
