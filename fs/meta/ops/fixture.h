// A volume in memory with as many mounts as a test wants, each behind a store that counts and one that fails.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "fs/base/clock.h"
#include "fs/meta/core.h"
#include "fs/meta/meta.h"
#include "fs/meta/ops/hooked_store.h"
#include "fs/store/fault_store.h"
#include "fs/store/memory_store.h"
#include "fs/store/metered_store.h"

#define ASSERT_OK(call)                                         \
    do {                                                        \
        const auto& result_ = (call);                           \
        ASSERT_TRUE(result_.ok()) << result_.error().text();    \
    } while (false)
#define EXPECT_OK(call)                                         \
    do {                                                        \
        const auto& result_ = (call);                           \
        EXPECT_TRUE(result_.ok()) << result_.error().text();    \
    } while (false)
#define EXPECT_ERRNO(call, errno_wanted)                                                           \
    do {                                                                                           \
        const auto& result_ = (call);                                                              \
        EXPECT_STREQ(errno_name(result_.code()), errno_name(errno_wanted))                         \
            << (result_.ok() ? std::string() : result_.error().text());                            \
    } while (false)

namespace meshfs {

inline constexpr int64_t kLeaseNs = 5 * kNsPerSecond;  // of the fixture's volume

// The value, or the end of the test program: for steps that are not what is tested.
template <class T>
T must(Result<T> result) {
    if (!result.ok()) {
        ADD_FAILURE() << result.error().text();
        std::abort();
    }
    return std::move(result).value();
}

struct TestMount {
    explicit TestMount(std::shared_ptr<MemoryCluster> cluster, MetaOptions options = {}) {
        auto faulty = std::make_unique<FaultStore>(std::make_unique<MemoryStore>(std::move(cluster)));
        faults = faulty.get();
        auto hooked = std::make_unique<HookedStore>(std::move(faulty));
        hooks = hooked.get();
        metered = std::make_unique<MeteredStore>(std::move(hooked));
        options.background = false;
        meta = must(Meta::open(*metered, clock, options));
    }
    ~TestMount() {
        if (!meta) return;
        EXPECT_OK(meta->close());
        meta.reset();
        metered->stop();
    }
    // As kill -9 does: nothing more of it takes effect.
    void die() {
        faults->kill();
        meta.reset();
        metered->stop();
    }
    Session& session() { return *meta->core().session; }
    ManualClock clock;
    FaultStore* faults = nullptr;
    HookedStore* hooks = nullptr;
    std::unique_ptr<MeteredStore> metered;
    std::unique_ptr<Meta> meta;
};

class MetaTest : public testing::Test {
protected:
    MetaTest() : cluster_(std::make_shared<MemoryCluster>()), raw_(cluster_) {
        ManualClock clock;
        EXPECT_TRUE(format_volume(raw_, clock, {.lease_seconds = 5}).ok());
        mount_ = std::make_unique<TestMount>(cluster_);
    }
    Meta& meta() { return *mount_->meta; }
    MetaCore& core() { return meta().core(); }

    static CreateRequest request(Ino directory, std::string name, uint32_t mode) {
        return {.directory = directory, .name = std::move(name), .mode = mode, .uid = 7, .gid = 8};
    }
    Result<Inode> create(const std::string& name, Ino directory = kRootIno) {
        return meta().create(request(directory, name, S_IFREG | 0644));
    }
    Result<Inode> mkdir(const std::string& name, Ino directory = kRootIno) {
        return meta().mkdir(request(directory, name, S_IFDIR | 0755));
    }
    std::vector<std::string> names(Ino directory = kRootIno) {
        ListPage page = must(meta().list({.directory = directory}));
        std::vector<std::string> out;
        for (const auto& entry : page.entries) out.push_back(entry.name);
        return out;
    }
    uint64_t calls() const { return mount_->metered->counts().all_calls(); }
    // What `meta` may purge now, as numbers in the order it goes; all of it is purged.
    static std::vector<Ino> purge(Meta& meta) {
        std::vector<Ino> gone;
        for (;;) {
            auto items = must(meta.purgeable(16));
            if (items.empty()) return gone;
            for (const auto& item : items) {
                gone.push_back(item.inode.ino);
                EXPECT_OK(meta.purged(item));
            }
        }
    }
    static std::set<Ino> purge_all(Meta& meta) {  // the same where no order is promised
        auto gone = purge(meta);
        return {gone.begin(), gone.end()};
    }
    std::set<std::string> all_groups() {  // of the store, dead ones too
        std::set<std::string> all;
        for (const auto& name : cluster_->names(kMetaPool))
            if (name.starts_with("g.")) all.insert(name);
        return all;
    }
    // For HookedStore: is it a mutation that sets this key?
    static std::function<bool(const Mutation&)> setting(const std::string& key) {
        return [key](const Mutation& m) {
            for (const Effect& effect : m.effects())
                if (effect.kind == Effect::Kind::set_keys)
                    for (const auto& [name, value] : effect.keys)
                        if (name == key) return true;
            return false;
        };
    }

    std::shared_ptr<MemoryCluster> cluster_;
    MemoryStore raw_;  // to look, and to break things
    std::unique_ptr<TestMount> mount_;
};

}  // namespace meshfs
