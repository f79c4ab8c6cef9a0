// What a mount had stored and not published when it died: found by its reach, removed, and nothing else.
#include "fs/vfs/leavings.h"

#include "fs/base/wire.h"
#include "fs/data/layout.h"
#include "fs/meta/format.h"
#include "fs/meta/ops/hooked_store.h"
#include "fs/vfs/data_hooks.h"
#include "test/fixtures.h"

namespace meshfs::test {
namespace {

// Names and bytes without a Vfs, so that a flush need not be followed by its publication.
struct Writer {
    explicit Writer(std::shared_ptr<MemoryCluster> cluster, bool is_exclusive = false)
        : store(hooked(std::move(cluster), is_exclusive)) {
        meta = must(Meta::open(store, Clock::system()));
        data = std::make_unique<Data>(store, Clock::system(), DataSettings{}, data_hooks(*meta));
    }
    ~Writer() { store.stop(); }
    static std::unique_ptr<Store> hooked(std::shared_ptr<MemoryCluster> cluster, bool is_exclusive) {
        auto store = std::make_unique<HookedStore>(std::make_unique<MemoryStore>(std::move(cluster)));
        store->claims_exclusive = is_exclusive;
        return store;
    }
    Ino create(const std::string& name) {
        return must(meta->create({.directory = kRootIno, .name = name, .mode = S_IFREG | 0644})).ino;
    }
    // As it is published, with bytes that are stored.
    std::unique_ptr<FileData> write(Ino ino, uint64_t offset, uint64_t length) {
        auto file = data->open(ino, must(meta->get(ino)).map);
        file->write(offset, Buffer::copy_of(std::string(length, 'x')), [](Status) {});
        flushed = must(file->flush());
        return file;
    }
    void publish(FileData& file, Ino ino) {
        must(meta->change(ino, [&](InodeChange& change) -> Status {
            change.inode.map = flushed.map;
            ++change.inode.content_version;
            change.freed = flushed.freed;
            return {};
        }));
        file.published(flushed);
    }
    void end() {
        data.reset();
        must(meta->close());
        meta.reset();
    }
    // Its store ends with it; who looks finds nobody that beats.
    void die() {
        store.kill();
        data.reset();
        meta.reset();
    }
    FaultStore store;
    std::unique_ptr<Meta> meta;
    std::unique_ptr<Data> data;
    Publication flushed;
};

// Parameter: the store is one process's, so that what is left goes at once.
class LeavingsTest : public testing::TestWithParam<bool> {
protected:
    LeavingsTest() : cluster_(std::make_shared<MemoryCluster>()), raw_(cluster_) {
        must(format_volume(raw_, Clock::system(), {.lease_seconds = 1}));
    }
    ~LeavingsTest() override { raw_.stop(); }
    // How many objects it found that nobody maps.
    uint64_t gc() {
        Writer collector(cluster_, GetParam());
        std::atomic<bool> stopping{false};
        must(collector.meta->collect());
        auto left = must(remove_leavings(collector.store, *collector.meta, *collector.data, stopping));
        collector.end();
        return left.objects;
    }
    std::set<std::string> objects() {
        std::set<std::string> names;
        must(raw_.list(Pool{1}, [&](const std::string& name) -> Status {
            if (name.starts_with("b.")) names.insert(name);
            return {};
        }));
        return names;
    }
    // Those that no record of freed extents has.
    size_t kept() {
        std::set<std::string> names = objects();
        Answer answer = must(raw_.ask(std::move(Query(group_object(kRootGroup)).range("", "u"))));
        for (const auto& [key, value] : answer.ranges.at(0).entries)
            for (const Extent& e : must(decode_unlinked(value)).inode.map.extents)
                for (const Piece& piece : pieces_of({}, {e.offset, e.length}))
                    names.erase(blob_object({}, e.blob, piece.object).name);
        EXPECT_TRUE(!GetParam() || names == objects());
        return names.size();
    }
    std::string read(const std::string& name) { return must(Mount(cluster_).read_file(name)); }
    size_t sessions() { return must(Writer(cluster_).meta->sessions()).size() - 1; }
    std::shared_ptr<MemoryCluster> cluster_;
    MemoryStore raw_;
};
INSTANTIATE_TEST_SUITE_P(Stores, LeavingsTest, testing::Values(false, true));

TEST_P(LeavingsTest, WhatWasNotPublishedGoesAndWhatWasStays) {
    Writer writer(cluster_);
    Ino kept_file = writer.create("kept"), grown = writer.create("grown"), lost = writer.create("lost");
    { auto file = writer.write(kept_file, 0, 100'000); writer.publish(*file, kept_file); }
    { auto file = writer.write(grown, 0, 100'000); writer.publish(*file, grown); }
    { auto file = writer.write(grown, 100'000, 2 * kObject); }
    { auto file = writer.write(lost, 0, 9 * kObject); }
    EXPECT_EQ(objects().size(), 1 + 3 + 9u);
    writer.die();
    EXPECT_EQ(gc(), 2 + 9u);
    EXPECT_EQ(kept(), 2u);
    EXPECT_EQ(read("/kept"), std::string(100'000, 'x'));
    EXPECT_EQ(read("/grown"), std::string(100'000, 'x'));
    EXPECT_EQ(gc(), 0u);
}

TEST_P(LeavingsTest, OfAFileThatIsGoneAllGoes) {
    Writer writer(cluster_);
    Ino ino = writer.create("f");
    { auto file = writer.write(ino, 3 * kObject, 2 * kObject); }
    must(writer.meta->unlink(kRootIno, "f"));
    for (const auto& item : must(writer.meta->purgeable(10))) must(writer.meta->purged(item));
    must(writer.meta->purgeable(10));
    writer.die();
    EXPECT_EQ(gc(), 2u);
    EXPECT_TRUE(objects().empty());
}

// A session that ends leaves nothing, unless it lost track of what became of something.
TEST_P(LeavingsTest, WhoEndsHasNothingOnRecord) {
    Writer writer(cluster_);
    Ino ino = writer.create("f");
    auto file = writer.write(ino, 0, 9 * kObject);
    writer.publish(*file, ino);
    file->closed();
    file.reset();
    SessionId session = writer.meta->session();
    writer.end();
    EXPECT_ERRNO(raw_.ask(std::move(Query(session_object(session)).exists())), ENOENT);
}

TEST_P(LeavingsTest, AFlushThatFailedIsLookedAtAfterTheSession) {
    Writer writer(cluster_);
    Ino ino = writer.create("f");
    auto file = writer.data->open(ino, {});
    file->write(0, Buffer::copy_of(std::string(3 * kObject, 'x')), [](Status) {});
    // Some of it is stored, the rest is refused.
    for (unsigned seed = 1; objects().empty(); ++seed) {
        writer.store.set_plan({.seed = seed, .error = 0.4, .error_code = ENOSPC});
        (void)file->flush();
        writer.store.set_plan({});
    }
    size_t left = objects().size();
    writer.flushed = must(file->flush());
    writer.publish(*file, ino);
    file->closed();
    file.reset();
    writer.end();
    size_t all = objects().size();
    EXPECT_EQ(sessions(), 1u);
    gc();
    EXPECT_EQ(kept(), 3u);
    EXPECT_LE(all - kept(), left);
    EXPECT_TRUE(read("/f") == std::string(3 * kObject, 'x'));
    EXPECT_EQ(sessions(), 0u);
}

TEST_P(LeavingsTest, AnErrorOfTheStoreRemovesNothing) {
    Writer writer(cluster_);
    Ino ino = writer.create("f");
    { auto file = writer.write(ino, 0, 2 * kObject); }
    writer.die();
    {
        Writer collector(cluster_, GetParam());
        must(collector.meta->collect());
        std::atomic<bool> stopping{false};
        collector.store.set_plan({.error = 1});
        EXPECT_ERRNO(remove_leavings(collector.store, *collector.meta, *collector.data, stopping), EIO);
        collector.store.set_plan({});
        collector.end();
    }
    EXPECT_EQ(kept(), 2u);
    EXPECT_EQ(gc(), 2u);
    EXPECT_EQ(kept(), 0u);
}

// Another mount writes on in the blob of one that died: what it has stored and not yet published is not lost.
TEST_F(VfsTest, WhoGoesOnInABlobOfTheDeadStoresItElsewhere) {
    Writer dead(cluster_), living(cluster_);
    Ino ino = dead.create("f");
    { auto file = dead.write(ino, 0, kObject); dead.publish(*file, ino); }
    auto file = living.data->open(ino, must(living.meta->get(ino)).map);
    file->set_alone(false);
    { auto lost = dead.write(ino, kObject, kObject); }
    dead.die();
    file->write(2 * kObject, Buffer::copy_of(std::string(kObject, 'y')), [](Status) {});
    living.flushed = must(file->flush());
    std::atomic<bool> stopping{false};
    must(m().meta->collect());
    Data data(*m().store, Clock::system(), {}, {});
    EXPECT_EQ(must(remove_leavings(*m().store, *m().meta, data, stopping)).objects, 2u);
    Inode now = must(living.meta->get(ino));
    must(file->rebase(now.map));
    living.flushed = must(file->flush());
    living.publish(*file, ino);
    std::string expected = std::string(kObject, 'x') + std::string(kObject, '\0') + std::string(kObject, 'y');
    EXPECT_TRUE(must(m().read_file("/f")) == expected);
    now = must(living.meta->get(ino));
    ASSERT_EQ(now.map.extents.size(), 2u);
    EXPECT_NE(now.map.extents[0].blob, now.map.extents[1].blob);
    file->closed();
    file.reset();
    living.end();
}

}  // namespace
}  // namespace meshfs::test
