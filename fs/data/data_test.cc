// Bytes of files against a plain string, through flushes, failures, deaths and reopening.
#include "fs/data/data.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "fs/data/holding_store.h"
#include "fs/data/layout.h"
#include "fs/store/fault_store.h"
#include "fs/store/memory_store.h"
#include "fs/store/metered_store.h"

namespace meshfs {
namespace {

template <class T>
Result<T> wait_for(const std::function<void(Then<T>)>& start) {
    Mutex mutex;
    CondVar told;
    std::optional<Result<T>> result;
    start([&](Result<T> r) {
        MutexLock lock(mutex);
        result.emplace(std::move(r));
        told.notify_all();
    });
    MutexLock lock(mutex);
    while (!result) told.wait(mutex);
    return std::move(*result);
}

class FileBytes : public testing::Test {
protected:
    FileBytes() { published_.layout.object_bytes = 64 << 10; }
    DataHooks hooks() {
        DataHooks h;
        h.next_blob = [this](Ino) { return BlobId{++blobs_}; };
        h.record_reach = [this](BlobId blob, Ino, uint64_t, uint64_t last) {
            reach_[blob] = last + kAhead;
            ++recorded_;
            return Result<uint64_t>(reach_[blob]);
        };
        h.forget_reach = [this](BlobId blob) { forgotten_.push_back(blob); };
        return h;
    }
    void open() { file_ = data_.open(Ino{77}, published_); }
    void write(uint64_t offset, const std::string& bytes) {
        auto done = wait_for<void>([&](Then<void> t) {
            file_->write(offset, Buffer::copy_of(bytes), std::move(t));
        });
        ASSERT_TRUE(done.ok());
    }
    std::string read(uint64_t offset, uint64_t length) {
        auto got = wait_for<Buffers>([&](Then<Buffers> t) { file_->read({offset, length}, true, std::move(t)); });
        EXPECT_TRUE(got.ok()) << got.error().text();
        return got ? join(*got) : std::string();
    }
    void publish() {
        auto flushed = file_->flush();
        ASSERT_TRUE(flushed.ok()) << flushed.error().text();
        published_ = flushed->map;
        for (const Extent& e : flushed->freed) freed_.push_back(e);
        file_->published(*flushed);
        ASSERT_FALSE(file_->is_dirty());
    }

    MemoryStore store_{std::make_shared<MemoryCluster>()};  // other mounts may be there
    uint64_t blobs_ = 0;
    static constexpr uint64_t kAhead = 5;  // objects
    std::map<BlobId, uint64_t> reach_;
    int recorded_ = 0;
    std::vector<BlobId> forgotten_;
    FileMap published_;
    std::vector<Extent> freed_;
    Data data_{store_, Clock::system(), {}, hooks()};
    std::unique_ptr<FileData> file_;
};

// On record before it is stored is each object that no map had before, and only those.
TEST_F(FileBytes, AreOnRecordUntilTheyArePublished) {
    constexpr uint64_t kObject = 64 << 10;
    open();
    write(0, std::string(kObject, 'a'));
    publish();
    EXPECT_EQ(recorded_, 1);
    BlobId blob = published_.extents.at(0).blob;
    EXPECT_EQ(reach_.at(blob), 0 + kAhead);
    write(kObject, std::string(5 * kObject, 'a'));  // as far as is on record
    publish();
    write(100, "in place");
    publish();
    EXPECT_EQ(recorded_, 1);
    write(6 * kObject, "beyond");
    publish();
    EXPECT_EQ(recorded_, 2);
    EXPECT_EQ(reach_.at(blob), 6 + kAhead);
    file_->closed();
    EXPECT_EQ(forgotten_, std::vector{blob});
    // Opened anew: the rest of an object that is mapped needs none.
    open();
    write(6 * kObject + 6, "on");
    publish();
    EXPECT_EQ(recorded_, 2);
    write(6 * kObject + 8, std::string(kObject, 'b'));
    publish();
    EXPECT_EQ(recorded_, 3);
    file_->closed();
    EXPECT_EQ(forgotten_, (std::vector{blob, blob}));
}

TEST_F(FileBytes, ThatWereNeverPublishedStayOnRecord) {
    open();
    write(0, std::string(10'000, 'a'));
    ASSERT_TRUE(file_->flush().ok());
    file_->closed();
    EXPECT_EQ(forgotten_, std::vector<BlobId>());
}

// What that one left beyond the end can then be removed without asking whoever writes.
TEST_F(FileBytes, OfAnotherSessionAreNotGoneOnWithAlone) {
    BlobId others{uint64_t{9} << 32 | 1};
    published_.extents = {{.offset = 0, .length = 10'000, .blob_offset = 0, .blob = others}};
    published_.size = 10'000;
    open();
    write(5'000, "in place");
    write(10'000, "at the end");
    publish();
    ASSERT_EQ(published_.extents.size(), 2u);
    EXPECT_NE(published_.extents[1].blob, others);
    open();
    file_->set_alone(false);
    published_.extents.pop_back();
    ASSERT_TRUE(file_->rebase(published_).ok());
    write(10'000, "at the end");
    publish();
    EXPECT_EQ(published_.extents.size(), 1u);
}

TEST_F(FileBytes, AreThereWhenTheWriteIsAnswered) {
    open();
    uint64_t seen = 0;
    file_->write(0, Buffer::copy_of("abc"), [&](const Status&) { seen = file_->size(); });
    EXPECT_EQ(seen, 3u);
    file_->append(Buffer::copy_of("d"), [&](const Result<uint64_t>&) { seen = file_->size(); });
    EXPECT_EQ(seen, 4u);
}

TEST_F(FileBytes, SmallOnesAreInline) {
    open();
    write(0, "hello");
    publish();
    EXPECT_EQ(published_.inline_bytes, "hello");
    EXPECT_EQ(published_.size, 5u);
    write(4000, std::string(200, 'x'));
    publish();
    EXPECT_TRUE(published_.inline_bytes.empty());
    ASSERT_EQ(published_.extents.size(), 1u);
    EXPECT_EQ(read(0, 6), std::string("hello\0", 6));
}

TEST_F(FileBytes, ASparseFileIsOneExtent) {
    open();
    write(1ull << 62, "end");
    write(10, "front");
    publish();
    EXPECT_EQ(published_.extents.size(), 1u);
    EXPECT_EQ(read((1ull << 62) - 2, 5), std::string("\0\0end", 5));
    EXPECT_EQ(*file_->seek(0, false), 10u);
    EXPECT_TRUE(data_.remove(Ino{77}, published_).ok());
    EXPECT_EQ(store_.capacity(1)->objects, 0u);
}

TEST_F(FileBytes, WhatIsCutNeverComesBack) {
    open();
    write(0, std::string(200'000, 'a'));
    publish();
    ASSERT_TRUE(file_->truncate(100).ok());
    ASSERT_TRUE(file_->truncate(300'000).ok());
    EXPECT_EQ(read(100, 5), std::string(5, '\0'));
    publish();
    write(200'000, "b");
    publish();
    open();
    EXPECT_EQ(read(99, 3), std::string("a\0\0", 3));
    // The purge of what was freed, however late, takes nothing that is mapped.
    FileMap gone;
    gone.layout = published_.layout;
    gone.extents = freed_;
    ASSERT_TRUE(data_.remove(Ino{77}, gone).ok());
    EXPECT_EQ(read(99, 3), std::string("a\0\0", 3));
    EXPECT_EQ(read(199'999, 2), std::string("\0b", 2));
}

TEST_F(FileBytes, BytesOfAWriterThatDiedDoNotComeBack) {
    open();
    write(0, std::string(100'000, 'a'));
    publish();
    write(100'000, std::string(100'000, 'z'));
    ASSERT_TRUE(file_->flush().ok());  // stored, never published
    open();                            // another mount, after the death
    write(150'000, "n");
    publish();
    EXPECT_EQ(read(100'000, 3), std::string(3, '\0'));
    write(100'000, "mm");
    publish();
    open();
    EXPECT_EQ(read(99'999, 4), std::string("amm\0", 4));
}

TEST_F(FileBytes, WhatTwoMountsWroteAtOnceIsAllThere) {
    open();
    write(0, std::string(100'000, 'a'));
    publish();
    auto other = std::exchange(file_, nullptr);
    open();
    write(200'000, "mine");
    publish();  // the other mount wrote meanwhile, and finds this map in the inode
    auto mine = std::exchange(file_, std::move(other));
    write(300'000, "theirs");
    ASSERT_TRUE(file_->flush().ok());
    ASSERT_TRUE(file_->rebase(published_).ok());
    EXPECT_EQ(read(200'000, 4), "mine");
    publish();
    open();
    EXPECT_EQ(read(0, 2), "aa");
    EXPECT_EQ(read(200'000, 4), "mine");
    EXPECT_EQ(read(300'000, 6), "theirs");
}

TEST_F(FileBytes, OfAnotherMountAreNotCutByAnOlderMap) {
    open();
    write(0, std::string(100'000, 'a'));
    publish();
    auto other = std::exchange(file_, nullptr);
    open();
    write(100'000, std::string(50'000, 'b'));
    publish();  // fsynced
    auto mine = std::exchange(file_, std::move(other));
    write(100'000, std::string(10, 'c'));  // by the map of before
    ASSERT_TRUE(file_->flush().ok());
    file_.reset();  // and that mount dies
    open();
    EXPECT_EQ(read(100'008, 4), "ccbb");
    EXPECT_EQ(read(149'998, 10), "bb");
}

TEST_F(FileBytes, OfTwoMountsThatFillOneFileAreOneExtentAndStoredOnce) {
    MeteredStore store(std::make_unique<MemoryStore>(std::make_shared<MemoryCluster>()));
    Data data(store, Clock::system(), {}, hooks());
    published_.size = 1;
    published_.extents = {{.offset = 0, .length = 1, .blob_offset = 0, .blob = hooks().next_blob({})}};
    std::unique_ptr<FileData> mounts[2];
    for (auto& mount : mounts) {
        mount = data.open(Ino{77}, published_);
        mount->set_alone(false);
    }
    auto publish_of = [&](size_t i, FileMap& based_on) {
        for (auto flushed = mounts[i]->flush();; flushed = mounts[i]->flush()) {
            if (published_ == based_on) {
                based_on = published_ = flushed->map;
                return mounts[i]->published(*flushed);
            }
            ASSERT_TRUE(mounts[i]->rebase(based_on = published_).ok());
        }
    };
    FileMap known[2] = {published_, published_};
    constexpr uint64_t kPiece = 10'000;
    for (uint64_t i = 0; i < 40; ++i) {
        mounts[i % 2]->write(((i * 7) % 40) * kPiece, Buffer::copy_of(std::string(kPiece, static_cast<char>('A' + i))),
                             [](Status) {});
        if (i % 4 > 1) continue;
        publish_of(i % 2, known[i % 2]);
    }
    publish_of(0, known[0]);
    publish_of(1, known[1]);
    ASSERT_EQ(published_.extents.size(), 1u);
    uint64_t stored = 0;
    for (const StoreCount& count : store.counts().counts) {
        bool is_write = count.kind == StoreCount::Kind::write || count.kind == StoreCount::Kind::mutation;
        stored += is_write ? count.bytes : 0;
    }
    EXPECT_EQ(stored, 40 * kPiece);
    auto reader = data.open(Ino{77}, published_);
    for (uint64_t i = 0; i < 40; ++i) {
        auto got = wait_for<Buffers>([&](Then<Buffers> t) { reader->read({((i * 7) % 40) * kPiece, 3}, true, std::move(t)); });
        EXPECT_EQ(join(*got), std::string(3, static_cast<char>('A' + i)));
    }
}

// Two mounts that scatter writes over a new file: their list would not fit into a record.
TEST_F(FileBytes, ListsOfExtentsAreBounded) {
    open();
    file_->set_alone(false);
    constexpr uint64_t kWrites = 3000, kApart = 1000;
    for (uint64_t i = 0; i < kWrites; ++i) write(i * kApart, "x");
    publish();
    EXPECT_LE(published_.extents.size(), 1024u);
    open();
    for (uint64_t i = 0; i < kWrites; i += 100) EXPECT_EQ(read(i * kApart, 2), std::string("x\0", i + 1 < kWrites ? 2 : 1));
}

TEST_F(FileBytes, AHoleIsMadeAgainInTheMapOfAnotherMount) {
    open();
    write(0, "0123456789");
    publish();
    auto other = std::exchange(file_, nullptr);
    open();
    write(8, "xyz");
    publish();
    file_ = std::move(other);
    ASSERT_TRUE(file_->punch({2, 4}).ok());
    write(4, "w");
    ASSERT_TRUE(file_->flush().ok());
    ASSERT_TRUE(file_->rebase(published_).ok());
    publish();
    open();
    EXPECT_EQ(read(0, 20), std::string("01\0\0w\0" "67xyz", 11));
}

TEST_F(FileBytes, SeekFindsHolesOfAbsentObjects) {
    open();
    write(0, "x");
    write(5 * 65536, std::string(65536, 'y'));
    publish();
    EXPECT_EQ(*file_->seek(0, true), 1u);
    EXPECT_EQ(*file_->seek(10, false), 5u * 65536);
    EXPECT_EQ(*file_->seek(5 * 65536, true), 6u * 65536);
    EXPECT_EQ(file_->seek(6 * 65536, false).code(), ENXIO);
}

// Zeros come from holes alone: where all was written a missing object is lost, and what was punched out of it is not.
TEST_F(FileBytes, OfAMissingObjectAreNoZeros) {
    constexpr uint64_t kObject = 65536;
    open();
    write(0, std::string(4 * kObject, 'a'));
    publish();
    ASSERT_TRUE(file_->punch({kObject, kObject}).ok());
    EXPECT_EQ(read(kObject, kObject), std::string(kObject, '\0'));
    write(3 * kObject, "in place");
    publish();
    open();
    EXPECT_EQ(read(kObject, kObject), std::string(kObject, '\0'));
    EXPECT_EQ(read(3 * kObject, 8), "in place");
    EXPECT_EQ(file_->seek(0, true).value(), kObject);
    const BlobId blob = published_.extents.at(0).blob;
    ASSERT_TRUE(store_.apply(std::move(Mutation(blob_object(published_.layout, blob, 2)).remove())).ok());
    for (uint64_t length : {uint64_t{10}, kObject}) {
        auto got = wait_for<Buffers>([&](Then<Buffers> t) { file_->read({2 * kObject, length}, true, std::move(t)); });
        EXPECT_EQ(got.code(), ESTALE);
    }
    EXPECT_EQ(read(0, 10), "aaaaaaaaaa");
}

// Of a sparse file absent objects are holes; a gap within objects that are there changes nothing.
TEST_F(FileBytes, OfAHoleBetweenExtentsAreZeros) {
    constexpr uint64_t kObject = 65536;
    open();
    write(10, "x");
    write(kObject + 10, "y");
    publish();
    ASSERT_EQ(published_.extents.size(), 1u);
    EXPECT_NE(published_.extents[0].flags & Extent::whole, 0);
    write(5 * kObject, "z");
    publish();
    ASSERT_EQ(published_.extents.size(), 1u);
    EXPECT_EQ(published_.extents[0].flags & Extent::whole, 0);
    EXPECT_EQ(read(3 * kObject, 10), std::string(10, '\0'));
}

TEST_F(FileBytes, DamagedMapsAreEio) {
    published_.size = 100;
    published_.extents = {{.offset = 0, .length = 100, .blob_offset = 7, .blob = BlobId{1}}};
    open();
    auto got = wait_for<Buffers>([&](Then<Buffers> t) { file_->read({0, 10}, true, std::move(t)); });
    EXPECT_EQ(got.code(), EIO);
    write(0, "x");
    EXPECT_EQ(file_->flush().code(), EIO);
    EXPECT_EQ(data_.remove(Ino{77}, published_).code(), EIO);
}

TEST_F(FileBytes, ScatteredWritesAreOneOperationAnObject) {
    MeteredStore store(std::make_unique<MemoryStore>(std::make_shared<MemoryCluster>()));
    Data data(store, Clock::system(), {}, hooks());
    file_ = data.open(Ino{77}, published_);
    std::string model(3 * 65536, '\0');
    for (uint64_t at = 100; at + 10 < model.size(); at += 5000) {
        file_->write(at, Buffer::copy_of("0123456789"), [](const Status&) {});
        model.replace(at, 10, "0123456789");
    }
    publish();
    EXPECT_EQ(store.counts().calls(StoreCount::Kind::mutation), 3u);
    EXPECT_EQ(store.counts().calls(StoreCount::Kind::write), 0u);
    EXPECT_EQ(published_.extents.size(), 1u);
    file_ = data.open(Ino{77}, published_);
    EXPECT_TRUE(read(0, model.size()) == model.substr(0, published_.size));
    file_.reset();
}

// Random operations against a string; `seed` replays.
class RandomOperations : public testing::TestWithParam<unsigned> {};

TEST_P(RandomOperations, AgreeWithAPlainString) {
    std::mt19937 random(GetParam());
    auto below = [&](uint64_t n) { return std::uniform_int_distribution<uint64_t>(0, n - 1)(random); };
    MemoryStore store;
    uint64_t blobs = 0;
    DataHooks hooks;
    hooks.next_blob = [&](Ino) { return BlobId{++blobs}; };
    hooks.record_reach = [](BlobId, Ino, uint64_t, uint64_t last) { return Result<uint64_t>(last); };
    DataSettings settings;
    settings.dirty_bytes_max = 1 << 20;
    Data data(store, Clock::system(), settings, hooks);
    FileMap published;
    published.layout.object_bytes = 64 << 10;
    std::string model, model_published;
    std::vector<Extent> freed;
    int sent = 0;
    auto file = data.open(Ino{5}, published);
    for (int step = 0; step < 400; ++step) {
        uint64_t offset = below(4) == 0 ? below(5000) : below(600'000);
        uint64_t length = 1 + (below(3) == 0 ? below(200'000) : below(3000));
        switch (below(13)) {
            case 0: case 1: case 2: case 3: {
                std::string bytes(length, static_cast<char>('a' + below(26)));
                // Not waited for: nobody flushes while this thread would wait for room.
                file->write(offset, Buffer::copy_of(bytes), [](Status) {});
                if (model.size() < offset + length) model.resize(offset + length);
                model.replace(offset, length, bytes);
                break;
            }
            case 4: {
                std::string bytes(length, 'A');
                file->append(Buffer::copy_of(bytes), [](Result<uint64_t>) {});
                model += bytes;
                break;
            }
            case 5: {
                uint64_t size = below(2) == 0 ? below(model.size() + 1) : offset;
                ASSERT_TRUE(file->truncate(size).ok());
                model.resize(size);
                break;
            }
            case 6:
                ASSERT_TRUE(file->punch({offset, length}).ok());
                if (offset < model.size())
                    std::fill_n(model.begin() + static_cast<long>(offset),
                                std::min<uint64_t>(length, model.size() - offset), '\0');
                break;
            case 7: {
                bool keep = below(2) == 0;
                ASSERT_TRUE(file->zero({offset, length}, keep).ok());
                if (!keep && model.size() < offset + length) model.resize(offset + length);
                if (offset < model.size())
                    std::fill_n(model.begin() + static_cast<long>(offset),
                                std::min<uint64_t>(length, model.size() - offset), '\0');
                break;
            }
            case 8: case 9: {
                auto flushed = file->flush();
                ASSERT_TRUE(flushed.ok()) << flushed.error().text();
                published = flushed->map;
                freed.insert(freed.end(), flushed->freed.begin(), flushed->freed.end());
                file->published(*flushed);
                model_published = model;
                if (below(3) == 0) {
                    FileMap gone;
                    gone.layout = published.layout;
                    gone.extents = std::exchange(freed, {});
                    std::erase_if(gone.extents, [](const Extent& e) { return e.length == 0; });
                    for (const Extent& e : gone.extents) {
                        FileMap one = gone;
                        one.extents = {e};
                        ASSERT_TRUE(data.remove(Ino{5}, one).ok());
                    }
                }
                break;
            }
            case 10:
                // In-place changes of published bytes may survive a death, so only a published file is reopened.
                if (model == model_published && !file->is_dirty()) file = data.open(Ino{5}, published);
                break;
            case 11: sent += file->send(); break;
            default: break;
        }
        ASSERT_EQ(file->size(), model.size()) << "seed " << GetParam() << " step " << step;
        uint64_t at = below(model.size() + 10), count = below(100'000);
        auto got = wait_for<Buffers>([&](Then<Buffers> t) { file->read({at, count}, true, std::move(t)); });
        ASSERT_TRUE(got.ok());
        std::string expected = at < model.size() ? model.substr(at, count) : std::string();
        ASSERT_TRUE(join(*got) == expected) << "seed " << GetParam() << " step " << step << " at " << at;
    }
    EXPECT_GT(sent, 0);
}
INSTANTIATE_TEST_SUITE_P(Seeds, RandomOperations, testing::Range(1u, 41u));

// Errors and lost replies of the store: a flush tells, no byte is lost and none comes back.
class Faults : public testing::TestWithParam<unsigned> {};
TEST_P(Faults, BytesSurviveErrorsAndAreStoredAtLast) {
    FaultStore store(std::make_unique<MemoryStore>());
    std::mt19937 random(GetParam());
    auto below = [&](uint64_t n) { return std::uniform_int_distribution<uint64_t>(0, n - 1)(random); };
    uint64_t blobs = 0;
    DataHooks hooks;
    hooks.next_blob = [&](Ino) { return BlobId{++blobs}; };
    hooks.record_reach = [](BlobId, Ino, uint64_t, uint64_t last) { return Result<uint64_t>(last); };
    Data data(store, Clock::system(), {}, hooks);
    FileMap published;
    published.layout.object_bytes = 64 << 10;
    auto file = data.open(Ino{5}, published);
    std::string model;
    int failed = 0, sent = 0;
    for (int step = 0; step < 150; ++step) {
        uint64_t offset = below(500'000), length = 1 + below(below(3) == 0 ? 300'000 : 60'000);
        store.set_plan({});
        if (below(8) == 0) {
            ASSERT_TRUE(file->truncate(offset).ok());
            model.resize(offset);
        } else {
            std::string bytes(length, static_cast<char>('a' + below(26)));
            file->write(offset, Buffer::copy_of(bytes), [](Status) {});
            if (model.size() < offset + length) model.resize(offset + length);
            model.replace(offset, length, bytes);
        }
        if (below(2) == 0) {
            // On their way while other things happen, and some fail.
            store.set_plan({.seed = random(), .error = 0.05, .error_code = ENOSPC, .lost_reply = 0.05});
            while (file->send()) ++sent;
            store.set_plan({});
        }
        if (below(2) == 0) {
            store.set_plan({.seed = random(), .error = 0.05, .error_code = ENOSPC, .lost_reply = 0.05});
            auto flushed = file->flush();
            store.set_plan({});
            if (!flushed) {
                ++failed;
                ASSERT_TRUE(file->is_dirty());
            } else {
                published = flushed->map;
                file->published(*flushed);
                if (below(2) == 0) file = data.open(Ino{5}, published);
            }
        }
        auto got = wait_for<Buffers>([&](Then<Buffers> t) { file->read({0, model.size()}, true, std::move(t)); });
        ASSERT_TRUE(got.ok());
        ASSERT_TRUE(join(*got) == model) << "seed " << GetParam() << " step " << step;
    }
    auto flushed = file->flush();
    ASSERT_TRUE(flushed.ok());
    file = data.open(Ino{5}, flushed->map);
    auto got = wait_for<Buffers>([&](Then<Buffers> t) { file->read({0, model.size()}, true, std::move(t)); });
    ASSERT_TRUE(join(*got) == model);
    EXPECT_GT(failed, 0);
    EXPECT_GT(sent, 0);
    EXPECT_EQ(data.usage().dirty_bytes, 0u);
}
INSTANTIATE_TEST_SUITE_P(Seeds, Faults, testing::Range(1u, 61u));

TEST(Backpressure, WritersAreAnsweredAsBytesAreStored) {
    MemoryStore store;
    DataHooks hooks;
    hooks.next_blob = [](Ino) { return BlobId{1}; };
    hooks.record_reach = [](BlobId, Ino, uint64_t, uint64_t last) { return Result<uint64_t>(last); };
    int asked = 0;
    hooks.flush_wanted = [&](Ino) { ++asked; };
    DataSettings settings;
    settings.dirty_bytes_max = 1 << 20;
    Data data(store, Clock::system(), settings, hooks);
    auto file = data.open(Ino{5}, {});
    Counted answered;
    for (uint64_t i = 0; i < 16; ++i)
        file->write(i << 17, Buffer::zeros(1 << 17), [&](const Status&) { answered.count(); });
    EXPECT_EQ(answered.now(), 4);
    EXPECT_GE(asked, 1);
    ASSERT_TRUE(file->flush().ok());
    answered.wait_for(16);
    EXPECT_EQ(data.usage().dirty_bytes, 0u);
}

}  // namespace
}  // namespace meshfs
