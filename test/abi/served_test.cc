// Requests with completions: answered late, twice, or never.
#include <gtest/gtest.h>

#include <future>

#include "fs/base/executor.h"
#include "plugins/served.h"

namespace meshfs {
namespace {

meshfs_host reply_calls() {
    meshfs_host host{};
    set_reply_calls(host);
    return host;
}

// A plugin written in the test: what it does with a getattr is a function.
struct Fake {
    std::function<void(meshfs_request*, uint64_t)> on_getattr;
    meshfs_serve serve{};
    Fake() {
        serve.size = sizeof serve;
        serve.getattr = [](void* plugin, meshfs_request* request, uint64_t ino) {
            static_cast<Fake*>(plugin)->on_getattr(request, ino);
        };
    }
};

ServedOptions options(int seconds, size_t with_plugin) {
    ServedOptions o;
    o.name = "fake";
    o.answer_seconds = seconds;
    o.with_plugin_max = with_plugin;
    return o;
}

TEST(ServedPlugin, AnswersFromAnotherThread) {
    auto host = reply_calls();
    Executor answering("answers", 1, 1);  // before `served`: who asks may be answered while the plugin's call still runs
    Fake fake;
    fake.on_getattr = [&](meshfs_request* request, uint64_t ino) {
        EXPECT_TRUE(answering.post([&host, request, ino] {
            meshfs_attr attr{};
            attr.ino = ino;
            attr.mode = 0100644;
            host.reply_attr(request, &attr);
        }));
    };
    ServedPlugin served(fake.serve, &fake, options(30, 4));
    for (uint64_t ino = 1; ino < 200; ++ino) {
        auto found = served.getattr(ino);
        ASSERT_TRUE(found.ok());
        EXPECT_EQ(raw(found->inode.ino), ino);
    }
}

TEST(ServedPlugin, ErrorsArriveAsErrno) {
    auto host = reply_calls();
    Fake fake;
    fake.on_getattr = [&](meshfs_request* request, uint64_t) { host.reply_error(request, -EDQUOT); };
    ServedPlugin served(fake.serve, &fake, options(30, 4));
    EXPECT_EQ(served.getattr(1).code(), EDQUOT);
    EXPECT_EQ(served.mkdir({}, 1, "x", 0755).code(), ENOSYS);
}

TEST(ServedPlugin, ASecondAnswerReachesNobody) {
    auto host = reply_calls();
    Fake fake;
    fake.on_getattr = [&](meshfs_request* request, uint64_t ino) {
        meshfs_attr attr{};
        attr.ino = ino;
        host.reply_attr(request, &attr);
        host.reply_error(request, -EIO);
    };
    ServedPlugin served(fake.serve, &fake, options(30, 4));
    for (uint64_t ino = 1; ino < 100; ++ino) {
        auto found = served.getattr(ino);
        ASSERT_TRUE(found.ok());
        EXPECT_EQ(raw(found->inode.ino), ino);
    }
}

TEST(ServedPlugin, OneThatIsNeverAnsweredIsEioAndHoldsItsPlace) {
    auto host = reply_calls();
    Fake fake;
    std::promise<meshfs_request*> keeps;
    fake.on_getattr = [&](meshfs_request* request, uint64_t ino) {
        if (ino == 1) keeps.set_value(request);
        else host.reply_error(request, 0);
    };
    ServedPlugin served(fake.serve, &fake, options(1, 1));
    EXPECT_EQ(served.getattr(1).code(), EIO);
    meshfs_request* kept = keeps.get_future().get();
    EXPECT_EQ(served.getattr(2).code(), EIO);  // the only place is taken
    host.reply_error(kept, 0);                 // late: nobody hears it, the place is free
    EXPECT_EQ(served.getattr(2).code(), 0);
}

TEST(ServedPlugin, OneThatHangsInsideIsEio) {
    auto host = reply_calls();
    static Mutex mutex;  // outlives the thread that is left behind
    static CondVar released;
    static bool is_released;
    is_released = false;
    Fake fake;
    fake.on_getattr = [&](meshfs_request* request, uint64_t) {
        MutexLock lock(mutex);
        while (!is_released) released.wait(mutex);
        host.reply_error(request, 0);
    };
    ServedPlugin served(fake.serve, &fake, options(1, 2));
    EXPECT_EQ(served.getattr(1).code(), EIO);
    {
        MutexLock lock(mutex);
        is_released = true;
        released.notify_all();
    }
}

}  // namespace
}  // namespace meshfs
