// Small files that are closed and not published yet: who stores them, when, and that nobody else ever sees less.
#include <thread>

#include "fs/store/source.h"
#include "fs/vfs/check/check.h"
#include "test/small_files.h"

namespace meshfs::test {
namespace {

class PackingTest : public SmallFiles {};

TEST_F(PackingTest, AThousandFilesAreAFewOperations) {
    MeteredStore* metered = nullptr;
    auto a = mount([&](std::unique_ptr<Store> inner) {
        auto store = std::make_unique<MeteredStore>(std::move(inner));
        metered = store.get();
        return store;
    });
    must(a->mkdir("/d"));
    ASSERT_OK(a->vfs->syncfs());
    uint64_t before = metered->counts().all_calls();
    write(*a, 1000, 16 << 10);
    ASSERT_OK(a->vfs->syncfs());
    uint64_t calls = metered->counts().all_calls() - before;
    RecordProperty("store_calls", static_cast<int>(calls));
    EXPECT_LE(calls, 60u);
    EXPECT_LE(objects("b.").size(), 1u);  // one alone at the end
    auto b = mount();
    expect_whole(*b, 0, 1000, 16 << 10);
}

TEST_F(PackingTest, WhenFilesThatAreGoneWereReadCostsNothing) {
    write(*mount(), 100);
    MeteredStore* metered = nullptr;
    auto a = mount([&](std::unique_ptr<Store> inner) {
        auto store = std::make_unique<MeteredStore>(std::move(inner));
        metered = store.get();
        return store;
    });
    expect_whole(*a, 0, 100);
    for (uint64_t i = 0; i < 100; ++i) ASSERT_OK(a->unlink(name(i)));
    ASSERT_OK(a->rmdir("/d"));
    uint64_t before = metered->counts().all_calls();
    ASSERT_OK(a->vfs->syncfs());
    EXPECT_LT(metered->counts().all_calls() - before, 100u) << "a call a file";
}

TEST_F(PackingTest, NothingIsStoredAtCloseAndWhoLooksThenSeesAll) {
    auto a = mount(), b = mount();
    write(*a, 40);
    EXPECT_TRUE(objects("p.").empty() && objects("b.").empty());
    expect_whole(*b, 0, 40);
    EXPECT_EQ(objects("p.").size(), 1u);
    EXPECT_EQ(objects("b.").size(), 0u);
}

TEST_F(PackingTest, WhatNobodyHasForItselfIsPublishedAtClose) {
    options_.hold = false;
    auto a = mount();
    write(*a, 3);
    a->faults->set_plan({.error = 1});
    auto b = mount();
    expect_whole(*b, 0, 3);
    a->faults->set_plan({});
}

// Such an operation takes its groups for itself, and anybody may read them then.
class TwoGroups : public SmallFiles, public testing::WithParamInterface<const char*> {};

TEST_P(TwoGroups, WhatIsOwedIsPublishedBeforeAnOperationOnThem) {
    auto a = mount(), b = mount();
    write(*a, 5);
    must(a->mkdir("/e"));
    must(a->mkdir("/d/sub"));
    ASSERT_OK(a->vfs->syncfs());
    const auto stored = objects("");
    ASSERT_OK(a->write_file(name(5), bytes_of(5, 16'000)));
    EXPECT_EQ(objects(""), stored);
    const std::string how = GetParam();
    if (how == "rename") ASSERT_OK(a->rename(name(0), "/e/0"));
    else if (how == "link") must(a->vfs->link(a->root, a->ino(name(0)), a->ino("/e"), "0"));
    else ASSERT_OK(a->rmdir("/d/sub"));
    EXPECT_EQ(objects("") == stored, how == "rmdir");  // which is done in memory
    expect_whole(*b, how == "rename" ? 1 : 0, 6);
}
INSTANTIATE_TEST_SUITE_P(Operations, TwoGroups, testing::Values("rename", "link", "rmdir"));

TEST_F(PackingTest, FilesWrittenAgainBeforeAnybodyLookedAreSeenAsTheyAre) {
    auto a = mount(), b = mount();
    write(*a, 5);
    uint64_t again = must(a->open(name(0))).handle, appends = must(a->open(name(1), O_WRONLY | O_APPEND)).handle;
    ASSERT_OK(a->write(again, 100, "changed"));
    ASSERT_OK(a->write(appends, 0, "more"));
    SetAttributes cut;
    cut.size = 5'000;
    ASSERT_OK(a->vfs->setattr(a->root, a->ino(name(2)), cut));
    ASSERT_OK(a->rename(name(3), "/d/3 renamed"));
    ASSERT_OK(a->unlink(name(4)));
    ASSERT_OK(a->close(again));
    ASSERT_OK(a->close(appends));
    EXPECT_TRUE(must(b->read_file(name(0))) == bytes_of(0, 16'000).replace(100, 7, "changed"));
    EXPECT_TRUE(must(b->read_file(name(1))) == bytes_of(1, 16'000) + "more");
    EXPECT_TRUE(must(b->read_file(name(2))) == bytes_of(2, 5'000));
    EXPECT_TRUE(must(b->read_file("/d/3 renamed")) == bytes_of(3, 16'000));
    EXPECT_ERRNO(b->read_file(name(4)), ENOENT);
}

TEST_F(PackingTest, WhatWasSyncedIsThereAfterADeath) {
    {
        auto a = mount();
        write(*a, 3);
        uint64_t handle = must(a->open(name(1), O_RDONLY)).handle;
        ASSERT_OK(a->vfs->fsync(handle, false));
        a->kill();
    }
    auto b = mount_alone();
    expect_whole(*b, 0, 3);  // all that was closed went together
}

TEST_F(PackingTest, NewFilesRenamedOverOldOnesAreOldOrNewWhereverTheMountDies) {
    int died = 0;
    for (int writes = 0; writes < 100; ++writes) {
        {
            auto setup = mount_alone();
            write(*setup, 4, 20'000);
        }
        auto left = std::make_shared<std::atomic<int>>(1'000'000);
        auto a = mount_dying(left, false);
        const Ino directory = a->ino("/d");
        *left = writes;
        for (uint64_t i = 0; i < 4; ++i) {
            if (!try_write(*a, directory, "new", bytes_of(100 + i, 16'000))) break;
            if (!a->vfs->rename(a->root, directory, "new", directory, std::to_string(i), 0)) break;
        }
        (void)a->vfs->syncfs();
        bool is_dead = *left < 0;
        a->kill();
        a.reset();
        died += is_dead;
        auto b = mount_alone();
        for (uint64_t i = 0; i < 4; ++i) {
            std::string bytes = must(b->read_file(name(i)));
            EXPECT_TRUE(bytes == bytes_of(i, 20'000) || (bytes == bytes_of(100 + i, 16'000))) << writes << ", file " << i;
        }
        if (!is_dead) break;
    }
    EXPECT_GT(died, 5);
}

// Before the segment, between it and the batch, after: a file is there whole or empty, and a check finds nothing wrong.
TEST_F(PackingTest, WhereverTheMountDiesNoFileIsTorn) {
    int died = 0, files = 0, whole = 0;
    for (int writes = 0; writes < 100; ++writes) {
        auto left = std::make_shared<std::atomic<int>>(1'000'000);
        auto a = mount_dying(left, false);
        const Ino directory = must(a->mkdir("/" + std::to_string(writes))).inode.ino;
        ASSERT_OK(a->vfs->syncfs());
        *left = writes;
        for (uint64_t i = 0; i < 6; ++i) (void)try_write(*a, directory, std::to_string(i), bytes_of(i, 16'000));
        (void)a->vfs->syncfs();
        bool is_dead = *left < 0;
        a->kill();
        a.reset();
        died += is_dead;
        auto b = mount_alone();
        for (const auto& found : b->names("/" + std::to_string(writes))) {
            if (found[0] == '.') continue;
            std::string bytes = must(b->read_file("/" + std::to_string(writes) + "/" + found));
            EXPECT_TRUE(bytes.empty() || bytes == bytes_of(std::stoull(found), 16'000)) << writes << ", file " << found;
            ++files;
            whole += !bytes.empty();
        }
        CheckOptions options;
        options.found = [&](const Finding& f) { EXPECT_EQ(f.state, Finding::State::note) << f.object << f.key << f.what; };
        must(check_volume(*b->meta, options));
        if (!is_dead) break;
    }
    EXPECT_GE(died, 3);
    EXPECT_GT(files, 0);
    EXPECT_GE(whole, 6) << "those of the run that did not die";
}

TEST_F(PackingTest, ASegmentThatCannotBeStoredIsToldBySyncfsAndKept) {
    auto a = mount();
    write(*a, 5);
    a->faults->set_plan({.error = 1, .error_code = ENOSPC});
    EXPECT_ERRNO(a->vfs->syncfs(), ENOSPC);
    expect_whole(*a, 0, 5);
    a->faults->set_plan({});
    ASSERT_OK(a->vfs->syncfs());
    auto b = mount();
    expect_whole(*b, 0, 5);
}

// What cannot be stored keeps nobody from looking at the directory.
TEST_F(PackingTest, AFullStoreKeepsNobodyElseWaiting) {
    std::atomic<bool> is_full{false};
    class Full final : public ForwardingStore {
    public:
        Full(std::unique_ptr<Store> inner, std::atomic<bool>& is_full)
            : ForwardingStore(std::move(inner)), is_full_(is_full) {}
        void start(Transfer transfer, Then<size_t> then) override {
            if (is_full_ && transfer.direction == Transfer::Direction::write) transfer.object.name += std::string(300, 'x');
            inner_.start(std::move(transfer), std::move(then));  // EINVAL
        }
        using ForwardingStore::start;
        std::atomic<bool>& is_full_;
    };
    auto a = mount([&](std::unique_ptr<Store> inner) { return std::make_unique<Full>(std::move(inner), is_full); });
    write(*a, 5);
    is_full = true;
    auto b = mount();
    EXPECT_EQ(b->names("/d").size(), 7u);
    EXPECT_EQ(must(b->read_file(name(1))), "");
    is_full = false;
    ASSERT_OK(a->vfs->syncfs());
    expect_whole(*b, 0, 5);
}

TEST_F(PackingTest, OnAStoreOfOneProcessTheyArePackedEachCommit) {
    settings_.commit_ns = 100 * kNsPerMs;
    auto a = mount_alone();
    const int64_t began = Clock::system().boot_ns();
    write(*a, 50);
    const int64_t commits = (Clock::system().boot_ns() - began) / settings_.commit_ns;  // while they were written
    for (int tries = 0; a->vfs->usage().dirty_bytes > 0; ++tries) {
        ASSERT_LT(tries, 1000);
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_GE(objects("p.").size(), 1u);
    EXPECT_LE(objects("p.").size() + objects("b.").size(), 3u + 2 * static_cast<size_t>(commits));
    expect_whole(*a, 0, 50);
    for (uint64_t i = 0; i < 50; ++i) ASSERT_OK(a->unlink(name(i)));
}

TEST_F(PackingTest, InADirectoryTheyArePackedToo) {
    TemporaryFolder folder;
    auto open_there = [&] { return open_store(must(parse_source(folder.path())), {.make_directory = true}); };
    if (open_there().code() == EOPNOTSUPP) GTEST_SKIP() << "built without the embedded store";
    must(format_volume(*must(open_there()), Clock::system(), {}));
    auto mount_there = [&] { return mount([&](std::unique_ptr<Store>) { return must(open_there()); }); };
    {
        auto a = mount_there();
        write(*a, 200);
        ASSERT_OK(a->vfs->syncfs());
        uint64_t handle = must(a->open(name(3))).handle;
        ASSERT_OK(a->write(handle, 5, "over"));
        ASSERT_OK(a->close(handle));
        for (uint64_t i = 100; i < 200; ++i) ASSERT_OK(a->unlink(name(i)));
        for (uint64_t i = 50; i < 60; ++i) {  // whole again
            uint64_t again = must(a->open(name(i), O_RDWR | O_TRUNC)).handle;
            ASSERT_OK(a->write(again, 0, bytes_of(i, 16'000)));
            ASSERT_OK(a->close(again));
        }
    }
    auto a = mount_there();
    auto kind_of = [&](uint64_t i) { return must(a->stat(name(i))).inode.map.extents.at(0).kind; };
    EXPECT_EQ(kind_of(3), Extent::Kind::own);
    EXPECT_EQ(kind_of(4), Extent::Kind::packed);
    EXPECT_EQ(kind_of(55), Extent::Kind::packed);
    EXPECT_TRUE(must(a->read_file(name(3))) == bytes_of(3, 16'000).replace(5, 4, "over"));
    expect_whole(*a, 4, 100);
    CheckOptions options;
    options.found = [&](const Finding& f) { ADD_FAILURE() << f.object << " " << f.key << " " << f.path << ": " << f.what; };
    must(check_volume(*a->meta, options));
}

TEST_F(PackingTest, MoreThanASegmentLeavesAtOnce) {
    auto a = mount();
    must(a->mkdir("/d"));
    for (uint64_t i = 0; i < 40; ++i) ASSERT_OK(a->write_file(name(i), bytes_of(i, 300'000)));
    for (int tries = 0; a->vfs->usage().dirty_bytes > 8u << 20; ++tries) {
        ASSERT_LT(tries, 1000);
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    auto b = mount();
    expect_whole(*b, 0, 40, 300'000);
}

TEST_F(PackingTest, CheckFindsAPackThatIsGoneOrAnother) {
    auto a = mount_alone();
    write(*a, 5);
    ASSERT_OK(a->vfs->syncfs());
    auto check = [&] {
        std::vector<std::string> found;
        CheckOptions options;
        options.deep = true;
        options.found = [&](const Finding& f) { found.push_back(f.path + ": " + f.what); };
        must(check_volume(*a->meta, options));
        return found;
    };
    EXPECT_EQ(check(), std::vector<std::string>());
    const std::string pack = *objects("p.").begin();
    must(raw_.apply(std::move(Mutation({Pool{1}, pack}).write(50, Buffer::copy_of("!")))));
    auto found = check();
    ASSERT_EQ(found.size(), 5u);
    EXPECT_NE(found[0].find("its records have a wrong checksum"), std::string::npos) << found[0];
    expect_whole(*a, 0, 5);  // the extents have checksums of their own
    must(raw_.apply(std::move(Mutation({Pool{1}, pack}).remove())));
    found = check();
    ASSERT_EQ(found.size(), 5u);
    EXPECT_NE(found[0].find("is missing"), std::string::npos) << found[0];
    a.reset();
    a = mount_alone();
    EXPECT_ERRNO(a->read_file(name(0)), EIO);
    for (uint64_t i = 0; i < 5; ++i) ASSERT_OK(a->unlink(name(i)));
}

// Each closes what it has written before the next one looks: all see the same, whatever they do to the groups.
class SeveralPacking : public SmallFiles, public testing::WithParamInterface<unsigned> {};

TEST_P(SeveralPacking, SeeWhatWasClosed) {
    std::mt19937 random(GetParam());
    auto below = [&](uint64_t n) { return std::uniform_int_distribution<uint64_t>(0, n - 1)(random); };
    std::vector<std::unique_ptr<Mount>> mounts;
    for (int i = 0; i < 3; ++i) mounts.push_back(mount());
    must(mounts[0]->mkdir("/d"));
    must(mounts[0]->mkdir("/e"));
    std::map<std::string, std::string> model;
    for (int step = 0; step < 150; ++step) {
        SCOPED_TRACE("seed " + std::to_string(GetParam()) + ", step " + std::to_string(step));
        Mount& m = *mounts[below(4) == 0 ? below(3) : 0];
        std::string path = (below(2) == 0 ? "/d/" : "/e/") + std::to_string(below(8));
        std::string other = (below(2) == 0 ? "/d/" : "/e/") + std::to_string(below(8));
        bool is_there = model.contains(path);
        switch (below(10)) {
            case 0: case 1: case 2: case 3: {
                std::string bytes = bytes_of(random(), below(2) == 0 ? below(40'000) : below(3) == 0 ? below(2'000'000) : below(6'000));
                if (is_there) ASSERT_OK(m.unlink(path));
                ASSERT_OK(m.write_file(path, bytes));
                model[path] = bytes;
                break;
            }
            case 4: {
                if (!is_there) break;
                uint64_t handle = must(m.open(path)).handle, at = below(model[path].size() + 1);
                ASSERT_OK(m.write(handle, at, "written over"));
                ASSERT_OK(m.close(handle));
                std::string& bytes = model[path];
                bytes.resize(std::max<size_t>(bytes.size(), at + 12));
                bytes.replace(at, 12, "written over");
                break;
            }
            case 5: {
                if (!is_there) break;
                ASSERT_OK(m.unlink(path));
                model.erase(path);
                break;
            }
            case 6: {
                if (!is_there || path == other) break;
                ASSERT_OK(m.rename(path, other));
                model[other] = model[path];
                model.erase(path);
                break;
            }
            case 7: {
                if (below(4) == 0) ASSERT_OK(m.vfs->syncfs());
                break;
            }
            default: {
                auto seen = m.read_file(path);
                ASSERT_EQ(seen.ok(), is_there) << path;
                if (is_there) {
                    ASSERT_TRUE(*seen == model[path]) << path << ": " << seen->size() << ", not " << model[path].size();
                    ASSERT_EQ(must(m.stat(path)).inode.map.size, model[path].size());
                }
            }
        }
    }
    for (const auto& [path, bytes] : model)
        for (auto& m : mounts) ASSERT_TRUE(must(m->read_file(path)) == bytes) << path;
    for (auto& m : mounts) EXPECT_OK(m->vfs->syncfs());
}
INSTANTIATE_TEST_SUITE_P(Seeds, SeveralPacking, testing::Range(1u, 21u));

// Many at once, and another mount that wants all of it back again and again: nobody waits for ever.
TEST_F(PackingTest, ThreadsThatWriteMoveAndLookGetOn) {
    settings_.commit_ns = options_.commit_ns = 20 * kNsPerMs;
    auto a = mount(), b = mount();
    for (const char* directory : {"/d", "/e", "/f"}) must(a->mkdir(directory));
    std::vector<std::thread> threads;
    std::atomic<int> writing{3};
    for (int t = 0; t < 3; ++t)
        threads.emplace_back([&, t] {
            const std::string here = std::string("/") + "def"[t] + "/", there = std::string("/") + "def"[(t + 1) % 3] + "/";
            for (uint64_t i = 0; i < 60; ++i) {
                const std::string mine = std::to_string(t) + "." + std::to_string(i);
                EXPECT_OK(a->write_file(here + mine, bytes_of(i, 12'000)));
                if (i % 5 == 0) EXPECT_OK(a->rename(here + mine, there + mine));
                if (i % 5 != 0 && i % 7 == 1) EXPECT_OK(a->vfs->link(a->root, a->ino(here + mine), a->ino(there), mine + "l"));
                if (i % 11 == 2) EXPECT_OK(a->mkdir(here + mine + "d"));
                if (i % 11 == 2) EXPECT_OK(a->rmdir(here + mine + "d"));
            }
            --writing;
        });
    threads.emplace_back([&] {
        while (writing > 0)
            for (const char* directory : {"/d", "/e", "/f"})
                for (const auto& found : b->names(directory)) {
                    if (found[0] == '.' || found.back() == 'd') continue;
                    auto bytes = b->read_file(std::string(directory) + "/" + found);
                    // Renamed since; or it is open: not closed yet.
                    if (bytes.ok() && !bytes->empty()) {
                        EXPECT_EQ(bytes->size(), 12'000u) << directory << "/" << found;
                    }
                }
    });
    for (auto& thread : threads) thread.join();
    for (int t = 0; t < 3; ++t)
        for (uint64_t i = 0; i < 60; ++i) {
            const std::string mine = std::to_string(t) + "." + std::to_string(i);
            const std::string path = std::string("/") + "def"[i % 5 == 0 ? (t + 1) % 3 : t] + "/" + mine;
            EXPECT_TRUE(must(b->read_file(path)) == bytes_of(i, 12'000)) << path;
        }
}

}  // namespace
}  // namespace meshfs::test
