// Work goes on: OSDs that die and come back, monitors that are away, pools that fill up.
#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "cluster_fixture.h"
#include "fs/base/clock.h"
#include "fs/base/mutex.h"
#include "fs/store/io_batch.h"

namespace meshfs {
namespace {

// Asks again until it holds; false: it never did within two minutes.
template <class Condition>
bool eventually(Condition condition) {
    int64_t until_ns = Clock::system().boot_ns() + 120 * kNsPerSecond;
    while (!condition()) {
        if (Clock::system().boot_ns() > until_ns) return false;
        Clock::system().sleep_ns(100 * kNsPerMs);
    }
    return true;
}

class Outage : public Cluster {
protected:
    // Counts up one key of one object, each step guarded on the one before: done twice or lost, it stops.
    struct Counter {
        ObjectName object;
        uint64_t value = 0;
        Status status;
        void step(Store& store) {
            Mutation m(object);
            if (value == 0) m.absent();
            else m.key_is("n", std::to_string(value));
            m.set_keys({{"n", std::to_string(value + 1)}});
            // Data under the same number, in the same step.
            m.write(value * 512, Buffer::copy_of(std::string(512, static_cast<char>('a' + value % 26))));
            status = store.apply(std::move(m));
            if (status.ok()) ++value;
        }
    };
    static void expect_kept(Store& store, const Counter& counter) {
        auto answer = store.ask(Query(counter.object).keys({"n"}).bytes(0, kObjectMax));
        ASSERT_OK(answer);
        EXPECT_EQ(answer->keys.at("n"), std::to_string(counter.value)) << counter.object.name;
        std::string bytes = join(answer->bytes.at(0));
        ASSERT_EQ(bytes.size(), counter.value * 512);
        for (uint64_t i = 0; i < counter.value; ++i)
            ASSERT_EQ(bytes.substr(i * 512, 512), std::string(512, static_cast<char>('a' + i % 26))) << i;
    }
};

TEST_F(Outage, AnOSDKilledAndRestartedUnderLoadLosesNothingAndFailsNothing) {
    auto store = open();
    ASSERT_OK(store);
    std::atomic<bool> is_over = false;
    std::atomic<uint64_t> steps = 0;
    std::vector<Counter> counters;
    for (int i = 0; i < 8; ++i) counters.push_back({.object = {0, "counter." + std::to_string(i)}});
    std::vector<std::thread> threads;
    for (Counter& counter : counters)
        threads.emplace_back([&] {
            while (!is_over && counter.status.ok() && counter.value < 100'000) {
                counter.step(**store);
                ++steps;
            }
        });
    for (int round = 0; round < 3; ++round) {
        uint64_t before = steps;
        EXPECT_TRUE(eventually([&] { return steps > before + 200; })) << "no progress in round " << round;
        EXPECT_TRUE(ceph_dev("kill-osd 0"));
        EXPECT_TRUE(ceph_dev("start-osd 0"));
    }
    uint64_t before = steps;
    EXPECT_TRUE(eventually([&] { return steps > before + 200; }));
    is_over = true;
    for (auto& thread : threads) thread.join();
    for (const Counter& counter : counters) ASSERT_OK(counter.status);
    store->reset();
    auto fresh = open();
    ASSERT_OK(fresh);
    for (const Counter& counter : counters) expect_kept(**fresh, counter);
}

TEST_F(Outage, StreamsGoOnOverARestart) {
    auto store = open();
    ASSERT_OK(store);
    constexpr int kObjects = 64;
    auto bytes_of = [](int i) {
        Buffer bytes = Buffer::zeros(1u << 20);
        for (size_t at = 0; at < bytes.size(); at += 64) bytes.data()[at] = static_cast<char>(i + at / 64);
        return bytes;
    };
    std::thread breaker([&] { EXPECT_TRUE(ceph_dev("kill-osd 0; CEPH_DEV start-osd 0")); });
    IoBatch batch(**store);
    for (int i = 0; i < kObjects; ++i)
        batch.add(Transfer{.direction = Transfer::Direction::write, .object = {1, "stream." + std::to_string(i)},
                           .bytes = bytes_of(i)});
    Status written = batch.wait();
    breaker.join();
    ASSERT_OK(written);
    for (int i = 0; i < kObjects; ++i) {
        Buffer read = Buffer::zeros(1u << 20);
        ASSERT_OK((*store)->transfer({.direction = Transfer::Direction::read,
                                      .object = {1, "stream." + std::to_string(i)}, .bytes = read}));
        ASSERT_EQ(read.view(), bytes_of(i).view()) << i;
    }
}

TEST_F(Outage, AMailboxHearsAgainAfterARestartAndIsToldWhatItMayHaveMissed) {
    auto store = open();
    ASSERT_OK(store);
    const ObjectName object{0, "mailbox"};
    ASSERT_OK((*store)->apply(Mutation(object).create()));
    std::atomic<int> lost = 0, heard = 0;
    auto box = (*store)->open_mailbox(object, {.message =
                                                   [&](Buffer, Acknowledge ack) {
                                                       ++heard;
                                                       ack({});
                                                   },
                                               .lost = [&](int) { ++lost; }});
    ASSERT_OK(box);
    ASSERT_TRUE(ceph_dev("kill-osd 0"));
    ASSERT_TRUE(ceph_dev("start-osd 0"));
    // librados may have kept the watch across a short outage; then nothing was missed and nothing is told.
    EXPECT_TRUE(eventually([&] {
        std::atomic<int> told = 0;
        (*store)->notify(object, Buffer::copy_of("x"), 1, [&](Result<Acks>) { told = 1; });
        return eventually([&] { return told == 1; }) && heard > 0;
    }));
}

TEST_F(Outage, ASoftStoreGivesUpAtItsDeadlineAndTheOperationStaysBelow) {
    options_.soft_timeout_seconds = 2;
    auto store = open();
    ASSERT_OK(store);
    const ObjectName object{0, "soft"};
    ASSERT_OK((*store)->apply(Mutation(object).create()));
    ASSERT_TRUE(ceph_dev("freeze-osd 0"));
    EXPECT_ERRNO((*store)->apply(Mutation(object).set_keys({{"k", "late"}})), ETIMEDOUT);
    EXPECT_ERRNO((*store)->ask(Query(object).stat()), ETIMEDOUT);
    ASSERT_TRUE(ceph_dev("thaw-osd 0"));
    // Settled when a later mutation there is answered: the late one came first.
    EXPECT_TRUE(eventually([&] { return (*store)->apply(Mutation(object).set_keys({{"l", "1"}})).ok(); }));
    auto answer = (*store)->ask(Query(object).keys({"k"}));
    ASSERT_OK(answer);
    EXPECT_EQ(answer->keys["k"], "late");
}

TEST_F(Outage, AHardStoreWaitsForAnOSDThatIsAway) {
    auto store = open();
    ASSERT_OK(store);
    ASSERT_TRUE(ceph_dev("kill-osd 0"));
    std::atomic<int> code = -1;
    (*store)->start(Mutation({0, "hard"}).create(), [&](Status status) { code = status.code(); });
    ASSERT_TRUE(ceph_dev("start-osd 0"));
    EXPECT_TRUE(eventually([&] { return code != -1; }));
    EXPECT_EQ(code, 0);
}

TEST_F(Outage, WithoutMonitorsTheStoreGoesOn) {
    auto store = open();
    ASSERT_OK(store);
    ASSERT_OK((*store)->capacity(kMetaPool));
    ASSERT_TRUE(ceph_dev("stop-mon"));
    EXPECT_TRUE((*store)->apply(Mutation({0, "o"}).set_keys({{"k", "v"}})).ok());
    EXPECT_TRUE((*store)->ask(Query({0, "o"}).keys({"k"})).ok());
    EXPECT_TRUE((*store)->capacity(kMetaPool).ok());  // what was known
}

TEST_F(Outage, StoppingEndsCallsThatWaitForAnOSD) {
    auto store = open();
    ASSERT_OK(store);
    const ObjectName object{0, "o"};
    ASSERT_OK((*store)->apply(Mutation(object).create()));
    auto box = (*store)->open_mailbox(object, {.message = [](Buffer, Acknowledge) {}, .lost = [](int) {}});
    ASSERT_OK(box);
    ASSERT_TRUE(ceph_dev("kill-osd 0"));
    std::atomic<int> told = 0;
    std::atomic<int> code = 0;
    auto then = [&](const auto& result) {
        code = result.code();
        ++told;
    };
    (*store)->start(Mutation(object).set_keys({{"k", "v"}}), then);
    (*store)->start(Query(object).stat(), then);
    (*store)->start(Transfer{.direction = Transfer::Direction::write, .object = {1, "d"},
                             .bytes = Buffer::zeros(1u << 20)}, then);
    (*store)->notify(object, Buffer::copy_of("x"), 5, then);
    (*store)->stop();
    EXPECT_EQ(told, 4);
    EXPECT_EQ(code, ETIMEDOUT);
}

TEST_F(Outage, AFullPoolIsToldAndRemovingMakesRoom) {
    ceph("osd pool create small 1");
    ASSERT_TRUE(ceph("osd pool set-quota small max_bytes 8388608"));
    auto store = open("small");
    ASSERT_OK(store);
    auto write = [&](int i) {
        return (*store)->apply(Mutation({1, "d" + std::to_string(i)}).write_full(Buffer::zeros(1u << 20)));
    };
    int count = 0;
    Status status;
    // Ceph counts behind: it may take much more than the quota before it says no.
    EXPECT_TRUE(eventually([&] {
        status = write(count);
        if (status.ok()) ++count;
        return !status.ok();
    }));
    EXPECT_TRUE(status.code() == EDQUOT || status.code() == ENOSPC) << status.error().text();
    EXPECT_NE(status.error().detail().find("pool small"), std::string::npos) << status.error().text();
    EXPECT_ERRNO((*store)->ask(Query({1, "d" + std::to_string(count)}).stat()), ENOENT);
    EXPECT_GE(count, 8);
    Transfer transfer{.direction = Transfer::Direction::write, .object = {1, "t"}, .bytes = Buffer::zeros(4096)};
    auto transferred = (*store)->transfer(std::move(transfer));
    EXPECT_TRUE(transferred.code() == EDQUOT || transferred.code() == ENOSPC);
    for (int i = 0; i < count; ++i)
        EXPECT_TRUE((*store)->apply(Mutation({1, "d" + std::to_string(i)}).remove()).ok()) << i;
    EXPECT_TRUE(eventually([&] { return write(0).ok(); }));
    EXPECT_TRUE(ceph("osd pool set-quota small max_bytes 0"));
}

TEST_F(Outage, AFullClusterIsENOSPCAndRemovingStillWorks) {
    auto store = open();
    ASSERT_OK(store);
    const ObjectName object{1, "d"};
    ASSERT_OK((*store)->apply(Mutation(object).write_full(Buffer::zeros(1u << 20))));
    // An OSD takes the largest of the three.
    auto set_ratios = [](const char* nearly, const char* backfill, const char* full) {
        return ceph(std::string("osd set-nearfull-ratio ") + nearly) &&
               ceph(std::string("osd set-backfillfull-ratio ") + backfill) &&
               ceph(std::string("osd set-full-ratio ") + full);
    };
    ASSERT_TRUE(set_ratios("0.000001", "0.000001", "0.000001"));
    // A new object each time: overwriting takes no room, and is let through.
    Status status;
    int count = 0;
    auto write = [&] {
        return (*store)->apply(Mutation({1, "e" + std::to_string(count++)}).write_full(Buffer::zeros(4096)));
    };
    EXPECT_TRUE(eventually([&] { return !(status = write()).ok(); }));
    EXPECT_ERRNO(status, ENOSPC);
    EXPECT_TRUE((*store)->ask(Query(object).stat()).ok());
    EXPECT_TRUE((*store)->apply(Mutation(object).remove()).ok());
    ASSERT_TRUE(set_ratios("0.85", "0.90", "0.95"));
    EXPECT_TRUE(eventually([&] { return write().ok(); }));
}

}  // namespace
}  // namespace meshfs
