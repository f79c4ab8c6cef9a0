// What every store promises of bytes, order, completion, reopening and snapshots.
#include <atomic>
#include <thread>

#include "fs/base/mutex.h"
#include "fs/store/conformance_fixture.h"
#include "fs/store/io_batch.h"

namespace meshfs {
namespace {

class StoreBytes : public StoreConformance {};

// Counts callbacks; waits for as many as were expected.
class Count {
public:
    void add() {
        MutexLock lock(mutex_);
        ++count_;
        changed_.notify_all();
    }
    void wait_for(size_t count) {
        MutexLock lock(mutex_);
        while (count_ < count) changed_.wait(mutex_);
    }
    size_t get() {
        MutexLock lock(mutex_);
        return count_;
    }

private:
    Mutex mutex_;
    CondVar changed_;
    size_t count_ GUARDED_BY(mutex_) = 0;
};

TEST_P(StoreBytes, ReadingPastTheEndIsShort) {
    ASSERT_OK(write(data_, 0, "abcdef"));
    EXPECT_EQ(read(data_, 4, 10), "ef");
    EXPECT_EQ(read(data_, 6, 10), "");
    EXPECT_EQ(read(data_, 1000, 10), "");
    auto answer = store().ask(Query(data_).bytes(4, 10).bytes(6, 1).bytes(1000, 1));
    ASSERT_OK(answer);
    EXPECT_EQ(join(answer->bytes[0]), "ef");
    EXPECT_EQ(join(answer->bytes[1]), "");
    EXPECT_EQ(join(answer->bytes[2]), "");
}

TEST_P(StoreBytes, HolesReadAsZeros) {
    ASSERT_OK(write(data_, 100'000, "end"));
    EXPECT_EQ(read(data_, 99'990, 20), std::string(10, '\0') + "end");
    EXPECT_EQ(read(data_, 0, 1000), std::string(1000, '\0'));
    ASSERT_OK(store().apply(Mutation(o_).write(5, buffer_of("x"))));
    EXPECT_EQ(bytes_of(o_), std::string(5, '\0') + "x");
}

TEST_P(StoreBytes, WriteFullShrinks) {
    ASSERT_OK(store().apply(Mutation(o_).write_full(buffer_of("a longer text")).set_keys({{"k", "v"}})));
    ASSERT_OK(store().apply(Mutation(o_).write_full(buffer_of("short"))));
    EXPECT_EQ(bytes_of(o_), "short");
    EXPECT_EQ(store().ask(Query(o_).stat())->size, 5u);
    EXPECT_EQ(key_of(o_, "k"), "v");
    ASSERT_OK(store().apply(Mutation(o_).write_full({})));
    EXPECT_EQ(bytes_of(o_), "");
}

TEST_P(StoreBytes, TruncateGoesBothWays) {
    ASSERT_OK(store().apply(Mutation(o_).write_full(buffer_of("abcdef"))));
    ASSERT_OK(store().apply(Mutation(o_).truncate(3)));
    EXPECT_EQ(bytes_of(o_), "abc");
    ASSERT_OK(store().apply(Mutation(o_).truncate(5)));
    EXPECT_EQ(bytes_of(o_), std::string("abc\0\0", 5));  // what was cut off is gone
}

TEST_P(StoreBytes, ZeroClearsInside) {
    ASSERT_OK(store().apply(Mutation(o_).write_full(buffer_of("abcdef"))));
    ASSERT_OK(store().apply(Mutation(o_).zero(1, 3)));
    EXPECT_EQ(bytes_of(o_), std::string("a\0\0\0ef", 6));
}

TEST_P(StoreBytes, AWriteInsideKeepsTheRest) {
    for (size_t size : {100u, 100'000u, 1'000'000u}) {
        std::string expected = pattern(size);
        ASSERT_OK(write(data_, 0, expected));
        ASSERT_OK(write(data_, size / 2, "transfer"));
        ASSERT_OK(store().apply(Mutation(data_).write(size / 3, buffer_of("mutation"))));
        expected.replace(size / 2, 8, "transfer").replace(size / 3, 8, "mutation");
        EXPECT_EQ(bytes_of(data_), expected) << size;
        ASSERT_OK(store().apply(Mutation(data_).remove()));
    }
}

TEST_P(StoreBytes, FourMebibytesRoundTrip) {
    std::string bytes = pattern(4u << 20);
    ASSERT_OK(write(data_, 0, bytes));
    EXPECT_TRUE(read(data_, 0, 4u << 20) == bytes);
    EXPECT_TRUE(bytes_of(data_) == bytes);
    EXPECT_EQ(read(data_, 1'234'567, 1000), bytes.substr(1'234'567, 1000));
    EXPECT_EQ(store().ask(Query(data_).stat())->size, 4u << 20);
}

TEST_P(StoreBytes, AnObjectReaches64MiB) {
    ASSERT_OK(write(data_, kObjectMax - 3, "end"));
    EXPECT_EQ(read(data_, kObjectMax - 4, 4), std::string(1, '\0') + "end");
}

TEST_P(StoreBytes, SmallGrowsLargeStepByStep) {
    std::string expected;
    for (uint32_t i = 0; i < 40; ++i) {  // 10,000 bytes a step: past any limit of what is kept inline
        std::string part = pattern(10'000, i + 1);
        ASSERT_OK(write(data_, expected.size(), part));
        expected += part;
    }
    EXPECT_TRUE(bytes_of(data_) == expected);
    ASSERT_OK(store().apply(Mutation(data_).truncate(100)));
    EXPECT_EQ(bytes_of(data_), expected.substr(0, 100));
    ASSERT_OK(store().apply(Mutation(data_).write_full(buffer_of(std::string(300'000, 'x'))).set_xattr("sum", "1")));
    EXPECT_TRUE(bytes_of(data_) == std::string(300'000, 'x'));
}

TEST_P(StoreBytes, MutationsOfOneObjectKeepTheirOrder) {
    const int count = 300;
    Count told;
    std::atomic<int> failed{0};
    ASSERT_OK(store().apply(Mutation(o_).set_keys({{"n", "0"}})));
    for (int i = 0; i < count; ++i)  // each needs the one before
        store().start(Mutation(o_).key_is("n", std::to_string(i)).set_keys({{"n", std::to_string(i + 1)}}),
                      [&](Status status) {
                          if (!status) ++failed;
                          told.add();
                      });
    told.wait_for(count);
    EXPECT_EQ(failed, 0);
    EXPECT_EQ(key_of(o_, "n"), std::to_string(count));
}

TEST_P(StoreBytes, WritesAndMutationsOfOneObjectKeepTheirOrder) {
    Count told;
    for (int i = 0; i < 50; ++i) {
        store().start(Transfer{.direction = Transfer::Direction::write, .object = data_, .offset = uint64_t(i) * 8,
                               .bytes = buffer_of(pattern(8, i))},
                      [&](Result<size_t> done) {
                          EXPECT_OK(done);
                          told.add();
                      });
        store().start(Mutation(data_).exists().set_keys({{"n", std::to_string(i)}}), [&](Status status) {
            EXPECT_OK(status);  // the write before has made it
            told.add();
        });
    }
    told.wait_for(100);
    EXPECT_EQ(key_of(data_, "n"), "49");
    EXPECT_EQ(store().ask(Query(data_).stat())->size, 400u);
}

TEST_P(StoreBytes, ManyObjectsAtOnce) {
    IoBatch batch(store(), 64);
    for (int i = 0; i < 500; ++i) batch.add(Mutation({0, "o" + std::to_string(i)}).absent().set_keys({{"k", "v"}}));
    ASSERT_OK(batch.wait());
    for (int i = 0; i < 500; i += 50) EXPECT_EQ(key_of({0, "o" + std::to_string(i)}, "k"), "v");
}

TEST_P(StoreBytes, AMutationIsSeenWholeOrNotAtAll) {
    ASSERT_OK(store().apply(Mutation(o_).set_keys({{"a", "0"}, {"z", "0"}}).set_xattr("x", "0")));
    std::atomic<bool> done{false};
    std::thread writer([&] {
        for (int i = 1; i <= 300; ++i) {
            std::string v = std::to_string(i);
            EXPECT_OK(store().apply(Mutation(o_).set_keys({{"a", v}}).set_xattr("x", v).set_keys({{"z", v}})));
        }
        done = true;
    });
    while (!done) {
        auto answer = store().ask(Query(o_).keys({"a"}).range("y", "z").xattrs());
        if (!answer.ok()) {
            ADD_FAILURE() << answer.error().text();
            break;
        }
        EXPECT_EQ(answer->keys.at("a"), answer->ranges[0].entries.at(0).second);
        EXPECT_EQ(answer->keys.at("a"), answer->xattrs.at("x"));
    }
    writer.join();
}

TEST_P(StoreBytes, OneOfManyGuardedCreatesWins) {
    std::atomic<int> won{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            for (int i = 0; i < 50; ++i) {
                Status s = store().apply(
                    Mutation({0, "o" + std::to_string(i)}).absent().set_xattr("owner", std::to_string(t + 1)));
                if (s.ok()) ++won;
                else EXPECT_ERRNO(s, EEXIST);
            }
        });
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(won, 50);
}

TEST_P(StoreBytes, CallbacksComeOnAnotherThread) {
    Count told;
    const auto self = std::this_thread::get_id();
    auto tell = [&](auto&&) {
        EXPECT_NE(std::this_thread::get_id(), self);
        told.add();
    };
    store().start(Mutation(o_).create(), tell);
    store().start(Mutation(o_).set_xattr("x", ""), tell);  // EINVAL too
    store().start(Query(o_).stat(), tell);
    store().start(Query({0, ""}).stat(), tell);
    store().start(Transfer{.direction = Transfer::Direction::write, .object = data_, .bytes = buffer_of("x")}, tell);
    store().start(Transfer{.direction = Transfer::Direction::write, .object = data_, .bytes = {}}, tell);
    told.wait_for(6);
}

TEST_P(StoreBytes, StartNeverWaitsForACallback) {
    // Callbacks want a mutex that the starting thread has: were start to wait for one, this would not end.
    Mutex mutex;
    Count told;
    {
        MutexLock lock(mutex);
        for (int i = 0; i < 1000; ++i)
            store().start(Mutation({0, "o" + std::to_string(i % 7)}).create(), [&](Status) {
                { MutexLock inner(mutex); }  // let go first: once the last is counted, the test ends and takes it along
                told.add();
            });
        EXPECT_EQ(told.get(), 0u);
    }
    told.wait_for(1000);
}

TEST_P(StoreBytes, ABufferLivesAsLongAsItIsNeeded) {
    Count told;
    for (uint32_t i = 0; i < 20; ++i) {
        Buffer buffer = buffer_of(pattern(100'000, i + 1));  // ours goes before the write is done
        store().start(Transfer{.direction = Transfer::Direction::write, .object = {1, "d" + std::to_string(i)},
                               .bytes = std::move(buffer)},
                      [&](Result<size_t>) { told.add(); });
    }
    told.wait_for(20);
    for (uint32_t i = 0; i < 20; ++i) EXPECT_TRUE(bytes_of({1, "d" + std::to_string(i)}) == pattern(100'000, i + 1));
    // And what a query gave outlives the object.
    auto answer = store().ask(Query({1, "d0"}).bytes(0, 100'000));
    ASSERT_OK(store().apply(Mutation({1, "d0"}).remove()));
    ASSERT_OK(write({1, "other"}, 0, pattern(100'000, 77)));
    EXPECT_TRUE(join(answer->bytes[0]) == pattern(100'000, 1));
}

TEST_P(StoreBytes, ReopeningKeepsAll) {
    ASSERT_OK(store().apply(Mutation(o_).set_keys({{"k", "v"}}).set_xattr("x", "y").write_full(buffer_of("small"))));
    ASSERT_OK(write(data_, 0, pattern(300'000)));
    ASSERT_OK(write(data_, 1000, "inside"));
    ASSERT_OK(store().apply(Mutation({0, "gone"}).create()));
    ASSERT_OK(store().apply(Mutation({0, "gone"}).remove()));
    std::string expected = pattern(300'000).replace(1000, 6, "inside");
    auto id = store().id();
    reopen();
    EXPECT_EQ(store().id().uuid, id.uuid);
    EXPECT_EQ(key_of(o_, "k"), "v");
    EXPECT_EQ(xattr_of(o_, "x"), "y");
    EXPECT_EQ(bytes_of(o_), "small");
    EXPECT_TRUE(bytes_of(data_) == expected);
    EXPECT_ERRNO(store().ask(Query({0, "gone"}).stat()), ENOENT);
    ASSERT_OK(store().apply(Mutation(o_).key_is("k", "v").set_keys({{"k", "w"}})));
    EXPECT_EQ(key_of(o_, "k"), "w");
}

TEST_P(StoreBytes, PlacesAndPoolsAreApart) {
    ASSERT_OK(store().apply(Mutation({0, "o"}).write_full(buffer_of("meta"))));
    EXPECT_ERRNO(store().ask(Query({1, "o"}).stat()), ENOENT);
    ASSERT_OK(store().apply(Mutation({1, "o"}).write_full(buffer_of("data"))));
    EXPECT_EQ(bytes_of({0, "o"}), "meta");
    auto other_place = GetParam().make();
    auto other = other_place->open();
    EXPECT_ERRNO(other->ask(Query({0, "o"}).stat()), ENOENT);
    ASSERT_OK(other->apply(Mutation({0, "o"}).absent().create()));
}

TEST_P(StoreBytes, ASnapshotSeesBytesKeysAndXattrs) {
    ASSERT_OK(store().apply(Mutation(o_).set_keys({{"k", "1"}}).set_xattr("x", "1").write_full(buffer_of("one"))));
    ASSERT_OK(write(data_, 0, pattern(200'000)));
    auto snap = store().create_snap();
    ASSERT_OK(snap);
    SnapContext context{raw(*snap), {*snap}};
    ASSERT_OK(store().apply(Mutation(o_, context)
                                .set_keys({{"k", "2"}, {"l", "2"}})
                                .set_xattr("x", "2")
                                .write_full(buffer_of("second"))));
    ASSERT_OK(write(data_, 10, "changed", context));
    ASSERT_OK(store().apply(Mutation({0, "new"}, context).create()));

    auto old = store().ask(Query(o_, *snap).stat().xattrs().keys({"k", "l"}).range("", "").bytes(0, 100));
    ASSERT_OK(old);
    EXPECT_EQ(old->size, 3u);
    EXPECT_EQ(old->xattrs.at("x"), "1");
    EXPECT_EQ(old->keys, (std::map<std::string, std::string>{{"k", "1"}}));
    EXPECT_EQ(old->ranges[0].entries.size(), 1u);
    EXPECT_EQ(join(old->bytes[0]), "one");
    EXPECT_TRUE(bytes_of(data_, *snap) == pattern(200'000));
    EXPECT_EQ(read(data_, 10, 7, *snap), pattern(200'000).substr(10, 7));
    EXPECT_ERRNO(store().ask(Query({0, "new"}, *snap).stat()), ENOENT);
    EXPECT_EQ(key_of(o_, "k"), "2");
    EXPECT_EQ(read(data_, 10, 7), "changed");
}

TEST_P(StoreBytes, WhatWasNotChangedSinceIsSeenInEverySnapshot) {
    ASSERT_OK(store().apply(Mutation(o_).write_full(buffer_of("one"))));
    auto first = store().create_snap();
    auto second = store().create_snap();
    ASSERT_OK(first);
    ASSERT_OK(second);
    EXPECT_GT(raw(*second), raw(*first));
    EXPECT_EQ(bytes_of(o_, *first), "one");
    SnapContext context{raw(*second), {*second, *first}};
    ASSERT_OK(store().apply(Mutation(o_, context).write_full(buffer_of("two"))));
    ASSERT_OK(store().apply(Mutation(o_, context).write_full(buffer_of("three"))));
    EXPECT_EQ(bytes_of(o_, *first), "one");
    EXPECT_EQ(bytes_of(o_, *second), "one");
    EXPECT_EQ(bytes_of(o_), "three");
}

TEST_P(StoreBytes, ASnapshotOfARemovedObjectKeepsIt) {
    ASSERT_OK(store().apply(Mutation(o_).set_keys({{"k", "1"}}).write_full(buffer_of("one"))));
    auto snap = store().create_snap();
    ASSERT_OK(snap);
    SnapContext context{raw(*snap), {*snap}};
    ASSERT_OK(store().apply(Mutation(o_, context).remove()));
    EXPECT_EQ(bytes_of(o_), "ENOENT");
    EXPECT_EQ(bytes_of(o_, *snap), "one");
    ASSERT_OK(store().apply(Mutation(o_, context).absent().write_full(buffer_of("again"))));
    EXPECT_EQ(bytes_of(o_), "again");
    EXPECT_EQ(bytes_of(o_, *snap), "one");
    EXPECT_EQ(store().ask(Query(o_, *snap).keys({"k"}))->keys.at("k"), "1");
}

TEST_P(StoreBytes, RemovingASnapshotKeepsTheOthers) {
    ASSERT_OK(store().apply(Mutation(o_).write_full(buffer_of("one"))));
    auto first = store().create_snap();
    ASSERT_OK(first);
    ASSERT_OK(store().apply(Mutation(o_, {raw(*first), {*first}}).write_full(buffer_of("two"))));
    auto second = store().create_snap();
    ASSERT_OK(second);
    ASSERT_OK(store().apply(Mutation(o_, {raw(*second), {*second, *first}}).write_full(buffer_of("three"))));
    ASSERT_OK(store().remove_snap(*first));
    EXPECT_EQ(bytes_of(o_, *second), "two");
    EXPECT_EQ(bytes_of(o_), "three");
    auto third = store().create_snap();
    ASSERT_OK(third);
    EXPECT_GT(raw(*third), raw(*second));  // numbers are never reused
    ASSERT_OK(store().apply(Mutation(o_, {raw(*third), {*third, *second}}).write_full(buffer_of("four"))));
    EXPECT_EQ(bytes_of(o_, *second), "two");
    EXPECT_EQ(bytes_of(o_, *third), "three");
}

INSTANTIATE_TEST_SUITE_P(Stores, StoreBytes, testing::ValuesIn(conformance_kinds()), kind_name);

}  // namespace
}  // namespace meshfs
