// What every store promises of its clients: mailboxes, fences, fullness, listing, stopping.
#include <algorithm>
#include <set>

#include "fs/base/mutex.h"
#include "fs/store/conformance_fixture.h"
#include "fs/store/io_batch.h"

namespace meshfs {
namespace {

class StoreClients : public StoreConformance {
protected:
    // Blocks until the callback has come.
    Result<Acks> notify(Store& from, const ObjectName& object, std::string_view message, int seconds = 10) {
        Mutex mutex;
        CondVar told;
        std::optional<Result<Acks>> result;
        from.notify(object, Buffer::copy_of(message), seconds, [&](Result<Acks> acks) {
            MutexLock lock(mutex);
            result = std::move(acks);
            told.notify_all();
        });
        MutexLock lock(mutex);
        while (!result) told.wait(mutex);
        return std::move(*result);
    }
    static MailHandler echo(const std::string& name) {
        return {.message = [name](Buffer m, Acknowledge ack) { ack(Buffer::copy_of(name + std::string(m.view()))); },
                .lost = [](int) {}};
    }
    static std::multiset<std::string> replies(const Acks& acks) {
        std::multiset<std::string> out;
        for (const auto& [client, reply] : acks.answered) out.emplace(reply.view());
        return out;
    }
};

TEST_P(StoreClients, ANotifyGathersTheReplies) {
    ASSERT_OK(store().apply(Mutation(o_).create()));
    auto none = notify(store(), o_, "x");
    ASSERT_OK(none);
    EXPECT_TRUE(none->answered.empty() && none->silent.empty());

    auto a = store().open_mailbox(o_, echo("a:"));
    auto b = store().open_mailbox(o_, echo("b:"));
    ASSERT_OK(a);
    ASSERT_OK(b);
    auto acks = notify(store(), o_, "hello");
    ASSERT_OK(acks);
    EXPECT_EQ(replies(*acks), (std::multiset<std::string>{"a:hello", "b:hello"}));
    EXPECT_TRUE(acks->silent.empty());

    b->reset();
    acks = notify(store(), o_, "again");
    ASSERT_OK(acks);
    EXPECT_EQ(replies(*acks), (std::multiset<std::string>{"a:again"}));
}

TEST_P(StoreClients, AReplyMayBeEmptyAndComeLater) {
    ASSERT_OK(store().apply(Mutation(o_).create()));
    Mutex mutex;
    CondVar came;
    Acknowledge later;
    auto box = store().open_mailbox(o_, {.message =
                                             [&](Buffer, Acknowledge ack) {
                                                 MutexLock lock(mutex);
                                                 later = std::move(ack);
                                                 came.notify_all();
                                             },
                                         .lost = [](int) {}});
    ASSERT_OK(box);
    std::optional<Result<Acks>> result;
    store().notify(o_, {}, 10, [&](Result<Acks> acks) {
        MutexLock lock(mutex);
        result = std::move(acks);
        came.notify_all();
    });
    Acknowledge ack;
    {
        MutexLock lock(mutex);
        while (!later) came.wait(mutex);
        EXPECT_FALSE(result.has_value());
        ack = std::move(later);
    }
    ack({});
    MutexLock lock(mutex);
    while (!result) came.wait(mutex);
    ASSERT_OK(*result);
    ASSERT_EQ((*result)->answered.size(), 1u);
    EXPECT_TRUE((*result)->answered[0].second.empty());
}

TEST_P(StoreClients, WhoDoesNotAnswerIsNamedSilent) {
    ASSERT_OK(store().apply(Mutation(o_).create()));
    auto answers = store().open_mailbox(o_, echo("a:"));
    auto silent = store().open_mailbox(o_, {.message = [](Buffer, Acknowledge) {}, .lost = [](int) {}});
    ASSERT_OK(answers);
    ASSERT_OK(silent);
    auto acks = notify(store(), o_, "x", 1);
    ASSERT_OK(acks);
    EXPECT_EQ(replies(*acks), (std::multiset<std::string>{"a:x"}));
    EXPECT_EQ(acks->silent.size(), 1u);
}

TEST_P(StoreClients, MailNeedsItsObject) {
    EXPECT_ERRNO(store().open_mailbox(o_, echo("a:")), ENOENT);
    EXPECT_ERRNO(notify(store(), o_, "x"), ENOENT);
}

TEST_P(StoreClients, AMailboxIsToldThatItsObjectHasGone) {
    ASSERT_OK(store().apply(Mutation(o_).create()));
    Mutex mutex;
    CondVar told;
    bool lost = false;
    auto box = store().open_mailbox(o_, {.message = [](Buffer, Acknowledge) {},
                                         .lost =
                                             [&](int code) {
                                                 MutexLock lock(mutex);
                                                 EXPECT_GT(code, 0);
                                                 lost = true;
                                                 told.notify_all();
                                             }});
    ASSERT_OK(box);
    ASSERT_OK(store().apply(Mutation(o_).remove()));
    MutexLock lock(mutex);
    while (!lost) told.wait(mutex);
}

TEST_P(StoreClients, MessagesCrossClients) {
    if (!place_->takes_several()) GTEST_SKIP() << "one client at a time";
    auto other = place_->open();
    EXPECT_NE(other->client(), store().client());
    EXPECT_EQ(other->id().uuid, store().id().uuid);
    ASSERT_OK(store().apply(Mutation(o_).create()));
    auto a = store().open_mailbox(o_, echo("a:"));
    auto b = other->open_mailbox(o_, echo("b:"));
    ASSERT_OK(a);
    ASSERT_OK(b);
    auto acks = notify(*other, o_, "x");
    ASSERT_OK(acks);
    EXPECT_EQ(replies(*acks), (std::multiset<std::string>{"a:x", "b:x"}));
    b->reset();
    other->stop();
}

TEST_P(StoreClients, AFencedClientChangesNothing) {
    if (!place_->takes_several()) GTEST_SKIP() << "one client at a time";
    auto other = place_->open();
    ASSERT_OK(other->apply(Mutation(o_).set_keys({{"k", "1"}})));
    Status fenced = store().fence(other->client());
    if (fenced.code() == EACCES) GTEST_SKIP() << "these keys may not fence";
    ASSERT_OK(fenced);
    EXPECT_ERRNO(other->apply(Mutation(o_).set_keys({{"k", "2"}})), ESHUTDOWN);
    EXPECT_ERRNO(other->ask(Query(o_).keys({"k"})), ESHUTDOWN);
    EXPECT_EQ(key_of(o_, "k"), "1");
    ASSERT_OK(store().apply(Mutation(o_).set_keys({{"k", "3"}})));
    other->stop();
    auto fresh = place_->open();  // a new client is not the fenced one
    EXPECT_OK(fresh->apply(Mutation(o_).set_keys({{"k", "4"}})));
}

TEST_P(StoreClients, AFullStoreIsENOSPCAndRemovingStillWorks) {
    auto small = place_->open_with_room(4u << 20);
    if (!small) GTEST_SKIP() << "cannot be made small here";
    Status status;
    int written = 0;
    for (; status.ok() && written < 200; ++written)
        status = small->apply(Mutation({1, "d" + std::to_string(written)}).write_full(Buffer::zeros(1u << 20)));
    EXPECT_TRUE(status.code() == ENOSPC || status.code() == EDQUOT) << status.error().text();
    EXPECT_ERRNO(small->ask(Query({1, "d" + std::to_string(written - 1)}).stat()), ENOENT);
    EXPECT_OK(small->apply(Mutation({1, "d0"}).truncate(0)));
    EXPECT_OK(small->apply(Mutation({1, "d1"}).remove()));
}

TEST_P(StoreClients, CapacityAddsUp) {
    auto capacity = store().capacity(kMetaPool);
    ASSERT_OK(capacity);
    EXPECT_GT(capacity->total, 0u);
    EXPECT_LE(capacity->available, capacity->total);
    EXPECT_LE(capacity->used, capacity->total);
}

TEST_P(StoreClients, AListFindsAllOfItsPool) {
    std::set<std::string> expected;
    for (int i = 0; i < 1500; ++i) expected.insert("o" + std::to_string(i));
    IoBatch batch(store(), 64);
    for (const auto& name : expected) batch.add(Mutation({0, name}).create());
    ASSERT_OK(batch.wait());
    ASSERT_OK(store().apply(Mutation({1, "elsewhere"}).create()));
    ASSERT_OK(store().apply(Mutation({0, "gone"}).create()));
    ASSERT_OK(store().apply(Mutation({0, "gone"}).remove()));
    std::multiset<std::string> found;
    ASSERT_OK(store().list(0, [&](const std::string& name) {
        found.insert(name);
        return Status();
    }));
    EXPECT_EQ(found, std::multiset<std::string>(expected.begin(), expected.end()));
}

TEST_P(StoreClients, AVisitorsErrorEndsTheList) {
    for (int i = 0; i < 10; ++i) ASSERT_OK(store().apply(Mutation({0, "o" + std::to_string(i)}).create()));
    int visited = 0;
    EXPECT_ERRNO(store().list(0,
                              [&](const std::string&) -> Status {
                                  ++visited;
                                  return fail(EINTR);
                              }),
                 EINTR);
    EXPECT_EQ(visited, 1);
}

TEST_P(StoreClients, StopEndsAllCalls) {
    struct Told {
        Mutex mutex;
        size_t count GUARDED_BY(mutex) = 0;
        std::set<int> codes GUARDED_BY(mutex);
    } told;
    for (int i = 0; i < 500; ++i)
        store().start(Mutation({0, "o" + std::to_string(i)}).create(), [&](Status status) {
            MutexLock lock(told.mutex);
            ++told.count;
            told.codes.insert(status.code());
        });
    store().stop();
    {
        MutexLock lock(told.mutex);
        EXPECT_EQ(told.count, 500u);  // none comes later
        for (int code : told.codes) EXPECT_TRUE(code == 0 || code == ETIMEDOUT) << errno_name(code);
    }
    store().stop();  // any number of times
    EXPECT_ERRNO(store().apply(Mutation(o_).create()), ESHUTDOWN);
    EXPECT_ERRNO(store().ask(Query(o_).stat()), ESHUTDOWN);
    EXPECT_ERRNO(write(data_, 0, "x"), ESHUTDOWN);
    EXPECT_ERRNO(store().open_mailbox(o_, echo("")), ESHUTDOWN);
    EXPECT_ERRNO(notify(store(), o_, "x"), ESHUTDOWN);
    EXPECT_ERRNO(store().create_snap(), ESHUTDOWN);
}

TEST_P(StoreClients, TooMuchInFlightIsEAGAIN) {
    // Callbacks wait while the mutex is held: nothing can be counted as done before all are started.
    Mutex mutex;
    CondVar changed;
    size_t told = 0, refused = 0;
    const size_t count = kCallsMax + 2000;
    {
        MutexLock lock(mutex);
        for (size_t i = 0; i < count; ++i)
            store().start(Query(o_).stat(), [&](Result<Answer> answer) {
                MutexLock inner(mutex);
                ++told;
                if (answer.code() == EAGAIN) ++refused;
                else EXPECT_ERRNO(answer, ENOENT);
                changed.notify_all();
            });
    }
    MutexLock lock(mutex);
    while (told < count) changed.wait(mutex);
    EXPECT_GT(refused, 0u);
}

INSTANTIATE_TEST_SUITE_P(Stores, StoreClients, testing::ValuesIn(conformance_kinds()), kind_name);

}  // namespace
}  // namespace meshfs
