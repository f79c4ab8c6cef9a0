// WHEN A MOUNT DIES of meshfs-semantics(7): one that was declared dead while it was away: nothing of before
// lands, what was lost is told once, and it goes on.
#include "fs/meta/format.h"
#include "test/fixtures.h"

namespace meshfs::test {
namespace {

class Anew : public testing::Test {
protected:
    Anew() : cluster_(std::make_shared<MemoryCluster>()) {
        MemoryStore store(cluster_);
        must(format_volume(store, Clock::system(), {.lease_seconds = 1}));
        store.stop();
        VfsSettings settings;
        settings.commit_ns = 3600 * kNsPerSecond;  // what is stored, a test asked for
        MetaOptions holds;
        holds.hold = true;
        holds.commit_ns = settings.commit_ns;
        a_ = std::make_unique<Mount>(cluster_, settings, holds);
        b_ = std::make_unique<Mount>(cluster_, settings);
    }
    Mount& a() { return *a_; }
    Mount& b() { return *b_; }

    // As another mount does to one that has been silent for T; returns when that one has found out and goes
    // on.
    void declare_dead() {
        SessionId before = a().meta->session();
        ASSERT_OK(b().store->fence(a().store->client()));
        ASSERT_OK(b().store->apply(
            std::move(Mutation(session_object(before))
                          .set_xattr(kStateXattr,
                                     encode(StateRecord{.state = SessionState::dead, .is_fenced = true})))));
        for (int i = 0; i < 1000 && a().meta->session() == before; ++i)
            Clock::system().sleep_ns(10 * kNsPerMs);
        ASSERT_NE(a().meta->session(), before);
        a().vfs->wait_while_away();
        // The rest is done in a moment: files that were open are told to the new session.
        Clock::system().sleep_ns(50 * kNsPerMs);
    }
    std::string read_at(Mount& mount, const std::string& path) { return must(mount.read_file(path)); }

    std::shared_ptr<MemoryCluster> cluster_;
    std::unique_ptr<Mount> a_, b_;
};

TEST_F(Anew, BytesThatWereNotStoredAreAnErrorOnceAndTheFileGoesOn) {
    auto file = must(a().create("/f"));
    must(a().write(file.handle, 0, "stored"));
    ASSERT_OK(a().vfs->fsync(file.handle, false));
    must(a().write(file.handle, 0, "LOST"));
    declare_dead();
    EXPECT_ERRNO(a().vfs->fsync(file.handle, false), EIO);
    EXPECT_OK(a().vfs->fsync(file.handle, false));
    EXPECT_EQ(must(a().read(file.handle, 0, 100)), "stored");
    must(a().write(file.handle, 6, " anew"));
    ASSERT_OK(a().vfs->fsync(file.handle, false));
    EXPECT_OK(a().close(file.handle));
    EXPECT_EQ(read_at(b(), "/f"), "stored anew");
}

TEST_F(Anew, WhatOthersWroteMeanwhileStays) {
    auto file = must(a().create("/f"));
    must(a().write(file.handle, 0, std::string(200'000, 'a')));
    ASSERT_OK(a().vfs->fsync(file.handle, false));
    must(a().write(file.handle, 0, std::string(100'000, 'x')));
    ASSERT_OK(b().store->fence(a().store->client()));
    declare_dead();
    auto there = must(b().open("/f"));
    must(b().write(there.handle, 50'000, std::string(100'000, 'b')));
    ASSERT_OK(b().close(there.handle));
    const std::string both = std::string(50'000, 'a') + std::string(100'000, 'b') + std::string(50'000, 'a');
    EXPECT_ERRNO(a().close(file.handle), EIO);
    EXPECT_EQ(read_at(a(), "/f"), both);
    EXPECT_EQ(read_at(b(), "/f"), both);
}

TEST_F(Anew, NamesThatWereNotStoredAreAnErrorOnce) {
    must(a().mkdir("/kept"));
    ASSERT_OK(a().vfs->syncfs());
    must(a().mkdir("/kept/lost"));
    ASSERT_OK(a().write_file("/kept/lost/file", "x"));
    declare_dead();
    EXPECT_ERRNO(a().vfs->syncfs(), EIO);
    EXPECT_OK(a().vfs->syncfs());
    EXPECT_EQ(a().names("/kept").size(), 2u);  // . and ..
    must(a().mkdir("/kept/new"));
    ASSERT_OK(a().vfs->syncfs());
    EXPECT_OK(b().stat("/kept/new").ok() ? Status() : Status(fail(ENOENT)));
    ASSERT_OK(b().write_file("/kept/new/of-b", "y"));
    EXPECT_EQ(read_at(a(), "/kept/new/of-b"), "y");
}

TEST_F(Anew, ALostLockIsAnErrorOfItsHandleAlone) {
    ASSERT_OK(a().write_file("/f", "bytes"));
    ASSERT_OK(a().vfs->syncfs());
    auto locked = must(a().open("/f")), other = must(a().open("/f"));
    auto lock = [](Mount& mount, uint64_t handle) {
        Vfs::LockRequest request{
            .handle = handle, .owner = 1, .type = F_WRLCK, .first = 0, .last = 9, .pid = 1};
        Status answer = fail(EINPROGRESS);
        mount.vfs->setlk(mount.ino("/f"), request, [&](Status done) { answer = done; });
        return answer;
    };
    ASSERT_OK(lock(a(), locked.handle));
    declare_dead();
    EXPECT_EQ(a().read(locked.handle, 0, 5).code(), EIO);
    EXPECT_EQ(must(a().read(other.handle, 0, 5)), "bytes");
    auto there = must(b().open("/f"));
    for (int i = 0; i < 300 && lock(b(), there.handle).code() == EAGAIN; ++i)
        Clock::system().sleep_ns(10 * kNsPerMs);
    EXPECT_OK(lock(b(), there.handle));
    EXPECT_OK(b().close(there.handle, 1));
    (void)a().close(locked.handle, 1);
    EXPECT_OK(a().close(other.handle));
}

TEST_F(Anew, AFileThatIsOpenIsNotPurgedByOthers) {
    ASSERT_OK(a().write_file("/f", std::string(100'000, 'f')));
    ASSERT_OK(a().vfs->syncfs());
    auto file = must(a().open("/f", O_RDONLY));
    declare_dead();
    ASSERT_OK(b().unlink("/f"));
    ASSERT_OK(b().vfs->syncfs());
    Clock::system().sleep_ns(3 * kNsPerSecond);  // b asks who has it open
    EXPECT_EQ(must(a().read(file.handle, 0, 200'000)), std::string(100'000, 'f'));
    EXPECT_OK(a().close(file.handle));
}

}  // namespace
}  // namespace meshfs::test
