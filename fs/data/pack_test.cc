// Segments of packs; files that go into one and come back out of it; reading them.
#include "fs/data/pack.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <thread>

#include "fs/data/data.h"
#include "fs/data/extents.h"
#include "fs/data/holding_store.h"
#include "fs/data/pack_reader.h"
#include "fs/data/pack_scan.h"
#include "fs/store/fault_store.h"
#include "fs/store/metered_store.h"

namespace meshfs {
namespace {

constexpr BlobId kPack{uint64_t{3} << 32 | 9};

std::string bytes_of(uint64_t seed, size_t length) {
    std::mt19937_64 random(seed);
    std::string bytes(length, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    return bytes;
}

ToPack to_pack(uint64_t number, size_t length) {
    std::string bytes = bytes_of(number, length);
    size_t half = length / 3;
    return {Ino{number}, number + 1, {Buffer::copy_of(bytes.substr(0, half)), Buffer::copy_of(bytes.substr(half))}};
}

TEST(PackSegment, HasItsRecordsInFrontAndEachMemberAtAMultipleOfEight) {
    auto made = make_segment(kPack, 2, 8192, {to_pack(5, 10'001), to_pack(6, 5'000)});
    EXPECT_EQ(made.bytes.size(), 16'384u);
    auto parsed = parse_segment(made.bytes.view(), kPack, 2, 8192);
    ASSERT_TRUE(parsed.ok()) << parsed.error().text();
    EXPECT_EQ(parsed->length, 16'384u);
    EXPECT_EQ(parsed->members, made.members);
    ASSERT_EQ(made.members.size(), 2u);
    EXPECT_EQ(made.members[0].offset, 8192u + 40 + 80);
    EXPECT_EQ(made.members[1].offset, 8192u + 40 + 80 + 10'008);
    EXPECT_EQ(made.members[1].version, 7u);
    EXPECT_EQ(made.bytes.view().substr(made.members[1].offset - 8192, 5'000), bytes_of(6, 5'000));
}

TEST(PackSegment, FullAsItMayBeIsOneOperation) {
    std::vector<ToPack> files;
    uint64_t room = 0;
    for (uint64_t i = 1; room + room_in_segment(4'097) <= kSegmentRoom; ++i) {
        files.push_back({Ino{i}, 1, {Buffer::zeros(4'097)}});
        room += room_in_segment(4'097);
    }
    auto made = make_segment(kPack, 0, 0, files);
    EXPECT_LE(made.bytes.size(), kTransferMax);
    EXPECT_LE(made.members.front().offset, kSegmentFrontMax);
    EXPECT_TRUE(parse_segment(made.bytes.view().substr(0, kSegmentFrontMax), kPack, 0, 0).ok());
}

TEST(PackSegment, IsRefusedIfAnyBitOfItsFrontIsWrongOrItIsAnotherOne) {
    const std::string sound(make_segment(kPack, 2, 8192, {to_pack(5, 9'000), to_pack(6, 5'000)}).bytes.view());
    for (size_t bit = 0; bit < 8 * (40 + 2 * 40); ++bit) {
        std::string damaged = sound;
        damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
        EXPECT_EQ(parse_segment(damaged, kPack, 2, 8192).code(), EIO) << bit;
    }
    EXPECT_EQ(parse_segment(sound, BlobId{1}, 2, 8192).code(), EIO);
    EXPECT_EQ(parse_segment(sound, kPack, 1, 8192).code(), EIO);
    EXPECT_EQ(parse_segment(sound, kPack, 2, 4096).code(), EIO);
    EXPECT_EQ(parse_segment(std::string_view(sound).substr(0, 100), kPack, 2, 8192).code(), EIO);
    EXPECT_EQ(parse_segment("", kPack, 2, 8192).code(), EIO);
}

// Answers what it read when it is told to.
class SlowReads final : public ForwardingStore {
public:
    using ForwardingStore::ForwardingStore;
    using ForwardingStore::start;
    void start(Transfer transfer, Then<size_t> then) override {
        if (transfer.direction == Transfer::Direction::write) return inner_.start(std::move(transfer), std::move(then));
        inner_.start(std::move(transfer), [this, then = std::move(then)](Result<size_t> got) {
            if (!is_slow) return then(std::move(got));
            answers.push_back([then, got] { then(got); });
            come.count();
        });
    }
    std::atomic<bool> is_slow{false};
    std::vector<std::function<void()>> answers;
    Counted come;
};

TEST(PackReaderTest, WhoAsksForWhatWasStoredDuringAFetchGetsIt) {
    SlowReads store(std::make_unique<MemoryStore>(std::make_shared<MemoryCluster>()));
    const std::string bytes = bytes_of(1, 30'000);
    auto add = [&](uint64_t from, uint64_t end) {
        Transfer transfer{.direction = Transfer::Direction::write, .object = pack_object(Pool{1}, kPack), .offset = from};
        transfer.bytes = Buffer::copy_of(bytes.substr(from, end - from));
        ASSERT_TRUE(store.transfer(std::move(transfer)).ok());
    };
    add(0, 10'000);
    {
        PackReader reader(store);
        Counted told;
        auto read = [&](ByteRange range) {
            reader.read(Pool{1}, kPack, range, [&, range](const Result<Buffers>& got) {
                EXPECT_TRUE(got.ok() && join(*got) == bytes.substr(range.offset, range.length)) << range.offset;
                told.count();
            });
        };
        read({0, 1'000});
        told.wait_for(1);
        store.is_slow = true;
        read({1'000, 1'000});  // in order: the run, as far as it goes now
        store.come.wait_for(1);
        add(10'000, 30'000);
        read({2'000, 28'000});
        store.is_slow = false;
        store.answers.front()();
        told.wait_for(3);
    }
    store.stop();
}

TEST(PackReaderTest, WhoKeepsASmallMemberKeepsNoRun) {
    MemoryStore store(std::make_shared<MemoryCluster>());
    const std::string bytes = bytes_of(1, 1 << 20);
    Transfer transfer{.direction = Transfer::Direction::write, .object = pack_object(Pool{1}, kPack), .offset = 0};
    transfer.bytes = Buffer::copy_of(bytes);
    ASSERT_TRUE(store.transfer(std::move(transfer)).ok());
    {
        PackReader reader(store);
        Counted told;
        std::vector<Buffer> parts;
        int reads = 0;
        auto read = [&](uint64_t offset, uint64_t length) {
            reader.read(Pool{1}, kPack, {offset, length}, [&](const Result<Buffers>& got) {
                ASSERT_TRUE(got.ok());
                parts.push_back(got->front());
                told.count();
            });
            told.wait_for(++reads);
            EXPECT_TRUE(parts.back().view() == std::string_view(bytes).substr(offset, length));
        };
        read(0, 1'000);
        for (uint64_t i = 1; i < 4; ++i) read(i * 1'000, 1'000);
        EXPECT_EQ(reader.cached_bytes(), bytes.size());
        EXPECT_NE(parts[3].data() - parts[2].data(), 1'000) << "both are in the run";
        // What is large is not copied.
        read(4'000, 300'000);
        read(304'000, 300'000);
        EXPECT_EQ(parts[5].data() - parts[4].data(), 300'000);
    }
    store.stop();
}

class Packed : public testing::Test {
protected:
    Packed() : store_(std::make_unique<HoldingStore>(std::make_shared<MemoryCluster>())) {}
    DataHooks hooks() {
        DataHooks h;
        h.next_blob = [this](Ino home) {
            if (!has_session_) return BlobId{};
            if (home == Ino{}) ++packs_;
            return BlobId{++blobs_};
        };
        h.record_reach = [this](BlobId blob, Ino, uint64_t, uint64_t last) {
            on_record_.insert(blob);
            return Result<uint64_t>(last);
        };
        h.forget_reach = [this](BlobId blob) { on_record_.erase(blob); };
        return h;
    }
    HoldingStore& holding() { return static_cast<HoldingStore&>(store_.inner()); }
    struct File {
        Ino ino{};
        FileMap map;
        std::vector<Extent> freed;
        std::unique_ptr<FileData> data;
    };
    File file(uint64_t number, FileMap map = {}) {
        return {Ino{number}, map, {}, data_.open(Ino{number}, map)};
    }
    static void write(File& file, uint64_t offset, const std::string& bytes) {
        file.data->write(offset, Buffer::copy_of(bytes), [](const Status& done) { EXPECT_TRUE(done.ok()); });
    }
    Result<std::string> try_read(File& file, uint64_t offset, uint64_t length) {
        Counted told;
        Result<Buffers> got = fail(EIO);
        file.data->read({offset, length}, true, [&](Result<Buffers> bytes) {
            got = std::move(bytes);
            told.count();
        });
        told.wait_for(1);
        return got ? Result<std::string>(join(*got)) : Result<std::string>(got.error());
    }
    std::string read(File& file, uint64_t offset = 0, uint64_t length = 1 << 30) {
        auto got = try_read(file, offset, length);
        return got ? *got : got.error().text();
    }
    void pack(const std::vector<File*>& files) {
        std::vector<Data::Packing> packing;
        for (File* file : files) packing.push_back({file->data.get(), file->ino, 1});
        data_.pack(packing);
    }
    static void publish(File& file) {
        auto flushed = file.data->flush();
        ASSERT_TRUE(flushed.ok()) << flushed.error().text();
        file.map = flushed->map;
        for (const Extent& e : flushed->freed) file.freed.push_back(e);
        file.data->published(*flushed);
        ASSERT_FALSE(file.data->is_dirty());
    }
    void reopen(File& file) {
        file.data->closed();
        file.data = data_.open(file.ino, file.map);
    }
    // Files of so many bytes each, packed and published.
    std::vector<File> packed(const std::vector<size_t>& lengths) {
        std::vector<File> files;
        std::vector<File*> all;
        for (size_t i = 0; i < lengths.size(); ++i) {
            files.push_back(file(100 + i));
            write(files.back(), 0, bytes_of(100 + i, lengths[i]));
        }
        for (File& one : files) all.push_back(&one);
        pack(all);
        for (File& one : files) publish(one), reopen(one);
        return files;
    }
    static uint64_t must_seek(File& file, uint64_t offset, bool hole) {
        auto at = file.data->seek(offset, hole);
        return at ? *at : UINT64_MAX;
    }
    uint64_t calls() { return store_.counts().all_calls(); }
    static bool is_packed(const File& file) {
        return file.map.extents.size() == 1 && file.map.extents[0].kind == Extent::Kind::packed;
    }

    MeteredStore store_;
    uint64_t blobs_ = 0, packs_ = 0;
    bool has_session_ = true;
    std::set<BlobId> on_record_;
    Data data_{store_, Clock::system(), {}, hooks()};
};

TEST_F(Packed, FilesAreStoredByOneOperationAndReadBack) {
    uint64_t before = calls();
    auto files = packed({5'000, 100'000, 4'097, 1 << 20, 60'000});
    EXPECT_EQ(calls() - before, 1u);
    EXPECT_EQ(data_.usage().dirty_bytes, 0u);
    for (File& one : files) {
        EXPECT_TRUE(is_packed(one));
        EXPECT_EQ(one.map.bytes, one.map.size);
        std::string bytes = bytes_of(raw(one.ino), one.map.size);
        EXPECT_TRUE(read(one) == bytes);
        EXPECT_TRUE(read(one, 1'000, 2'000) == bytes.substr(1'000, 2'000));
        EXPECT_EQ(must_seek(one, 0, false), 0u);
        EXPECT_EQ(must_seek(one, 0, true), one.map.size);
    }
    auto scan = scan_pack(store_, 1, files[0].map.extents[0].blob);
    ASSERT_TRUE(scan.ok() && scan->damage.ok());
    EXPECT_EQ(scan->members.size(), files.size());
}

TEST_F(Packed, WhatIsEmptyInlineLargeSparseOrStoredIsNot) {
    File small = file(1), large = file(2), sparse = file(3), stored = file(4), sound = file(5), other = file(6);
    write(small, 0, bytes_of(1, kInlineMax));
    write(large, 0, bytes_of(2, kPackedMax + 1));
    write(sparse, 5'000, bytes_of(3, 5'000));
    write(stored, 0, bytes_of(4, 10'000));
    publish(stored);
    write(stored, 0, bytes_of(5, 10'000));
    for (File* one : {&small, &large, &sparse, &stored}) EXPECT_FALSE(one->data->can_pack());
    write(sound, 0, bytes_of(5, 5'000));
    write(other, 0, bytes_of(6, 3'000));
    publish(other);
    write(other, 3'000, bytes_of(6, 3'000));  // what it has in its inode goes with it
    pack({&small, &large, &sparse, &stored, &sound, &other});
    for (File* one : {&small, &large, &sparse, &stored, &sound, &other}) publish(*one);
    EXPECT_TRUE(is_packed(sound));
    EXPECT_TRUE(is_packed(other));
    for (File* one : {&small, &large, &sparse, &stored}) EXPECT_FALSE(is_packed(*one));
    EXPECT_TRUE(read(other) == bytes_of(6, 3'000) + bytes_of(6, 3'000));
}

TEST_F(Packed, SegmentsFollowEachOtherAndAPackHasAnEnd) {
    std::vector<File> all;
    for (int i = 0; i < 9; ++i)
        for (File& one : packed(std::vector<size_t>(3, 1 << 20))) all.push_back(std::move(one));
    EXPECT_EQ(packs_, 2u);  // five segments of 3 MiB are in the first
    for (File& one : all) EXPECT_TRUE(read(one) == bytes_of(raw(one.ino), 1 << 20));
}

TEST_F(Packed, ADamagedMemberIsAnErrorOfItsFileAlone) {
    auto files = packed({20'000, 30'000, 40'000});
    const Extent& hit = files[1].map.extents[0];
    Mutation damage(pack_object(1, hit.blob));
    damage.write(hit.blob_offset + 12'345, Buffer::copy_of("!"));
    ASSERT_TRUE(store_.apply(std::move(damage)).ok());
    auto got = try_read(files[1], 0, 30'000);
    ASSERT_EQ(got.code(), EIO);
    EXPECT_NE(got.error().detail().find("object p." ), std::string::npos) << got.error().text();
    EXPECT_TRUE(read(files[0]) == bytes_of(100, 20'000));
    EXPECT_TRUE(read(files[2]) == bytes_of(102, 40'000));
    write(files[1], 5, "x");  // nor is it brought back as if it were sound
    EXPECT_EQ(files[1].data->flush().code(), EIO);
}

TEST_F(Packed, WhatComesDamagedOnceIsReadOnceMore) {
    auto files = packed({20'000, 20'000, 20'000, 20'000, 20'000});
    auto damage = [&](size_t i, int count = 1) { holding().damage_next("p.1", files[i].map.extents[0].blob_offset + 9, count); };
    damage(0);
    EXPECT_TRUE(read(files[0]) == bytes_of(100, 20'000));
    damage(2);  // in the run that is kept
    EXPECT_TRUE(read(files[1]) == bytes_of(101, 20'000));
    EXPECT_TRUE(read(files[2]) == bytes_of(102, 20'000));
    write(files[3], 5, "x");
    damage(3);
    publish(files[3]), reopen(files[3]);
    EXPECT_TRUE(read(files[3]) == bytes_of(103, 20'000).replace(5, 1, "x"));
    damage(0, 2);
    EXPECT_EQ(try_read(files[0], 0, 20'000).code(), EIO);
    EXPECT_TRUE(read(files[0]) == bytes_of(100, 20'000));
}

TEST_F(Packed, WhatIsNotThereIsNoZeros) {
    auto files = packed({20'000, 30'000});
    ASSERT_TRUE(store_.apply(std::move(Mutation(pack_object(1, files[0].map.extents[0].blob)).truncate(20'300))).ok());
    EXPECT_TRUE(read(files[0]) == bytes_of(100, 20'000));
    EXPECT_EQ(try_read(files[1], 0, 30'000).code(), ESTALE);
    ASSERT_TRUE(store_.apply(std::move(Mutation(pack_object(1, files[0].map.extents[0].blob)).remove())).ok());
    EXPECT_EQ(try_read(files[0], 0, 10).code(), ESTALE);
}

TEST_F(Packed, WrittenInPartTheyGoToABlobOfTheirOwn) {
    auto files = packed({20'000, 20'000, 20'000, 20'000, 20'000});
    std::vector<std::string> expected(5, std::string());
    for (size_t i = 0; i < 5; ++i) expected[i] = bytes_of(100 + i, 20'000);
    const std::vector<FileMap> before{files[0].map, files[1].map, files[2].map, files[3].map, files[4].map};
    write(files[0], 7'000, "changed");
    expected[0].replace(7'000, 7, "changed");
    write(files[1], 20'000, bytes_of(9, 5 << 20));  // appended, and much
    expected[1] += bytes_of(9, 5 << 20);
    while (files[1].data->send()) {
    }
    ASSERT_TRUE(files[2].data->truncate(15'000).ok());
    expected[2].resize(15'000);
    ASSERT_TRUE(files[3].data->punch({4'096, 8'192}).ok());
    expected[3].replace(4'096, 8'192, std::string(8'192, '\0'));
    ASSERT_TRUE(files[4].data->zero({19'000, 3'000}, false).ok());
    expected[4] = expected[4].substr(0, 19'000) + std::string(3'000, '\0');
    for (size_t i = 0; i < 5; ++i) {
        EXPECT_TRUE(read(files[i]) == expected[i]) << i;
        publish(files[i]);
        EXPECT_FALSE(is_packed(files[i])) << i;
        EXPECT_EQ(files[i].freed, before[i].extents) << i;
        reopen(files[i]);
        EXPECT_TRUE(read(files[i]) == expected[i]) << i;
    }
}

TEST_F(Packed, WhatIsCutToNothingOrMadeLongerNeedsNoCopy) {
    auto files = packed({20'000, 20'000});
    uint64_t before = calls();
    ASSERT_TRUE(files[0].data->truncate(0).ok());
    ASSERT_TRUE(files[1].data->truncate(50'000).ok());
    for (File& one : files) publish(one), reopen(one);
    EXPECT_EQ(calls(), before);
    EXPECT_EQ(read(files[0]), "");
    EXPECT_EQ(files[0].freed.size(), 1u);
    EXPECT_TRUE(read(files[1]) == bytes_of(101, 20'000) + std::string(30'000, '\0'));
}

TEST_F(Packed, WrittenWholeTheyArePackedAgain) {
    auto files = packed({20'000, 20'000});
    const Extents before = files[0].map.extents;
    for (File& one : files) write(one, 0, bytes_of(7, 30'000));
    pack({&files[0], &files[1]});
    EXPECT_TRUE(read(files[0]) == bytes_of(7, 30'000));
    for (File& one : files) publish(one), reopen(one);
    EXPECT_TRUE(is_packed(files[0]));
    EXPECT_EQ(files[0].map.bytes, 30'000u);
    EXPECT_EQ(files[0].freed, before);
    EXPECT_TRUE(read(files[0]) == bytes_of(7, 30'000));
}

// What was stored in between was never published, and goes with what was.
TEST_F(Packed, CutAndWrittenAnewBeforeItCouldBePublishedAllOfItIsFreed) {
    auto files = packed({20'000, 20'000});
    File& one = files[0];
    Extents expected = one.map.extents;
    for (int round = 0; round < 2; ++round) {
        ASSERT_TRUE(one.data->truncate(0).ok());
        write(one, 0, bytes_of(7, 30'000));
        if (round == 0) pack({&one});
        auto flushed = one.data->flush();  // and that is all
        ASSERT_TRUE(flushed.ok());
        expected.insert(expected.end(), flushed->map.extents.begin(), flushed->map.extents.end());
    }
    ASSERT_TRUE(one.data->truncate(0).ok());
    write(one, 0, "small");
    publish(one);
    EXPECT_EQ(one.freed, expected);
    EXPECT_EQ(expected.size(), 3u);
    one.data->closed();
    data_.stop();
    EXPECT_TRUE(on_record_.empty()) << "gc need not look for it";
}

TEST_F(Packed, BytesWrittenMeanwhileAreKept) {
    File one = file(1), two = file(2);
    write(one, 0, bytes_of(1, 20'000));
    write(two, 0, bytes_of(2, 20'000));
    holding().hold("p.1");
    std::thread packing([&] { pack({&one, &two}); });
    holding().wait_for("p.1");
    write(one, 10, "newer");
    EXPECT_EQ(read(one, 8, 9), bytes_of(1, 20'000).substr(8, 2) + "newer" + bytes_of(1, 20'000).substr(15, 2));
    EXPECT_FALSE(one.data->can_pack());
    Result<Publication> flushed = fail(EIO);
    std::thread flusher([&] { flushed = one.data->flush(); });  // waits for the pack, then it has something to bring back
    holding().let_go("p.1");
    packing.join();
    flusher.join();
    ASSERT_TRUE(flushed.ok());
    std::string expected = bytes_of(1, 20'000).replace(10, 5, "newer");
    one.map = flushed->map;
    one.data->published(*flushed);
    publish(two);
    reopen(one);
    EXPECT_TRUE(read(one) == expected);
    EXPECT_FALSE(is_packed(one));
    EXPECT_TRUE(is_packed(two));
}

// gc moves a member, or another mount writes it anew, after a hole was punched here and before that is published.
TEST_F(Packed, HolesOfThisMountStayWhereAMemberWasMovedMeanwhile) {
    for (bool is_cut : {false, true}) {
        File one = file(1), two = file(2), other = file(3);
        for (File* f : {&one, &two, &other}) write(*f, 0, bytes_of(1, 20'000));
        pack({&one, &other});
        publish(one), publish(other);
        pack({&two, &other});
        publish(two);
        if (is_cut) {
            ASSERT_TRUE(one.data->truncate(5'000).ok());
        }
        ASSERT_TRUE(one.data->punch({100, 50}).ok());
        ASSERT_TRUE(one.data->rebase(two.map).ok());
        publish(one);
        reopen(one);
        std::string expected = bytes_of(1, 20'000).replace(100, 50, std::string(50, '\0'));
        if (is_cut) expected.resize(5'000);
        EXPECT_TRUE(read(one) == expected) << is_cut;
    }
}

TEST_F(Packed, WhatCannotBeStoredIsKeptAndStoredAloneThen) {
    File one = file(1), two = file(2);
    write(one, 0, bytes_of(1, 20'000));
    write(two, 0, bytes_of(2, 20'000));
    holding().fail_next("p.1", ENOSPC);
    pack({&one, &two});
    EXPECT_TRUE(read(one) == bytes_of(1, 20'000));
    EXPECT_EQ(data_.usage().dirty_bytes, 40'000u);
    publish(one);
    EXPECT_FALSE(is_packed(one));
    reopen(one);
    EXPECT_TRUE(read(one) == bytes_of(1, 20'000));
    // What failed may come late, so its place is never used again.
    write(one, 0, bytes_of(3, 20'000));
    File three = file(3);
    write(three, 0, bytes_of(3, 20'000));
    pack({&three, &two});
    publish(two);
    EXPECT_NE(two.map.extents[0].blob, BlobId{1});
}

TEST_F(Packed, APackIsOnRecordUntilAllOfItIsPublishedAndNothingIsAdded) {
    File one = file(1), two = file(2), lost = file(3);
    write(one, 0, bytes_of(1, 20'000));
    write(two, 0, bytes_of(2, 20'000));
    pack({&one, &two});
    EXPECT_EQ(on_record_.size(), 1u);
    publish(one), reopen(one);
    data_.stop();
    EXPECT_EQ(on_record_.size(), 1u);
    publish(two), reopen(two);
    EXPECT_EQ(on_record_.size(), 0u);
    write(lost, 0, bytes_of(3, 20'000));
    pack({&lost});
    lost.data->discard();
    lost.data->closed();
    data_.stop();
    EXPECT_EQ(on_record_.size(), 1u) << "gc has to look at it";
}

TEST_F(Packed, NothingIsAddedToAPackOfASessionThatIsOver) {
    File one = file(1), two = file(2), three = file(3);
    for (File* f : {&one, &two, &three}) write(*f, 0, bytes_of(raw(f->ino), 20'000));
    pack({&one});
    publish(one);
    holding().hold("p.1");
    std::thread packing([&] { pack({&two}); });
    holding().wait_for("p.1");
    data_.begin_anew();
    holding().let_go("p.1");
    packing.join();
    pack({&three});
    publish(two), publish(three);
    EXPECT_EQ(one.map.extents[0].blob, BlobId{1});
    EXPECT_FALSE(is_packed(two)) << "nor is what was under way mapped there";
    EXPECT_EQ(three.map.extents[0].blob, BlobId{2});
    data_.begin_anew();
    write(three, 0, bytes_of(4, 20'000));
    pack({&three});
    publish(three);
    EXPECT_TRUE(is_packed(three));
    EXPECT_GT(three.map.extents[0].blob, BlobId{3});
    EXPECT_EQ(packs_, 3u);
}

// While there is none.
TEST_F(Packed, WithoutASessionNothingIsStored) {
    File one = file(1), large = file(2);
    write(one, 0, bytes_of(1, 20'000));
    write(large, 0, bytes_of(2, 5 << 20));
    has_session_ = false;
    pack({&one});
    EXPECT_EQ(large.data->flush().code(), ESHUTDOWN);
    EXPECT_EQ(calls(), 0u);
    EXPECT_TRUE(on_record_.empty());
    has_session_ = true;
    publish(one), publish(large);
    EXPECT_TRUE(read(one) == bytes_of(1, 20'000));
    EXPECT_TRUE(read(large) == bytes_of(2, 5 << 20));
}

// A file may stay open for long.
TEST_F(Packed, APackIsNotOnRecordForAFileThatIsPublishedAndStaysOpen) {
    File one = file(1), two = file(2);
    write(one, 0, bytes_of(1, 20'000));
    write(two, 0, bytes_of(2, 20'000));
    pack({&one, &two});
    publish(one);
    write(two, 0, bytes_of(3, 20'000));  // what was packed is freed in the same step
    publish(two);
    EXPECT_EQ(two.freed.size(), 1u);
    EXPECT_EQ(on_record_.size(), 2u) << "more may be added to the pack; and the blob of one that is open";
    data_.stop();
    EXPECT_EQ(on_record_.size(), 1u);
    EXPECT_FALSE(on_record_.contains(one.map.extents[0].blob));
    one.data->closed(), two.data->closed();
    EXPECT_TRUE(on_record_.empty());
}

// Another mount has published: what this one has in a pack and never published is read back and stored anew.
TEST_F(Packed, AnotherMountsMapTakesNothingOfWhatWasPacked) {
    File one = file(1), other = file(2);
    write(one, 0, bytes_of(1, 20'000));
    write(other, 0, bytes_of(2, 9'000));
    pack({&one, &other});
    publish(other);
    FileMap theirs = other.map;  // as if that were the same file
    ASSERT_TRUE(one.data->rebase(theirs).ok());
    publish(one), reopen(one);
    EXPECT_TRUE(read(one) == bytes_of(1, 20'000));
    // Its own cut, of theirs: no part of a member is mapped.
    File cut = file(3, {.size = 10});
    ASSERT_TRUE(cut.data->truncate(5).ok());
    ASSERT_TRUE(cut.data->rebase(theirs).ok());
    publish(cut), reopen(cut);
    EXPECT_EQ(read(cut), bytes_of(2, 9'000).substr(0, 5));
    EXPECT_EQ(cut.freed, theirs.extents);
}

TEST_F(Packed, AnotherMountsMapThatIsDamagedIsAnErrorAndChangesNothing) {
    auto files = packed({20'000});
    FileMap lengthy = files[0].map, layout = files[0].map, overlap = files[0].map;
    lengthy.extents[0].length = uint64_t{1} << 62;
    layout.layout.object_bytes = 0;
    overlap.extents.push_back(overlap.extents[0]);
    for (const FileMap& theirs : {lengthy, layout, overlap}) {
        File cut = file(1);
        write(cut, 0, bytes_of(1, 10'000));
        ASSERT_TRUE(cut.data->truncate(5'000).ok());
        EXPECT_EQ(cut.data->rebase(theirs).code(), EIO);
        publish(cut), reopen(cut);
        EXPECT_TRUE(read(cut) == bytes_of(1, 5'000));
    }
}

TEST_F(Packed, ReadInOrderTheyComeInRunsOfAMegabyte) {
    auto files = packed(std::vector<size_t>(200, 16'000));
    uint64_t before = calls();
    for (File& one : files) ASSERT_TRUE(read(one) == bytes_of(raw(one.ino), 16'000));
    EXPECT_LE(calls() - before, 6u);
    EXPECT_LE(data_.usage().cached_bytes, 16u << 20);
    before = calls();
    for (size_t i = files.size(); i-- > 0;) ASSERT_TRUE(read(files[i]) == bytes_of(raw(files[i].ino), 16'000));
    EXPECT_EQ(calls() - before, 200u);  // backwards each by itself
}

// A run that was kept ends where the pack did; what was added later is there.
TEST_F(Packed, APackThatGrowsIsReadOn) {
    auto first = packed({100'000, 100'000});
    for (File& one : first) EXPECT_TRUE(read(one) == bytes_of(raw(one.ino), 100'000));
    auto second = packed({100'000, 100'000});
    ASSERT_EQ(first[0].map.extents[0].blob, second[0].map.extents[0].blob);
    for (File& one : second) EXPECT_TRUE(read(one) == bytes_of(raw(one.ino), 100'000));
}

}  // namespace
}  // namespace meshfs
