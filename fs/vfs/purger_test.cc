// What is deleted and cannot be removed: it keeps nothing else, and goes later.
#include "fs/vfs/purger.h"

#include <thread>

#include "fs/meta/format.h"
#include "fs/vfs/data_hooks.h"
#include "test/small_files.h"

namespace meshfs::test {
namespace {

// One object of it cannot be removed, or written to.
class StuckStore final : public ForwardingStore {
public:
    using ForwardingStore::ForwardingStore;
    using ForwardingStore::start;
    void start(Mutation mutation, Then<void> then) override {
        if (mutation.object().name != stuck) return inner_.start(std::move(mutation), std::move(then));
        inner_.start(Query(mutation.object()).stat(), [then = std::move(then)](const Result<Answer>&) { then(fail(EIO)); });
    }
    bool is_exclusive() const override { return true; }
    std::string stuck;  // set while no call is under way
};

class PurgerTest : public SmallFiles {
protected:
    PurgerTest() : SmallFiles(1) {
        mount_ = mount([this](std::unique_ptr<Store> inner) {
            auto store = std::make_unique<StuckStore>(std::move(inner));
            store_ = store.get();
            return store;
        });
        data_ = std::make_unique<Data>(*mount_->store, Clock::system(), DataSettings{}, data_hooks(*mount_->meta));
    }
    ~PurgerTest() override { data_->stop(); }
    Result<uint64_t> purge() { return Purger::purge_all(*mount_->meta, *data_); }
    // By now, or soon.
    void purge_all(uint64_t count) {
        for (int tries = 0; count > 0; ++tries) {
            ASSERT_LT(tries, 1000);
            count -= must(purge());
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
    }
    StuckStore* store_ = nullptr;
    std::unique_ptr<Mount> mount_;
    std::unique_ptr<Data> data_;
};

TEST_F(PurgerTest, WhatCannotBeRemovedKeepsNothingElseAndGoesLater) {
    write(*mount_, 200, kPackedMax + 1);
    ASSERT_OK(mount_->vfs->syncfs());
    const std::string stuck = *objects("b.").begin();
    for (uint64_t i = 0; i < 200; ++i) ASSERT_OK(mount_->unlink(name(i)));
    store_->stuck = stuck;
    EXPECT_ERRNO(purge(), EIO);
    EXPECT_EQ(objects("b."), std::set<std::string>{stuck});
    store_->stuck.clear();
    purge_all(1);
    EXPECT_TRUE(objects("b.").empty());
}

TEST_F(PurgerTest, AHintThatCannotBeWrittenKeepsOnlyWhatWasPacked) {
    write(*mount_, 5);
    ASSERT_OK(mount_->write_file("/d/large", bytes_of(9, kPackedMax + 1)));
    ASSERT_OK(mount_->vfs->syncfs());
    const BlobId pack = must(mount_->stat(name(0))).inode.map.extents.at(0).blob;
    ASSERT_OK(mount_->unlink("/d/large"));
    for (uint64_t i = 0; i < 5; ++i) ASSERT_OK(mount_->unlink(name(i)));
    store_->stuck = dead_members_object(pack).name;
    EXPECT_ERRNO(purge(), EIO);
    EXPECT_TRUE(objects("b.").empty());
    store_->stuck.clear();
    purge_all(5);
    EXPECT_EQ(must(mount_->meta->dead_bytes(pack)), 5 * 16'000u);
}

// Such are found again and again, until they are gone.
TEST_F(PurgerTest, ExtentsFreedFromAFileThatHadSeveralNamesDoNotKeepItBusy) {
    write(*mount_, 1, kPackedMax + 1);
    ASSERT_OK(mount_->vfs->syncfs());
    const std::string stuck = *objects("b.").begin();
    const Ino ino = mount_->ino(name(0));
    must(mount_->vfs->link(mount_->root, ino, mount_->ino("/d"), "other"));
    SetAttributes cut;
    cut.size = 0;
    ASSERT_OK(mount_->vfs->setattr(mount_->root, ino, cut));
    ASSERT_OK(mount_->vfs->syncfs());
    ASSERT_OK(mount_->unlink(name(0)));
    ASSERT_OK(mount_->unlink("/d/other"));
    store_->stuck = stuck;
    EXPECT_ERRNO(purge(), EIO);
    EXPECT_ERRNO(purge(), EIO);
    EXPECT_EQ(objects("b."), std::set<std::string>{stuck});
    store_->stuck.clear();
    purge_all(2);
    EXPECT_TRUE(objects("b.").empty());
}

}  // namespace
}  // namespace meshfs::test
