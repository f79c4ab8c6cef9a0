// The embedded store's own matters: its directory, damage, room, and what it does to disk.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "fs/base/waiting.h"
#include "fs/store/conformance_fixture.h"
#include "fs/store/local_directory.h"
#include "fs/store/local_files.h"
#include "fs/store/local_layout.h"
#include "fs/store/local_rows.h"
#include "fs/store/local_store.h"
#include "fs/store/local_sums.h"

namespace meshfs {
namespace {

namespace disk = std::filesystem;
using namespace local;

class LocalStoreTest : public testing::Test {
protected:
    LocalStoreTest() {
        std::string made = (disk::temp_directory_path() / "meshfs-local-XXXXXX").string();
        if (mkdtemp(made.data()) != nullptr) path_ = made;
    }
    ~LocalStoreTest() override {
        std::error_code ignored;
        disk::remove_all(path_, ignored);
    }
    std::string dir() const { return path_ + "/store"; }
    Result<std::unique_ptr<Store>> open(bool make = true) {
        StoreOptions options;
        options.make_directory = make;
        return open_local_store(*parse_source(dir()), options);
    }
    std::unique_ptr<Store> opened() {
        auto store = open();
        EXPECT_OK(store);
        return store.ok() ? std::move(*store) : nullptr;
    }
    // The files with bytes of objects that hold any.
    std::vector<disk::path> long_files() const {
        std::vector<disk::path> out;
        for (const auto& entry : disk::recursive_directory_iterator(dir() + "/files"))
            if (entry.is_regular_file() && entry.file_size() > 0) out.push_back(entry.path());
        return out;
    }
    static Status put(Store& store, const ObjectName& object, uint64_t offset, const std::string& bytes,
                      SnapContext snaps = {}) {
        auto done = store.transfer({.direction = Transfer::Direction::write, .object = object, .offset = offset,
                                    .bytes = Buffer::copy_of(bytes), .snaps = std::move(snaps)});
        return done.ok() ? Status() : Status(done.error());
    }
    static std::string get(Store& store, const ObjectName& object, SnapId at = SnapId::head) {
        auto answer = store.ask(Query(object, at).bytes(0, kObjectMax));
        return answer.ok() ? join(answer->bytes[0]) : answer.error().text();
    }
    std::string path_;
    const ObjectName o_{Pool{1}, "object"};
};

std::string noise(size_t size, uint64_t seed = 1) {
    std::mt19937_64 random(seed);
    std::string out(size, '\0');
    for (char& c : out) c = static_cast<char>(random());
    return out;
}

TEST_F(LocalStoreTest, OpeningADirectoryThatIsNoStoreSaysHowToMakeOne) {
    auto store = open(false);
    EXPECT_ERRNO(store, ENOENT);
    EXPECT_NE(store.error().detail().find("`meshfs format " + dir() + "` makes one"), std::string::npos);
    EXPECT_FALSE(disk::exists(dir()));
}

TEST_F(LocalStoreTest, MakingOneWhereOtherFilesLieIsRefused) {
    disk::create_directory(dir());
    std::ofstream(dir() + "/thesis.txt") << "mine";
    EXPECT_ERRNO(open(), ENOTEMPTY);
    EXPECT_FALSE(disk::exists(dir() + "/LOCK"));
}

TEST_F(LocalStoreTest, AMakingThatWasCutOffIsFinished) {
    disk::create_directories(dir() + "/map");
    std::ofstream(dir() + "/LOCK") << "1\n";
    EXPECT_OK(open());
}

TEST_F(LocalStoreTest, TheDirectoryIsTheOwnersAlone) {
    auto store = opened();
    EXPECT_EQ(disk::status(dir()).permissions(), disk::perms::owner_all);
    EXPECT_EQ(store->id().uuid.size(), 36u);
}

TEST_F(LocalStoreTest, ASecondUserIsRefusedWithTheFirstOnesPid) {
    auto first = opened();
    auto second = open();
    EXPECT_ERRNO(second, EBUSY);
    EXPECT_NE(second.error().detail().find("in use by process " + std::to_string(getpid())), std::string::npos);
    first.reset();
    EXPECT_OK(open());
}

TEST_F(LocalStoreTest, ANewerFormatIsRefused) {
    opened().reset();
    std::ofstream(dir() + "/FORMAT", std::ios::trunc) << "meshfs-local 2\nwhatever\n";
    EXPECT_ERRNO(open(), EPROTONOSUPPORT);
    std::ofstream(dir() + "/FORMAT", std::ios::trunc) << "rubbish\n";
    EXPECT_ERRNO(open(), EIO);
}

TEST_F(LocalStoreTest, LostCommitsAreNoticed) {
    auto store = opened();
    ASSERT_OK(store->apply(Mutation(o_).create()));
    store.reset();
    auto directory = Directory::open(dir(), false);
    ASSERT_OK(directory);
    ASSERT_OK((*directory)->set_mark(1u << 30));
    directory->reset();
    EXPECT_ERRNO(open(), EIO);
    disk::remove(dir() + "/MARK");
    EXPECT_OK(open());
}

TEST_F(LocalStoreTest, AFlippedByteInAFileIsEioAndNamesTheObject) {
    auto store = opened();
    std::string bytes = noise(300'000);
    ASSERT_OK(put(*store, o_, 0, bytes));
    ASSERT_OK(put(*store, {Pool{1}, "other"}, 0, bytes));
    store.reset();
    auto files = long_files();
    ASSERT_EQ(files.size(), 2u);
    std::fstream file(files[0], std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(200'000);
    file.put(static_cast<char>(bytes[200'000] ^ 1));
    file.close();
    store = opened();
    int damaged = 0;
    for (const ObjectName& object : {o_, ObjectName{Pool{1}, "other"}}) {
        auto answer = store->ask(Query(object).bytes(190'000, 20'000));
        if (answer.ok()) continue;
        ++damaged;
        EXPECT_EQ(answer.code(), EIO);
        EXPECT_NE(answer.error().detail().find(object.name), std::string::npos);
        EXPECT_OK(store->ask(Query(object).bytes(0, 190'000)));
    }
    EXPECT_EQ(damaged, 1);
}

TEST_F(LocalStoreTest, AFileThatIsGoneIsEio) {
    auto store = opened();
    ASSERT_OK(put(*store, o_, 0, noise(300'000)));
    store.reset();
    for (const auto& file : long_files()) disk::remove(file);
    EXPECT_ERRNO(opened()->ask(Query(o_).bytes(0, 10)), EIO);
}

TEST_F(LocalStoreTest, ADamagedHeaderIsEioAndTheRestGoesOn) {
    opened().reset();
    {
        auto rows = Rows::open(dir() + "/map", nullptr);
        ASSERT_OK(rows);
        ASSERT_TRUE((*rows)->db().Put({}, (*rows)->objects(), object_key(o_), "rubbish").ok());
    }
    auto store = opened();
    EXPECT_ERRNO(store->ask(Query(o_).stat()), EIO);
    Status status = store->apply(Mutation(o_).create());
    EXPECT_ERRNO(status, EIO);
    EXPECT_NE(status.error().detail().find(o_.name), std::string::npos);
    EXPECT_OK(store->apply(Mutation({Pool{1}, "fine"}).create()));
}

TEST_F(LocalStoreTest, AppendingAndCuttingKeepChecksumsRight) {
    auto store = opened();
    std::string bytes;
    std::mt19937_64 random(7);
    for (int step = 0; step < 40; ++step) {
        std::string more = noise(1 + random() % 200'000, static_cast<uint64_t>(step));
        if (step % 9 == 8) {
            bytes.resize(bytes.size() / 8192 * (step % 2 == 0 ? 4096 : 4099));
            ASSERT_OK(store->apply(Mutation(o_).truncate(bytes.size())));
        }
        ASSERT_OK(put(*store, o_, bytes.size(), more));
        bytes += more;
        ASSERT_TRUE(get(*store, o_) == bytes) << step;
    }
    store.reset();
    EXPECT_TRUE(get(*opened(), o_) == bytes);
}

TEST_F(LocalStoreTest, WhatWasCutOffNeverShowsAgain) {
    auto store = opened();
    ASSERT_OK(put(*store, o_, 0, std::string(200'000, 'x')));
    ASSERT_OK(store->apply(Mutation(o_).truncate(100'001)));
    ASSERT_OK(store->apply(Mutation(o_).truncate(200'000)));
    EXPECT_TRUE(get(*store, o_) == std::string(100'001, 'x') + std::string(99'999, '\0'));
    ASSERT_OK(store->apply(Mutation(o_).truncate(50'000)));
    ASSERT_OK(put(*store, o_, 60'000, "end"));
    EXPECT_TRUE(get(*store, o_) == std::string(50'000, 'x') + std::string(10'000, '\0') + "end");
}

TEST_F(LocalStoreTest, FilesOfRemovedObjectsAreUsedAgain) {
    auto store = opened();
    for (int i = 0; i < 300; ++i) {
        ObjectName object{Pool{1}, "o" + std::to_string(i)};
        ASSERT_OK(put(*store, object, 0, noise(70'000, static_cast<uint64_t>(i))));
        ASSERT_TRUE(get(*store, object) == noise(70'000, static_cast<uint64_t>(i)));
        ASSERT_OK(store->apply(Mutation(object).remove()));
    }
    // Recycling is the keeper's, who may lag; but not for ever, and a new user sees nothing of the old.
    ASSERT_OK(put(*store, o_, 100'000, "x"));
    EXPECT_TRUE(get(*store, o_) == std::string(100'000, '\0') + "x");
    store.reset();
    EXPECT_TRUE(get(*opened(), o_) == std::string(100'000, '\0') + "x");
}

TEST_F(LocalStoreTest, AsManyFreedFilesAsAllowedKeepTheirBlocksAndAreTakenFirst) {
    Files files(path_, nullptr);
    ASSERT_OK(files.make(0));
    ASSERT_OK(files.make(Files::kMadeAtOnce));
    std::vector<uint64_t> used;
    for (size_t i = 0; i < Files::kBlocksKeptMax + 2; ++i) {
        used.push_back(files.take_free());
        auto file = files.open(used.back());
        ASSERT_OK(file);
        ASSERT_OK(write_at((*file)->fd, 0, std::string(4096, 'x')));
    }
    for (uint64_t number : used) files.retire(number);
    EXPECT_TRUE(files.recycle().empty());
    size_t kept = 0;
    for (uint64_t number : used) kept += disk::file_size(files.path_of(number)) > 0 ? 1 : 0;
    EXPECT_EQ(kept, Files::kBlocksKeptMax);
    uint64_t taken = files.take_free();
    EXPECT_GT(disk::file_size(files.path_of(taken)), 0u);

    files.set_short_of_room(true);
    for (uint64_t number : used)
        EXPECT_EQ(disk::file_size(files.path_of(number)) > 0, number == taken);
    files.retire(taken);
    EXPECT_TRUE(files.recycle().empty());
    EXPECT_EQ(disk::file_size(files.path_of(taken)), 0u);
}

// Who reads requests of the kernel may read what lies in memory, and is not kept by the disk.
TEST_F(LocalStoreTest, ReadingFromTheDiskIsAWait) {
    auto store = opened();
    const std::string bytes = noise(256 << 10);
    ASSERT_OK(put(*store, o_, 0, bytes));
    store->stop();  // all of it is on the disk
    store.reset();
    store = opened();
    EXPECT_EQ(get(*store, o_), bytes);  // names and sums are in memory from here on
    for (const auto& path : long_files()) {
        int fd = ::open(path.c_str(), O_RDONLY);
        ASSERT_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        close(fd);
    }
    bool has_waited = false;
    OnWaiting on_waiting([&] { has_waited = true; });
    EXPECT_EQ(get(*store, o_), bytes);
    EXPECT_TRUE(has_waited);
}

TEST_F(LocalStoreTest, SnapshotsOfLongBytesShareTheFileUntilItIsWritten) {
    auto store = opened();
    std::string v1 = noise(200'000, 1), v2 = noise(200'000, 2);
    ASSERT_OK(put(*store, o_, 0, v1));
    auto s1 = store->create_snap();
    ASSERT_OK(s1);
    SnapContext at1{raw(*s1), {*s1}};
    ASSERT_OK(store->apply(Mutation(o_, at1).set_keys({{"k", "v"}})));
    EXPECT_EQ(long_files().size(), 1u);
    auto s2 = store->create_snap();
    ASSERT_OK(s2);
    SnapContext at2{raw(*s2), {*s2, *s1}};
    ASSERT_OK(put(*store, o_, 1000, "changed", at2));
    std::string changed = v1;
    changed.replace(1000, 7, "changed");
    EXPECT_TRUE(get(*store, o_) == changed);
    EXPECT_TRUE(get(*store, o_, *s1) == v1);
    EXPECT_TRUE(get(*store, o_, *s2) == v1);
    ASSERT_OK(store->remove_snap(*s1));
    ASSERT_OK(put(*store, o_, 0, v2, at2));
    EXPECT_TRUE(get(*store, o_, *s2) == v1);
    store.reset();
    store = opened();
    EXPECT_TRUE(get(*store, o_, *s2) == v1);
    ASSERT_OK(store->apply(Mutation(o_, at2).remove()));
    EXPECT_TRUE(get(*store, o_, *s2) == v1);
    EXPECT_ERRNO(store->ask(Query(o_).stat()), ENOENT);
}

TEST(LocalLayout, HeadersRoundTrip) {
    Head head{.flags = Head::in_file | Head::summed, .body = 7, .size = 70'000, .mtime_ns = -5, .file = 9, .snap = 3,
              .xattrs = {{"a", "1"}, {"b", std::string(4096, 'x')}}};
    auto back = decode_head(encode_head(head));
    ASSERT_OK(back);
    EXPECT_EQ(*back, head);
}

TEST(LocalLayout, DecodersBearAnything) {
    Head head{.flags = Head::in_row, .body = 7, .size = 10, .xattrs = {{"name", "value"}}};
    std::string good = encode_head(head);
    for (size_t cut = 0; cut < good.size(); ++cut) EXPECT_ERRNO(decode_head(good.substr(0, cut)), EIO);
    EXPECT_ERRNO(decode_head(good + "x"), EIO);
    std::mt19937_64 random(5);
    for (int i = 0; i < 20'000; ++i) {
        std::string bad = good;
        bad[random() % bad.size()] = static_cast<char>(random());
        auto head_or_not = decode_head(bad);
        EXPECT_TRUE(!head_or_not.ok() || head_or_not->size <= kObjectMax);
        (void)decode_counters(bad.substr(0, random() % bad.size()));
        (void)parse_object_key(bad.substr(0, random() % bad.size()));
        (void)number_of(bad.substr(0, random() % 12));
        (void)agrees(bad.substr(0, random() % bad.size()), random(), "x");
        (void)PageSums::after(random() % kObjectMax, bad);
    }
}

TEST(LocalLayout, ObjectKeysSortSnapshotsBeforeNow) {
    ObjectName a{Pool{1}, "a"}, aa{Pool{1}, "aa"};
    EXPECT_LT(object_key(a, SnapId{3}), object_key(a, SnapId{200}));
    EXPECT_LT(object_key(a, SnapId{200}), object_key(a));
    EXPECT_LT(object_key(a), object_key(aa, SnapId{1}));
    auto back = parse_object_key(object_key(aa, SnapId{4}));
    ASSERT_OK(back);
    EXPECT_EQ(back->object, aa);
    EXPECT_EQ(back->snap, SnapId{4});
}

TEST(LocalLayout, TheKeyAfterAPrefix) {
    EXPECT_EQ(after_prefix("ab"), "ac");
    EXPECT_EQ(after_prefix(std::string("a\xff\xff")), "b");
    EXPECT_EQ(after_prefix("\xff"), "");
}

TEST(PageSums, GrowInAnySteps) {
    std::string bytes = noise(5 * kRowBytes / 4);
    PageSums all;
    all.append(bytes);
    std::map<uint32_t, std::string> rows;
    for (const auto& [number, value] : all.rows()) rows[number] = value;
    std::mt19937_64 random(1);
    std::map<uint32_t, std::string> stepped;
    for (size_t at = 0; at < bytes.size();) {
        size_t size = std::min<size_t>(1 + random() % 400'000, bytes.size() - at);
        auto sums = PageSums::after(at, stepped[row_of_page(at / kPage)]);
        ASSERT_OK(sums);
        sums->append(std::string_view(bytes).substr(at, size));
        for (const auto& [number, value] : sums->rows()) stepped[number] = value;
        at += size;
    }
    EXPECT_TRUE(rows == stepped);
}

}  // namespace
}  // namespace meshfs
