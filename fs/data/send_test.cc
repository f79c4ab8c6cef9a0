// Pieces on their way to the store one by one: held up, failing, overwritten, cut, beside a flush.
#include <gtest/gtest.h>

#include <thread>

#include "fs/data/data.h"
#include "fs/data/holding_store.h"
#include "fs/data/layout.h"

namespace meshfs {
namespace {

constexpr uint64_t kObject = 64 << 10;

// `file_` has objects of 64 KiB in blobs 1, 2, ...; what is written here is whole objects unless it says otherwise.
class Sending : public testing::Test {
protected:
    Sending() { published_.layout.object_bytes = kObject; }
    DataHooks hooks() {
        DataHooks h;
        h.next_blob = [this](Ino) { return BlobId{++blobs_}; };
        h.record_reach = [](BlobId, Ino, uint64_t, uint64_t last) { return Result<uint64_t>(last); };
        h.send_wanted = [this](Ino) { ++send_asked_; };
        h.flush_wanted = [this](Ino) { ++flush_asked_; };
        return h;
    }
    void open() { file_ = data_.open(Ino{77}, published_); }
    static std::string object(uint64_t index, uint64_t blob = 1) {
        return blob_object({}, BlobId{blob}, index).name;
    }
    static std::string filled(char with, uint64_t objects = 1) { return std::string(objects * kObject, with); }
    void write(uint64_t offset, const std::string& bytes) {
        file_->write(offset, Buffer::copy_of(bytes), [](const Status&) {});
    }
    int send_all() {
        int sent = 0;
        while (file_->send()) ++sent;
        return sent;
    }
    std::string read(uint64_t offset, uint64_t length) {
        Mutex mutex;
        CondVar told;
        std::optional<Result<Buffers>> got;
        file_->read({offset, length}, true, [&](Result<Buffers> bytes) {
            MutexLock lock(mutex);
            got.emplace(std::move(bytes));
            told.notify_all();
        });
        MutexLock lock(mutex);
        while (!got) told.wait(mutex);
        EXPECT_TRUE(got->ok());
        return got->ok() ? join(**got) : std::string();
    }
    // Returns when nothing is on its way any more: a hole beyond the end is none, but waits for that.
    void settle() { ASSERT_TRUE(file_->punch({uint64_t{1} << 62, 1}).ok()); }
    void take(const Publication& what) {
        published_ = what.map;
        for (const Extent& e : what.freed) freed_.push_back(e);
        EXPECT_TRUE(published_.extents.empty() || published_.extents.back().end() <= published_.size);
        file_->published(what);
    }
    void publish() {
        auto flushed = file_->flush();
        ASSERT_TRUE(flushed.ok()) << flushed.error().text();
        take(*flushed);
        ASSERT_FALSE(file_->is_dirty());
    }

    HoldingStore store_{std::make_shared<MemoryCluster>()};
    uint64_t blobs_ = 0;
    int send_asked_ = 0, flush_asked_ = 0;
    FileMap published_;
    std::vector<Extent> freed_;
    Data data_{store_, Clock::system(), {}, hooks()};
    std::unique_ptr<FileData> file_;
};

TEST_F(Sending, AnObjectLeavesWhenItIsDirtyThroughoutAndNoFlushIsNeeded) {
    open();
    write(0, filled('a').substr(1));
    EXPECT_EQ(send_asked_, 0);
    EXPECT_FALSE(file_->send());
    write(kObject - 1, filled('b', 2));
    EXPECT_EQ(send_asked_, 1);
    write(10, "over");
    EXPECT_EQ(send_asked_, 1) << "asked already";
    EXPECT_EQ(send_all(), 2);
    EXPECT_EQ(flush_asked_, 0);
    EXPECT_TRUE(file_->is_dirty());
    publish();
    ASSERT_EQ(published_.extents.size(), 1u);
    open();
    EXPECT_EQ(read(9, 6), "aovera");
    EXPECT_EQ(read(3 * kObject - 3, 5), "bb");
}

TEST_F(Sending, SeveralAreUnderWayAtOnceAndReadFromMemory) {
    open();
    for (uint64_t i : {0, 1, 2, 3}) store_.hold(object(i));
    write(0, filled('a', 4));
    EXPECT_EQ(send_all(), 4);
    for (uint64_t i : {0, 1, 2, 3}) EXPECT_EQ(store_.waiting(object(i)), 1u);
    EXPECT_EQ(read(2 * kObject - 1, 2), "aa");
    EXPECT_EQ(data_.usage().in_flight, 4 * kObject);
    EXPECT_EQ(data_.usage().dirty_bytes, 4 * kObject);
    for (uint64_t i : {3, 1, 0, 2}) store_.let_go(object(i));
    publish();
    EXPECT_EQ(published_.extents.size(), 1u);
    EXPECT_EQ(data_.usage().in_flight, 0u);
    EXPECT_EQ(data_.usage().dirty_bytes, 0u);
}

TEST_F(Sending, AFlushWaitsForWhatWasAcceptedBeforeItAndNothingElse) {
    open();
    for (uint64_t i : {0, 3}) store_.hold(object(i));
    write(0, filled('a'));
    EXPECT_EQ(send_all(), 1);
    write(kObject, "tail");
    Result<Publication> flushed = fail(EIO);
    store_.hold(object(1));
    std::thread flusher([&] { flushed = file_->flush(); });
    store_.wait_for(object(1));  // so the flush has begun
    write(2 * kObject, filled('c', 3));
    EXPECT_EQ(send_all(), 3);    // of which one is held, and those around it get there
    store_.let_go(object(1));
    store_.let_go(object(0));
    flusher.join();
    ASSERT_TRUE(flushed.ok());
    EXPECT_EQ(flushed->map.size, kObject + 4);
    take(*flushed);
    EXPECT_TRUE(file_->is_dirty());
    EXPECT_EQ(store_.waiting(object(3)), 1u);
    store_.let_go(object(3));
    publish();
    EXPECT_EQ(published_.size, 5 * kObject);
    open();
    EXPECT_EQ(read(kObject, 5), std::string("tail\0", 5));
    EXPECT_EQ(read(4 * kObject - 1, 2), "cc");
}

TEST_F(Sending, WhatIsStillOnItsWayIsNotMappedWithItsNeighbours) {
    open();
    write(0, "x");
    publish();
    write(0, filled('a'));
    store_.hold(object(2));
    Result<Publication> flushed = fail(EIO);
    store_.hold(object(0));
    std::thread flusher([&] { flushed = file_->flush(); });
    store_.wait_for(object(0));
    write(kObject, filled('b', 3));
    EXPECT_EQ(send_all(), 3);
    write(100 * kObject, "far");  // accepted, and the size with it
    store_.let_go(object(0));
    flusher.join();
    ASSERT_TRUE(flushed.ok());
    take(*flushed);
    EXPECT_EQ(published_.size, kObject);
    // Another flush would wait for it; a mount that dies now leaves no byte that a reader could find.
    EXPECT_EQ(published_.extents.back().end(), kObject);
    store_.let_go(object(2));
    publish();
    EXPECT_EQ(published_.extents.size(), 1u);
}

TEST_F(Sending, OneOfSeveralFailsAndIsSentAgainByTheNextFlush) {
    open();
    write(0, filled('a', 4));
    store_.hold(object(1));
    EXPECT_EQ(send_all(), 4);
    store_.let_go(object(1), ENOSPC);  // nothing more would be sent after it
    settle();
    EXPECT_EQ(data_.usage().dirty_bytes, kObject);
    EXPECT_TRUE(read(0, 4 * kObject) == filled('a', 4));
    publish();
    open();
    EXPECT_TRUE(read(0, 4 * kObject) == filled('a', 4));
}

TEST_F(Sending, WhileTheStoreIsFullNobodyWaitsAndNoMoreIsAccepted) {
    open();
    data_.set_dirty_bytes_max(2 * kObject);
    std::vector<int> answers;
    auto write_one = [&](uint64_t index) {
        file_->write(index * kObject, Buffer::copy_of(filled('a')), [&](const Status& done) { answers.push_back(done.code()); });
    };
    write_one(0);
    write_one(1);
    EXPECT_EQ(answers, (std::vector<int>{0}));
    for (uint64_t i : {0, 1}) store_.hold(object(i));
    EXPECT_EQ(send_all(), 2);
    for (uint64_t i : {0, 1}) store_.let_go(object(i), ENOSPC);
    settle();
    EXPECT_EQ(answers, (std::vector<int>{0, 0}));  // it is kept
    write_one(2);
    EXPECT_EQ(answers, (std::vector<int>{0, 0, ENOSPC}));
    EXPECT_EQ(data_.usage().dirty_bytes, 2 * kObject);
    publish();  // there is room again
    write_one(2);
    EXPECT_EQ(answers, (std::vector<int>{0, 0, ENOSPC, 0}));
    publish();
    EXPECT_TRUE(read(0, 3 * kObject) == filled('a', 3));
}

TEST_F(Sending, AFailureIsToldByTheFlushThatWaitsForItAndNothingIsSentBeforeTheNext) {
    open();
    store_.hold(object(0));
    write(0, filled('a', 2));
    EXPECT_EQ(send_all(), 2);
    store_.fail_next(object(2), EIO);
    write(2 * kObject, "tail");
    Result<Publication> flushed = Publication();
    std::thread flusher([&] { flushed = file_->flush(); });
    store_.wait_for(object(0));
    store_.let_go(object(0));
    flusher.join();
    EXPECT_EQ(flushed.code(), EIO);
    write(3 * kObject, filled('b'));
    EXPECT_EQ(send_all(), 0);
    EXPECT_TRUE(file_->is_dirty());
    publish();
    open();
    EXPECT_TRUE(read(0, 5 * kObject).substr(0, 2 * kObject + 4) == filled('a', 2) + "tail");
    EXPECT_TRUE(read(3 * kObject, kObject) == filled('b'));
}

TEST_F(Sending, RunsThatWentTogetherFailTogether) {
    open();
    for (uint64_t i = 0; i < 5; ++i) write(i * 10'000, filled(static_cast<char>('a' + i)).substr(0, 6'000));
    store_.fail_next(object(0), EIO);
    EXPECT_EQ(file_->flush().code(), EIO);
    EXPECT_EQ(data_.usage().dirty_bytes, 30'000u);
    EXPECT_EQ(read(29'999, 2), std::string("\0d", 2));
    publish();
    EXPECT_EQ(data_.usage().dirty_bytes, 0u);
    open();
    EXPECT_EQ(read(15'998, 3), std::string("bb\0", 3));
    EXPECT_EQ(read(39'999, 2), std::string("\0e", 2));
}

TEST_F(Sending, WhatIsWrittenOverAnObjectOnItsWayFollowsIt) {
    open();
    store_.hold(object(0));
    write(0, filled('a'));
    EXPECT_EQ(send_all(), 1);
    write(0, filled('b'));
    write(kObject, filled('c'));
    EXPECT_EQ(send_all(), 1) << "the first is in the way of its successor";
    EXPECT_EQ(read(0, 2), "bb");
    EXPECT_EQ(store_.waiting(object(0)), 1u);
    std::thread later([&] { store_.let_go(object(0)); });
    publish();  // waits for the first, then stores the second
    later.join();
    open();
    EXPECT_TRUE(read(0, kObject) == filled('b'));
    EXPECT_EQ(published_.extents.size(), 1u);
}

TEST_F(Sending, AFailedOneDoesNotReplaceWhatWasWrittenSince) {
    open();
    store_.hold(object(0));
    write(0, filled('a', 2));
    EXPECT_EQ(send_all(), 2);
    write(10, "newer");
    store_.let_go(object(0), ETIMEDOUT);
    settle();
    publish();
    open();
    EXPECT_EQ(read(9, 7), "anewera");
}

TEST_F(Sending, ACutWaitsForWhatIsOnItsWayAndFreesIt) {
    open();
    store_.hold(object(1));
    write(0, filled('a', 3));
    EXPECT_EQ(send_all(), 3);
    std::thread later([&] { store_.let_go(object(1)); });
    ASSERT_TRUE(file_->truncate(kObject + 10).ok());
    later.join();
    publish();
    ASSERT_EQ(freed_.size(), 1u);
    EXPECT_EQ(freed_[0].end(), 3 * kObject);
    write(kObject + 20, filled('b', 3));
    send_all();
    publish();
    FileMap gone = published_;
    gone.extents = freed_;
    ASSERT_TRUE(data_.remove(Ino{77}, gone).ok());
    open();
    EXPECT_EQ(read(kObject + 8, 14), std::string("aa\0\0\0\0\0\0\0\0\0\0bb", 14));
}

TEST_F(Sending, AHolePunchedIntoWhatIsOnItsWayStays) {
    open();
    store_.hold(object(1));
    write(0, filled('a', 3));
    EXPECT_EQ(send_all(), 3);
    std::thread later([&] { store_.let_go(object(1)); });
    ASSERT_TRUE(file_->punch({kObject + 1, kObject}).ok());
    later.join();
    publish();
    open();
    EXPECT_EQ(read(kObject, 3), std::string("a\0\0", 3));
    EXPECT_EQ(read(2 * kObject, 2), std::string("\0a", 2));
}

TEST_F(Sending, AppendsToAnOlderBlobGoOnThereThoughEarlierOnesAreOnTheirWay) {
    open();
    write(0, filled('a'));
    publish();
    open();
    for (uint64_t i : {1, 2, 3}) store_.hold(object(i));
    write(kObject, filled('b', 3));
    EXPECT_EQ(send_all(), 3);
    for (uint64_t i : {2, 3, 1}) store_.let_go(object(i));
    publish();
    EXPECT_EQ(published_.extents.size(), 1u);
    EXPECT_EQ(blobs_, 1u);
}

TEST_F(Sending, WholeObjectsOfAFileThatWasInlineTakeItsBytesAlong) {
    open();
    write(0, "inline");
    publish();
    EXPECT_EQ(published_.inline_bytes, "inline");
    write(kObject, filled('b', 2));
    EXPECT_EQ(send_all(), 2);
    EXPECT_EQ(read(0, 7), std::string("inline\0", 7));
    publish();
    EXPECT_TRUE(published_.inline_bytes.empty());
    open();
    EXPECT_EQ(read(0, 7), std::string("inline\0", 7));
    EXPECT_EQ(read(kObject - 1, 2), std::string("\0b", 2));
}

TEST_F(Sending, BytesStoredWhereAnotherMountHasCutAreReadBackAndStoredElsewhere) {
    open();
    write(0, filled('a'));
    publish();
    auto other = std::exchange(file_, nullptr);
    open();
    ASSERT_TRUE(file_->truncate(10).ok());
    publish();  // the blob is closed
    file_ = std::move(other);
    write(kObject, filled('b'));
    EXPECT_EQ(send_all(), 1);
    ASSERT_TRUE(file_->flush().ok());
    ASSERT_TRUE(file_->rebase(published_).ok());
    EXPECT_EQ(read(8, 4), std::string("aa\0\0", 4));
    EXPECT_EQ(read(kObject - 1, 2), std::string("\0b", 2));
    publish();
    FileMap gone = published_;
    gone.extents = freed_;
    ASSERT_TRUE(data_.remove(Ino{77}, gone).ok());
    open();
    EXPECT_TRUE(read(kObject, kObject) == filled('b'));
    EXPECT_EQ(read(8, 4), std::string("aa\0\0", 4));
}

TEST_F(Sending, WritersAreAnsweredAsObjectsAreStored) {
    DataSettings settings;
    settings.dirty_bytes_max = 8 * kObject;
    Data data(store_, Clock::system(), settings, hooks());
    file_ = data.open(Ino{77}, published_);
    for (uint64_t i = 0; i < 8; ++i) store_.hold(object(i));
    Counted answered;
    for (uint64_t i = 0; i < 8; ++i)
        file_->write(i * kObject, Buffer::copy_of(filled('a')), [&](const Status&) { answered.count(); });
    EXPECT_EQ(answered.now(), 4);
    EXPECT_EQ(flush_asked_, 0) << "all that is dirty leaves by itself";
    EXPECT_EQ(send_all(), 8);
    EXPECT_EQ(answered.now(), 4);
    for (int i = 0; i < 4; ++i) {
        store_.let_go(object(static_cast<uint64_t>(i)));
        answered.wait_for(5 + i);
    }
    for (uint64_t i = 4; i < 8; ++i) store_.let_go(object(i));
    ASSERT_TRUE(file_->flush().ok());
    file_.reset();
}

}  // namespace
}  // namespace meshfs
