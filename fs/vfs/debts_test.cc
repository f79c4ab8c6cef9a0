// What a mount owes when others come to look, while files go elsewhere, are closed again, or cannot be stored.
#include <thread>

#include "test/small_files.h"

namespace meshfs::test {
namespace {

// Programs close a file as often as they have duplicated its descriptor.
TEST_F(SmallFiles, WhatWasClosedIsSeenWhileItIsClosedAgain) {
    SilentStore* silent = nullptr;
    auto a = mount_silent(silent), b = mount();
    const std::string bytes = bytes_of(1, 16'000), full(1u << 20, 'x');
    must(a->mkdir("/d")), must(a->mkdir("/e"));
    auto file = must(a->create("/d/file"));
    ASSERT_OK(a->write(file.handle, 0, bytes));
    ASSERT_OK(a->vfs->flush(file.handle, 0));
    silent->be_silent();
    // There is no room for what the second close has to wait with, so it is published by that.
    for (int i = 0; i < 63; ++i) ASSERT_OK(a->write_file("/e/full" + std::to_string(i), full));
    ASSERT_OK(a->write(file.handle, 16'000, full.substr(17'000)));
    std::thread closing([&] { ASSERT_OK(a->vfs->flush(file.handle, 0)); });
    const auto moment = std::chrono::milliseconds(300);
    std::this_thread::sleep_for(moment);
    std::atomic<bool> has_read{false};
    std::thread reading([&] {
        EXPECT_TRUE(must(b->read_file("/d/file")).starts_with(bytes));
        has_read = true;
    });
    std::this_thread::sleep_for(moment);
    EXPECT_FALSE(has_read) << "it was closed, and is not in the store";
    silent->speak();
    reading.join(), closing.join();
    a->vfs->release(file.handle, false);
}

// A new file that is renamed while it is open and empty owes nothing of the group where it was made.
TEST_F(SmallFiles, FilesThatMoveWhileTheyAreWrittenKeepNobodyWaiting) {
    auto a = mount(), b = mount();
    must(a->mkdir("/a")), must(a->mkdir("/b")), must(a->mkdir("/d"));
    for (int i = 0; i < 2; ++i) ASSERT_OK(a->write_file("/a/" + std::to_string(i), "x"));
    constexpr int kFiles = 150;
    std::atomic<bool> is_over{false};
    auto write_and_move = [&](int first) {
        for (int i = first; i < kFiles; i += 2) {
            const std::string at = "/b/new" + std::to_string(i);
            auto file = must(a->create(at));
            ASSERT_OK(a->rename(at, i % 4 < 2 ? "/a/moved" + std::to_string(i) : "/d/moved" + std::to_string(i)));
            ASSERT_OK(a->write(file.handle, 0, bytes_of(static_cast<uint64_t>(i), 16'000)));
            ASSERT_OK(a->close(file.handle));
        }
    };
    auto rename = [&](const std::string& name, const std::string& other) {
        while (!is_over) {
            ASSERT_OK(a->rename("/a/" + name, other + name));
            ASSERT_OK(a->rename(other + name, "/a/" + name));
        }
    };
    std::thread writer0(write_and_move, 0), writer1(write_and_move, 1);
    std::thread renamer0(rename, "0", "/b/"), renamer1(rename, "1", "/d/");
    writer0.join(), writer1.join();
    is_over = true;
    renamer0.join(), renamer1.join();
    for (int i = 0; i < kFiles; ++i) {
        auto bytes = b->read_file((i % 4 < 2 ? "/a/moved" : "/d/moved") + std::to_string(i));
        ASSERT_OK(bytes);
        EXPECT_TRUE(*bytes == bytes_of(static_cast<uint64_t>(i), 16'000)) << i;
    }
}

class ImpatientSmallFiles : public SmallFiles {
protected:
    ImpatientSmallFiles() : SmallFiles(1) {}
};

// A silent OSD of the data pool is no reason to keep a directory from everybody, nor to be taken for dead.
TEST_F(ImpatientSmallFiles, WhatCannotBeStoredKeepsAGroupFromOthersForALeaseTimeAtMost) {
    SilentStore* silent = nullptr;
    auto a = mount_silent(silent), b = mount();
    write(*a, 3);
    silent->be_silent();
    ASSERT_OK(b->write_file("/d/of b", "x"));
    EXPECT_EQ(must(a->read_file("/d/of b")), "x");
    silent->speak();
    ASSERT_OK(a->vfs->syncfs());
    expect_whole(*b, 0, 3);
}

}  // namespace
}  // namespace meshfs::test
