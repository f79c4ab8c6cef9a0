// Readers carry out what they read, and never wait.
#include "fs/fuse/crew.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "fs/fuse/receive_buffer.h"

namespace meshfs {
namespace {

// In the kernel's place: std's waiting is no waiting to a Crew, as read(2) is none.
class CrewTest : public testing::Test {
protected:
    ~CrewTest() override { end(); }

    void begin(size_t readers, size_t workers) {
        crew = std::make_unique<Crew>(readers + workers, [this](ReceiveBuffer&) { return read_one(); });
        for (size_t i = 0; i < readers; ++i) crew->add_reader();
        while (crew->waiting() > 0) std::this_thread::yield();  // threads that only begin
    }
    void end() {
        {
            std::lock_guard lock(kernel);
            is_gone = true;
            arrived.notify_all();
        }
        if (crew) crew->drain();
        crew.reset();
    }
    bool read_one() {
        Crew::Task request;
        {
            std::unique_lock lock(kernel);
            arrived.wait(lock, [&] { return is_gone || !requests.empty(); });
            if (requests.empty()) return false;
            request = std::move(requests.front());
            requests.pop_front();
        }
        crew->run(std::move(request));
        return true;
    }
    void ask(Crew::Task request) {
        std::lock_guard lock(kernel);
        requests.push_back(std::move(request));
        arrived.notify_one();
    }

    // What a request waits for, as in fs/: with a CondVar.
    void wait_for(bool& happened) {
        MutexLock lock(mutex);
        ++waiting;
        changed.notify_all();
        while (!happened) changed.wait(mutex);
        --waiting;
        changed.notify_all();
    }
    void make_happen(bool& event) {
        MutexLock lock(mutex);
        event = true;
        changed.notify_all();
    }
    void until_waiting(int count) {
        MutexLock lock(mutex);
        while (waiting != count) changed.wait(mutex);
    }

    std::mutex kernel;
    std::condition_variable arrived;
    std::deque<Crew::Task> requests;
    bool is_gone = false;
    Mutex mutex;
    CondVar changed;
    int waiting = 0;
    std::unique_ptr<Crew> crew;
};

TEST_F(CrewTest, WhatDoesNotWaitStaysWithItsReader) {
    begin(1, 2);
    std::set<std::thread::id> threads;
    bool is_done = false;
    for (int i = 0; i < 100; ++i) ask([&] { threads.insert(std::this_thread::get_id()); });
    ask([&] { make_happen(is_done); });
    wait_for(is_done);
    EXPECT_EQ(threads.size(), 1U);
}

TEST_F(CrewTest, WhoWaitsLetsSomebodyElseReadOn) {
    begin(1, 2);
    bool first = false, second = false, is_done = false;
    ask([&] { wait_for(first); });
    until_waiting(1);
    ask([&] { make_happen(is_done); });
    wait_for(is_done);
    ask([&] { wait_for(second); });
    until_waiting(2);
    make_happen(second);
    until_waiting(1);
    make_happen(first);
    until_waiting(0);
}

TEST_F(CrewTest, WithEverybodyWaitingReadersReadAndQueue) {
    begin(2, 2);
    bool event = false;
    std::atomic<int> read{0}, done{0};
    for (int i = 0; i < 2; ++i) ask([&] { wait_for(event); });
    until_waiting(2);
    for (int i = 0; i < 50; ++i) ask([&] { ++done; });
    while (crew->waiting() < 52) std::this_thread::yield();  // all of them were read
    EXPECT_EQ(done, 0);
    make_happen(event);
    end();
    EXPECT_EQ(done, 50);
}

TEST_F(CrewTest, WhatIsPostedRunsElsewhere) {
    begin(1, 1);
    bool is_done = false;
    std::thread::id reader, poster;
    ask([&] {
        reader = std::this_thread::get_id();
        crew->post([&] {
            poster = std::this_thread::get_id();
            make_happen(is_done);
        });
    });
    wait_for(is_done);
    EXPECT_NE(reader, poster);
}

TEST_F(CrewTest, WhoHasHandedOverOnceQueuesWhatComesThen) {
    begin(1, 2);
    bool event = false, is_done = false;
    std::atomic<bool> ran_here{true};
    ask([&] {
        wait_for(event);
        Crew::Task more = [] {};
        ran_here = crew->run_here(more);
        make_happen(is_done);
    });
    until_waiting(1);
    make_happen(event);
    wait_for(is_done);
    EXPECT_FALSE(ran_here);
}

TEST_F(CrewTest, ManyThatWaitAndManyThatDoNot) {
    begin(2, 4);
    constexpr int kRequests = 20'000;
    std::atomic<int> done{0};
    for (int i = 0; i < kRequests; ++i) {
        ask([this, i, &done] {
            if (i % 3 == 0) {
                MutexLock lock(mutex);
                changed.wait(mutex);
            }
            ++done;
        });
        if (i % 16 == 0) {
            MutexLock lock(mutex);
            changed.notify_all();
        }
    }
    while (done < kRequests) {
        MutexLock lock(mutex);
        changed.notify_all();
    }
    end();
    EXPECT_EQ(done, kRequests);
}

}  // namespace
}  // namespace meshfs
