#include "fs/base/scheduler.h"

#include <gtest/gtest.h>

#include "fs/base/clock.h"
#include "fs/base/executor.h"
#include "fs/base/mutex.h"
#include "fs/base/thread.h"

namespace meshfs {
namespace {

// Some threads that wait for each other, for time and for an executor's work: what order did it come to?
struct Outcome {
    std::string order;
    uint64_t trace = 0, steps = 0;
    bool operator==(const Outcome&) const = default;
};

Outcome busy_run(uint64_t seed) {
    Outcome outcome;
    Scheduler scheduler(seed);
    scheduler.run([&] {
        Mutex mutex;
        CondVar changed;
        int turn = 0;
        std::vector<Thread> threads;
        Executor executor("work", 2, 4);
        for (char name : {'a', 'b', 'c'})
            threads.emplace_back("test", [&, name] {
                for (int i = 0; i < 4; ++i) {
                    Clock::system().sleep_ns(1000 * static_cast<int64_t>(scheduler.random().below(3)));
                    executor.post([&] { Scheduler::current()->yield(); });
                    MutexLock lock(mutex);
                    outcome.order += name;
                    ++turn;
                    changed.notify_one();
                    if (turn < 6) changed.wait_until(mutex, Clock::system().boot_ns() + 5000);
                }
            });
        for (auto& thread : threads) thread.join();
        executor.stop();
    });
    outcome.trace = scheduler.trace();
    outcome.steps = scheduler.steps();
    return outcome;
}

TEST(Simulation, OneSeedIsOneRun) {
    std::map<std::string, int> orders;
    for (uint64_t seed = 1; seed <= 300; ++seed) {
        Outcome first = busy_run(seed), second = busy_run(seed);
        ASSERT_EQ(first.order, second.order) << "seed " << seed;
        ASSERT_TRUE(first == second) << "seed " << seed;
        ++orders[first.order];
    }
    EXPECT_GT(orders.size(), 100u);  // and the seeds differ
}

TEST(Simulation, TimePassesOnlyWhenNobodyCanRun) {
    Scheduler scheduler(1);
    auto began = Clock::system().boot_ns();
    scheduler.run([&] {
        int64_t start = Clock::system().boot_ns();
        Thread sleeper("sleeper", [] { Clock::system().sleep_ns(3600 * kNsPerSecond); });
        for (int i = 0; i < 100; ++i) scheduler.yield();
        EXPECT_EQ(Clock::system().boot_ns(), start);
        sleeper.join();
        EXPECT_EQ(Clock::system().boot_ns(), start + 3600 * kNsPerSecond);
    });
    EXPECT_LT(Clock::system().boot_ns() - began, 600 * kNsPerSecond);  // an ordinary thread again, an hour was free
}

TEST(Simulation, AWaitEndsAtItsDeadline) {
    Scheduler scheduler(1);
    scheduler.run([&] {
        Mutex mutex;
        CondVar never;
        MutexLock lock(mutex);
        int64_t deadline = Clock::system().boot_ns() + kNsPerSecond;
        EXPECT_FALSE(never.wait_until(mutex, deadline));
        EXPECT_EQ(Clock::system().boot_ns(), deadline);
    });
}

TEST(Simulation, EventsOfOneMomentComeInOrderAndTheLaterLater) {
    Scheduler scheduler(9);
    scheduler.run([&] {
        std::string order;
        scheduler.post(0, 200, [&] { order += 'c'; });
        scheduler.post(0, 100, [&] { order += 'a'; });
        scheduler.post(0, 100, [&] { order += 'b'; });
        Clock::system().sleep_ns(1000);
        EXPECT_EQ(order, "abc");
    });
}

TEST(Simulation, TheDeadStopAndRunOnlyWhenRevived) {
    Scheduler scheduler(4);
    scheduler.run([&] {
        int steps = 0;
        bool heard = false;
        auto victim = scheduler.spawn(1, "victim", [&] {
            for (int i = 0; i < 100; ++i) {
                ++steps;
                Clock::system().sleep_ns(1000);
            }
        });
        scheduler.post(1, 50'000, [&] { heard = true; });
        Clock::system().sleep_ns(10'500);
        scheduler.kill(1);
        int before = steps;
        EXPECT_FALSE(scheduler.join(victim));
        Clock::system().sleep_ns(kNsPerSecond);
        EXPECT_EQ(steps, before);
        EXPECT_FALSE(heard);
        scheduler.revive(1);
        EXPECT_TRUE(scheduler.join(victim));
        EXPECT_EQ(steps, 100);
        EXPECT_TRUE(heard);
    });
}

TEST(Simulation, TheFrozenGoOnAfterwards) {
    Scheduler scheduler(4);
    scheduler.run([&] {
        int64_t woke_ns = 0, start = Clock::system().boot_ns();
        auto victim = scheduler.spawn(1, "victim", [&] {
            Clock::system().sleep_ns(1000);
            woke_ns = Clock::system().boot_ns();
        });
        scheduler.freeze(1, kNsPerSecond);
        EXPECT_TRUE(scheduler.join(victim));
        EXPECT_GE(woke_ns, start + kNsPerSecond);
    });
}

TEST(Simulation, AMutexHeldAcrossAWaitIsNoDeadlock) {
    Scheduler scheduler(2);
    scheduler.run([&] {
        Mutex mutex;
        int inside = 0;
        auto body = [&] {
            MutexLock lock(mutex);
            EXPECT_EQ(++inside, 1);
            Clock::system().sleep_ns(kNsPerMs);
            --inside;
        };
        Thread a("a", body), b("b", body);
        a.join();
        b.join();
    });
}

// The reason for all this: a bug that needs one order among many is found, and its seed finds it again.
int add_up(uint64_t seed, bool guarded) {
    int value = 0;
    Scheduler scheduler(seed);
    scheduler.run([&] {
        auto body = [&] {
            for (int i = 0; i < 3; ++i) {
                int read = value;
                scheduler.yield();  // a round trip to somewhere
                while (guarded && value != read) {
                    read = value;
                    scheduler.yield();
                }
                value = read + 1;
            }
        };
        Thread a("a", body), b("b", body);
        a.join();
        b.join();
    });
    return value;
}

TEST(Simulation, FindsALostUpdate) {
    uint64_t found_at = 0;
    for (uint64_t seed = 1; seed <= 20 && found_at == 0; ++seed)
        if (add_up(seed, false) != 6) found_at = seed;
    ASSERT_NE(found_at, 0u);
    EXPECT_EQ(add_up(found_at, false), add_up(found_at, false));
    for (uint64_t seed = 1; seed <= 300; ++seed) ASSERT_EQ(add_up(seed, true), 6) << "seed " << seed;
}

using SimulationDeath = testing::Test;

TEST(SimulationDeath, NamesTheSeedWhenNobodyCanRun) {
    EXPECT_DEATH(
        {
            Scheduler scheduler(77);
            scheduler.run([] {
                Mutex mutex;
                CondVar never;
                MutexLock lock(mutex);
                never.wait(mutex);
            });
        },
        "seed 77");
}

}  // namespace
}  // namespace meshfs
