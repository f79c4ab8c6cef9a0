// Bytes that must be there and are not: an error for that file alone, unless another mount's newer map has no use for them.
#include "fs/base/wire.h"
#include "fs/data/layout.h"
#include "test/fixtures.h"

namespace meshfs::test {
namespace {

class LostBytesTest : public testing::Test {
protected:
    LostBytesTest() : cluster_(std::make_shared<MemoryCluster>()), raw_(cluster_) {
        must(format_volume(raw_, Clock::system(), {.lease_seconds = 1}));
        a_ = std::make_unique<Mount>(cluster_);
        b_ = std::make_unique<Mount>(cluster_);
        must(a_->write_file("/f", std::string(2 * kObject, 'a')));
        must(a_->write_file("/other", std::string(kObject, 'o')));
    }
    ~LostBytesTest() override {
        a_.reset();
        b_.reset();
        raw_.stop();
    }
    void lose(const std::string& path, uint64_t object) {
        FileMap map = must(b_->stat(path)).inode.map;
        must(raw_.apply(std::move(Mutation(blob_object(map.layout, map.extents.at(0).blob, object)).remove())));
    }

    std::shared_ptr<MemoryCluster> cluster_;
    MemoryStore raw_;
    std::unique_ptr<Mount> a_, b_;
};

TEST_F(LostBytesTest, AreEioAndTheRestCanBeRead) {
    lose("/f", 1);
    auto file = must(b_->open("/f", O_RDONLY)).handle;
    EXPECT_EQ(must(b_->read(file, 0, 3)), "aaa");
    EXPECT_ERRNO(b_->read(file, kObject, 3), EIO);
    EXPECT_ERRNO(b_->read(file, 0, 2 * kObject), EIO);
    auto copy = must(b_->create("/copy")).handle;
    EXPECT_ERRNO(b_->vfs->copy_range(file, kObject, copy, 0, 100, false), EIO);
    EXPECT_OK(b_->close(copy));
    EXPECT_OK(b_->close(file));
    EXPECT_EQ(must(b_->read_file("/other")), std::string(kObject, 'o'));
}

// A reader that was never told, and whose objects are purged meanwhile.
TEST_F(LostBytesTest, AreNoneWhereAnotherMountHasWrittenOthers) {
    auto file = must(b_->open("/f", O_RDONLY)).handle;
    const FileMap old = must(b_->stat("/f")).inode.map;
    auto writer = must(a_->open("/f", O_RDWR | O_TRUNC)).handle;
    ASSERT_OK(a_->write(writer, 0, std::string(2 * kObject, 'b')));
    ASSERT_OK(a_->close(writer));
    for (uint64_t i : {0, 1})
        (void)raw_.apply(std::move(Mutation(blob_object(old.layout, old.extents.at(0).blob, i)).remove()));
    EXPECT_EQ(must(b_->read(file, kObject, 3)), "bbb");
    EXPECT_OK(b_->close(file));
}

}  // namespace
}  // namespace meshfs::test
