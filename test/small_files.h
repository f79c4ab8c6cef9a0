// For tests: volumes of small files, and mounts that are the only one, or die at a certain write.
#pragma once

#include <random>

#include "fs/meta/ops/hooked_store.h"
#include "fs/store/metered_store.h"
#include "test/fixtures.h"

namespace meshfs::test {

// Of its writes the first `left` take effect; then the client dies.
class DyingStore final : public ForwardingStore {
public:
    DyingStore(std::unique_ptr<Store> inner, std::shared_ptr<std::atomic<int>> left)
        : ForwardingStore(std::move(inner)), left_(std::move(left)) {
        if (*left_ < 0) static_cast<FaultStore&>(inner_).kill();  // nor does it come back as another client
    }
    void start(Mutation mutation, Then<void> then) override {
        count();
        inner_.start(std::move(mutation), std::move(then));
    }
    void start(Transfer transfer, Then<size_t> then) override {
        if (transfer.direction == Transfer::Direction::write) count();
        inner_.start(std::move(transfer), std::move(then));
    }
    using ForwardingStore::start;
    bool is_exclusive() const override { return is_alone || inner_.is_exclusive(); }
    bool is_alone = false;

private:
    void count() {
        if ((*left_)-- == 0) static_cast<FaultStore&>(inner_).kill();
    }
    const std::shared_ptr<std::atomic<int>> left_;  // the test's, too
};

// Bytes of files that are written while it is silent reach the store once it speaks again.
class SilentStore final : public ForwardingStore {
public:
    using ForwardingStore::ForwardingStore;
    void be_silent() {
        MutexLock lock(mutex_);
        is_silent_ = true;
    }
    void speak() {
        std::vector<std::function<void()>> waiting;
        {
            MutexLock lock(mutex_);
            is_silent_ = false;
            waiting.swap(waiting_);
        }
        for (auto& call : waiting) call();
    }
    void start(Transfer transfer, Then<size_t> then) override {
        {
            MutexLock lock(mutex_);
            if (is_silent_ && transfer.direction == Transfer::Direction::write) {
                waiting_.push_back([this, transfer, then] { inner_.start(transfer, then); });
                return;
            }
        }
        inner_.start(std::move(transfer), std::move(then));
    }
    using ForwardingStore::start;

private:
    Mutex mutex_;
    bool is_silent_ GUARDED_BY(mutex_) = false;
    std::vector<std::function<void()>> waiting_ GUARDED_BY(mutex_);
};

// Has no room for bytes while it is told so; used by one mount only.
class FullStore final : public ForwardingStore {
public:
    FullStore(std::unique_ptr<Store> inner, std::shared_ptr<std::atomic<bool>> is_full)
        : ForwardingStore(std::move(inner)), is_full_(std::move(is_full)) {}
    void start(Transfer transfer, Then<size_t> then) override {
        if (transfer.direction == Transfer::Direction::read || !*is_full_)
            return inner_.start(std::move(transfer), std::move(then));
        inner_.start(Query(std::move(transfer.object)).stat(), [then = std::move(then)](const Result<Answer>&) { then(fail(ENOSPC)); });
    }
    using ForwardingStore::start;
    bool is_exclusive() const override { return true; }

private:
    const std::shared_ptr<std::atomic<bool>> is_full_;
};

class SmallFiles : public testing::Test {
protected:
    explicit SmallFiles(int lease_seconds = 5) : cluster_(std::make_shared<MemoryCluster>()), raw_(cluster_) {
        must(format_volume(raw_, Clock::system(), {.lease_seconds = lease_seconds}));
        settings_.commit_ns = 3600 * kNsPerSecond;  // nothing happens by itself
        options_.commit_ns = settings_.commit_ns;
        options_.hold = true;
    }
    ~SmallFiles() override { raw_.stop(); }

    std::unique_ptr<Mount> mount(const Mount::Wrap& wrap = nullptr) {
        return std::make_unique<Mount>(cluster_, settings_, options_, wrap);
    }
    std::unique_ptr<Mount> mount_silent(SilentStore*& silent) {
        return mount([&silent](std::unique_ptr<Store> inner) {
            auto store = std::make_unique<SilentStore>(std::move(inner));
            silent = store.get();
            return store;
        });
    }
    std::unique_ptr<Mount> mount_full(const std::shared_ptr<std::atomic<bool>>& is_full) {
        return mount([is_full](std::unique_ptr<Store> inner) { return std::make_unique<FullStore>(std::move(inner), is_full); });
    }
    // Nobody else can be there: what a dead one had is free at once.
    std::unique_ptr<Mount> mount_alone() {
        return mount([](std::unique_ptr<Store> inner) {
            auto store = std::make_unique<HookedStore>(std::move(inner));
            store->claims_exclusive = true;
            return store;
        });
    }
    std::unique_ptr<Mount> mount_dying(const std::shared_ptr<std::atomic<int>>& left, bool is_alone) {
        return mount([left, is_alone](std::unique_ptr<Store> inner) {
            auto store = std::make_unique<DyingStore>(std::move(inner), left);
            store->is_alone = is_alone;
            return store;
        });
    }
    static std::string bytes_of(uint64_t seed, size_t length) {
        std::mt19937_64 random(seed);
        std::string bytes(length, '\0');
        for (char& c : bytes) c = static_cast<char>(random());
        return bytes;
    }
    static std::string name(uint64_t number) { return "/d/" + std::to_string(number); }
    // /d with files of `length` bytes each.
    static void write(Mount& mount, uint64_t count, size_t length = 16'000) {
        if (!mount.stat("/d").ok()) must(mount.mkdir("/d"));
        for (uint64_t i = 0; i < count; ++i) ASSERT_OK(mount.write_file(name(i), bytes_of(i, length)));
    }
    // By a mount that may die meanwhile.
    static Status try_write(Mount& mount, Ino directory, const std::string& name, const std::string& bytes) {
        auto opened = mount.vfs->create(mount.root, directory, name, 0644, O_RDWR | O_CREAT);
        if (!opened) return opened.error();
        auto written = mount.write(opened->handle, 0, bytes);
        Status closed = mount.close(opened->handle);
        return written ? closed : Status(written.error());
    }
    static void expect_whole(Mount& mount, uint64_t first, uint64_t end, size_t length = 16'000) {
        for (uint64_t i = first; i < end; ++i) {
            auto bytes = mount.read_file(name(i));
            ASSERT_OK(bytes);
            ASSERT_TRUE(*bytes == bytes_of(i, length)) << i << " has " << bytes->size() << " bytes";
        }
    }
    std::set<std::string> objects(const std::string& prefix) {
        std::set<std::string> names;
        must(raw_.list(Pool{1}, [&](const std::string& name) -> Status {
            if (name.starts_with(prefix)) names.insert(name);
            return {};
        }));
        return names;
    }

    std::shared_ptr<MemoryCluster> cluster_;
    MemoryStore raw_;
    VfsSettings settings_;
    MetaOptions options_;
};

}  // namespace meshfs::test
