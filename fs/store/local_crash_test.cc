// Power cuts and kill -9 under the embedded store: what was acknowledged is there, whole, afterwards.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <random>
#include <thread>

#include "fs/store/conformance_fixture.h"
#include "fs/store/local_store.h"
#include "fs/store/lossy_disk.h"

namespace meshfs {
namespace {

constexpr size_t kObjects = 8;
constexpr size_t kThreads = 4;

struct Folder {
    Folder() {
        std::string made = (std::filesystem::temp_directory_path() / "meshfs-crash-XXXXXX").string();
        if (mkdtemp(made.data()) != nullptr) path = made;
    }
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    std::string store() const { return path + "/store"; }
    std::string path;
};

Result<std::unique_ptr<Store>> open_at(const std::string& path, local::DiskParts parts = {}) {
    StoreOptions options;
    options.make_directory = true;
    return open_local_store(*parse_source(path), options, std::move(parts));
}

// Version v of object i: sizes on both sides of what is kept in a row, bytes that name it.
std::string content(size_t object, uint64_t version) {
    static constexpr size_t kSizes[] = {10, 5000, 65536, 65537, 200'000, 0};
    std::string out(kSizes[(object + version) % 6], '\0');
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<char>(object * 31 + version * 7 + i / 512);
    return out;
}
ObjectName versioned(size_t i) { return {kMetaPool, "v" + std::to_string(i)}; }
ObjectName growing(size_t i) { return {Pool{1}, "g" + std::to_string(i)}; }
char grown_byte(size_t object, uint64_t offset) { return static_cast<char>(object + offset / 1000 + 1); }

struct Acknowledged {
    std::array<uint64_t, kObjects> version{}, started{}, grown{};
};

// Works on the store until told to stop, and writes down what was acknowledged.
class Load {
public:
    explicit Load(Store& store, uint64_t seed) : store_(store) {
        for (size_t t = 0; t < kThreads; ++t) threads_.emplace_back([this, t, seed] { work(t, seed * 100 + t); });
    }
    ~Load() { stop(); }
    void stop() {
        is_over_ = true;
        for (auto& thread : threads_)
            if (thread.joinable()) thread.join();
    }
    void wait_for(uint64_t calls) {
        MutexLock lock(mutex_);
        while (calls_ < calls) changed_.wait(mutex_);
    }
    Acknowledged acknowledged() {
        MutexLock lock(mutex_);
        return acknowledged_;
    }
    // Whatever was started by now may have happened.
    std::array<uint64_t, kObjects> started() {
        MutexLock lock(mutex_);
        return acknowledged_.started;
    }

private:
    void work(size_t thread, uint64_t seed) {
        std::mt19937_64 random(seed);
        while (!is_over_) {
            size_t i = thread + kThreads * (random() % (kObjects / kThreads));
            if (random() % 3 == 0) grow(i, 1 + random() % 30'000);
            else change(i);
            MutexLock lock(mutex_);
            ++calls_;
            changed_.notify_all();
        }
    }
    void change(size_t i) {
        uint64_t version;
        {
            MutexLock lock(mutex_);
            version = ++acknowledged_.started[i];
        }
        Mutation m(versioned(i));
        if (version % 7 == 0) m.create().remove();
        m.set_keys({{"version", std::to_string(version)}}).set_xattr("version", std::to_string(version));
        m.write_full(Buffer::copy_of(content(i, version)));
        if (!store_.apply(std::move(m)).ok()) return;
        MutexLock lock(mutex_);
        acknowledged_.version[i] = version;
    }
    void grow(size_t i, size_t bytes) {
        uint64_t at = grown_[i];
        Buffer more = Buffer::allocate(bytes);
        for (size_t b = 0; b < bytes; ++b) more.data()[b] = grown_byte(i, at + b);
        if (!store_.transfer({.direction = Transfer::Direction::write, .object = growing(i), .offset = at, .bytes = more}).ok())
            return;
        grown_[i] = at + bytes;
        MutexLock lock(mutex_);
        acknowledged_.grown[i] = at + bytes;
    }
    Store& store_;
    std::atomic<bool> is_over_{false};
    std::array<uint64_t, kObjects> grown_{};  // each by one thread
    Mutex mutex_;
    CondVar changed_;
    uint64_t calls_ GUARDED_BY(mutex_) = 0;
    Acknowledged acknowledged_ GUARDED_BY(mutex_);
    std::vector<std::thread> threads_;
};

void expect_there(Store& store, const Acknowledged& acknowledged, const std::array<uint64_t, kObjects>& started) {
    for (size_t i = 0; i < kObjects; ++i) {
        SCOPED_TRACE("object " + std::to_string(i));
        auto answer = store.ask(Query(versioned(i)).stat().xattrs().keys({"version"}).bytes(0, 1u << 20));
        uint64_t version = 0;
        if (answer.ok()) {
            version = std::stoull(answer->keys["version"]);
            EXPECT_EQ(answer->xattrs["version"], answer->keys["version"]);
            EXPECT_TRUE(join(answer->bytes[0]) == content(i, version)) << "bytes are not those of version " << version;
        } else {
            EXPECT_EQ(answer.code(), ENOENT) << answer.error().text();
        }
        EXPECT_GE(version, acknowledged.version[i]);
        EXPECT_LE(version, started[i]);
        answer = store.ask(Query(growing(i)).bytes(0, kObjectMax));
        if (!answer.ok()) {
            EXPECT_EQ(answer.code(), ENOENT) << answer.error().text();
            EXPECT_EQ(acknowledged.grown[i], 0u);
            continue;
        }
        std::string bytes = join(answer->bytes[0]);
        EXPECT_GE(bytes.size(), acknowledged.grown[i]);
        size_t wrong = 0;
        for (size_t b = 0; b < bytes.size(); ++b) wrong += bytes[b] != grown_byte(i, b);
        EXPECT_EQ(wrong, 0u) << "of " << bytes.size();
    }
}

class LocalPowerCut : public testing::TestWithParam<uint64_t> {};

TEST_P(LocalPowerCut, LosesNothingThatWasAcknowledged) {
    uint64_t seed = GetParam();
    Folder folder;
    for (uint64_t round = 0; round < 2; ++round) {
        SCOPED_TRACE("seed " + std::to_string(seed) + ", round " + std::to_string(round));
        std::filesystem::remove_all(folder.store());
        LossyDisk disk(folder.store());
        auto store = open_at(folder.store(), disk.parts());
        ASSERT_OK(store);
        Acknowledged acknowledged;
        std::array<uint64_t, kObjects> started;
        {
            Load load(**store, seed);
            load.wait_for(20 + seed * 37 % 100 + round * 100);
            acknowledged = load.acknowledged();
            disk.cut();
            load.stop();
            started = load.started();
        }
        store->reset();
        disk.restore(seed);
        store = open_at(folder.store());
        ASSERT_OK(store);
        expect_there(**store, acknowledged, started);
        // And it goes on.
        ASSERT_OK((*store)->apply(Mutation(versioned(0)).write_full(Buffer::zeros(100'000))));
    }
}
INSTANTIATE_TEST_SUITE_P(Seeds, LocalPowerCut, testing::Range(uint64_t{1}, uint64_t{7}));

constexpr const char* kChildFolder = "MESHFS_KILL_CHILD";

// Writes versions as fast as it can, and says on stdout which are acknowledged, until it is killed.
TEST(LocalKillChild, DISABLED_Writes) {
    const char* path = getenv(kChildFolder);
    ASSERT_NE(path, nullptr);
    auto store = open_at(path);
    ASSERT_OK(store);
    auto begin = (*store)->ask(Query(versioned(1)).keys({"version"}));
    uint64_t version = begin.ok() ? std::stoull(begin->keys["version"]) : 0;
    while (true) {
        Mutation m(versioned(1));
        ++version;
        m.set_keys({{"version", std::to_string(version)}}).write_full(Buffer::copy_of(content(1, version)));
        if (!(*store)->apply(std::move(m)).ok()) _exit(1);
        if (write(STDOUT_FILENO, &version, sizeof version) != sizeof version) _exit(1);
    }
}

// Starts the child, kills it after so many acknowledgements; the last one.
uint64_t last_before_kill(const std::string& path, int acknowledgements) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    setenv(kChildFolder, path.c_str(), 1);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execl("/proc/self/exe", "store-test", "--gtest_also_run_disabled_tests", "--gtest_filter=LocalKillChild.*",
              "--gtest_brief=1", nullptr);
        _exit(127);
    }
    close(ends[1]);
    // GoogleTest talks first; the last eight bytes are a version.
    std::string got;
    char piece[4096];
    bool is_killed = false;
    ssize_t size;
    while ((size = read(ends[0], piece, sizeof piece)) > 0) {
        got.append(piece, static_cast<size_t>(size));
        if (!is_killed && got.size() > 1000 + 8u * static_cast<size_t>(acknowledgements)) is_killed = kill(child, SIGKILL) == 0;
    }
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
    uint64_t last = 0;
    EXPECT_GE(got.size(), sizeof last) << "the child said nothing";
    if (got.size() >= sizeof last) std::memcpy(&last, got.data() + got.size() - sizeof last, sizeof last);
    return last;
}

TEST(LocalKill, LosesNothingThatWasAcknowledged) {
    Folder folder;
    uint64_t last = 0;
    for (int round = 1; round <= 4; ++round) {
        uint64_t now = last_before_kill(folder.store(), 60 * round);
        EXPECT_GT(now, last);
        last = now;
        auto store = open_at(folder.store());
        ASSERT_OK(store);
        auto answer = (*store)->ask(Query(versioned(1)).keys({"version"}).bytes(0, 1u << 20));
        ASSERT_OK(answer);
        uint64_t version = std::stoull(answer->keys["version"]);
        EXPECT_GE(version, last);
        EXPECT_LE(version, last + 1);
        EXPECT_TRUE(join(answer->bytes[0]) == content(1, version));
    }
}

}  // namespace
}  // namespace meshfs
