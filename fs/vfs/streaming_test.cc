// Streams: whole objects reach the store by themselves, whoever else flushes or waits.
#include <thread>

#include "test/fixtures.h"

namespace meshfs::test {
namespace {

constexpr size_t kPiece = 1u << 20;
constexpr uint64_t kDirtyMax = 16u << 20;

class Streaming : public testing::Test {
protected:
    Streaming() {
        MemoryStore store(cluster_);
        must(format_volume(store, Clock::system(), {}));
        store.stop();
        VfsSettings settings;
        settings.commit_ns = 3600 * kNsPerSecond;  // nobody flushes because of the time
        settings.data.dirty_bytes_max = kDirtyMax;
        mount_ = std::make_unique<Mount>(cluster_, settings);
    }
    static char byte_of(size_t stream, size_t piece) { return static_cast<char>(stream * 31 + piece); }
    void write_stream(size_t stream, size_t pieces) {
        uint64_t handle = must(mount_->create("/" + std::to_string(stream))).handle;
        for (size_t i = 0; i < pieces; ++i)
            ASSERT_OK(mount_->write(handle, i * kPiece, std::string(kPiece, byte_of(stream, i))));
        ASSERT_OK(mount_->vfs->fsync(handle, false));
        EXPECT_OK(mount_->close(handle));
    }
    void expect_stream(Mount& mount, size_t stream, size_t pieces) {
        uint64_t handle = must(mount.open("/" + std::to_string(stream), O_RDONLY)).handle;
        for (size_t i = 0; i < pieces; ++i)
            ASSERT_TRUE(must(mount.read(handle, i * kPiece, kPiece)) == std::string(kPiece, byte_of(stream, i))) << i;
        EXPECT_EQ(must(mount.read(handle, pieces * kPiece, 1)), "");
        EXPECT_OK(mount.close(handle));
    }

    std::shared_ptr<MemoryCluster> cluster_ = std::make_shared<MemoryCluster>();
    std::unique_ptr<Mount> mount_;
};

TEST_F(Streaming, AWriterGetsOnThoughNobodyFlushes) {
    write_stream(0, 4 * kDirtyMax / kPiece + 3);
    Mount other(cluster_);
    expect_stream(other, 0, 4 * kDirtyMax / kPiece + 3);
}

TEST_F(Streaming, SeveralFilesGoOnBesideEachOther) {
    std::vector<std::thread> writers;
    for (size_t stream = 0; stream < 4; ++stream)
        writers.emplace_back([this, stream] { write_stream(stream, kDirtyMax / kPiece + stream); });
    for (auto& writer : writers) writer.join();
    Mount other(cluster_);
    for (size_t stream = 0; stream < 4; ++stream) expect_stream(other, stream, kDirtyMax / kPiece + stream);
}

TEST_F(Streaming, AFullStoreIsToldByFsyncAndAllIsThereOnceThereIsRoom) {
    uint64_t handle = must(mount_->create("/0")).handle;
    ASSERT_OK(mount_->write(handle, 0, std::string(kPiece, byte_of(0, 0))));
    ASSERT_OK(mount_->vfs->fsync(handle, false));
    ASSERT_OK(mount_->write(handle, kPiece, std::string(kPiece, byte_of(0, 1))));
    mount_->faults->set_plan({.error = 1, .error_code = ENOSPC});
    for (size_t i = 2; i < 7; ++i)  // less than half of `dirty`: nobody waits for room
        ASSERT_OK(mount_->write(handle, i * kPiece, std::string(kPiece, byte_of(0, i))));
    EXPECT_ERRNO(mount_->vfs->fsync(handle, false), ENOSPC);
    EXPECT_ERRNO(mount_->vfs->fsync(handle, false), ENOSPC);
    mount_->faults->set_plan({});
    EXPECT_OK(mount_->vfs->fsync(handle, false));
    EXPECT_OK(mount_->close(handle));
    Mount other(cluster_);
    expect_stream(other, 0, 7);
}

}  // namespace
}  // namespace meshfs::test
