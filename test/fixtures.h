// What tests stand on: a volume in memory, mounts of it, files by path, and a folder that goes away.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fs/base/mutex.h"
#include "fs/meta/meta.h"
#include "fs/store/fault_store.h"
#include "fs/store/memory_store.h"
#include "fs/store/reconnecting_store.h"
#include "fs/vfs/turn.h"
#include "fs/vfs/vfs.h"

#ifndef ASSERT_OK
#define ASSERT_OK(call)                                      \
    do {                                                     \
        const auto& result_ = (call);                        \
        ASSERT_TRUE(result_.ok()) << result_.error().text(); \
    } while (false)
#endif
#ifndef EXPECT_OK
#define EXPECT_OK(call)                                      \
    do {                                                     \
        const auto& result_ = (call);                        \
        EXPECT_TRUE(result_.ok()) << result_.error().text(); \
    } while (false)
#endif
#ifndef EXPECT_ERRNO
#define EXPECT_ERRNO(call, errno_wanted)                                   \
    do {                                                                   \
        const auto& result_ = (call);                                      \
        EXPECT_STREQ(errno_name(result_.code()), errno_name(errno_wanted)) \
            << (result_.ok() ? std::string("it succeeded") : result_.error().text()); \
    } while (false)
#endif

namespace meshfs::test {

constexpr uint64_t kObject = Layout().object_bytes;  // bytes of an object of a file, unless told

// The value, or the end of the test program: for steps that are not what is tested.
template <class T>
T must(Result<T> result) {
    if (!result.ok()) {
        ADD_FAILURE() << result.error().text();
        std::abort();
    }
    return std::move(result).value();
}
inline void must(Status result) {
    if (result.ok()) return;
    ADD_FAILURE() << result.error().text();
    std::abort();
}

// A folder that goes away with all that is in it.
class TemporaryFolder {
public:
    TemporaryFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "meshfs-test-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr) std::abort();
        path_ = name;
    }
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

// One mount of a volume in memory: store with faults, names, vfs.  Calls are root's unless told.
class Mount {
public:
    // wrap: what else stands around its store.
    using Wrap = std::function<std::unique_ptr<Store>(std::unique_ptr<Store>)>;
    explicit Mount(std::shared_ptr<MemoryCluster> cluster, VfsSettings settings = {}, MetaOptions options = {},
                   const Wrap& wrap = nullptr) {
        auto connect = [this, cluster, wrap]() -> Result<std::unique_ptr<Store>> {
            auto faulty = std::make_unique<FaultStore>(std::make_unique<MemoryStore>(cluster));
            MutexLock lock(killing_);
            if (is_dead) faulty->kill();
            faults = faulty.get();
            return wrap ? wrap(std::move(faulty)) : std::unique_ptr<Store>(std::move(faulty));
        };
        store = std::make_unique<ReconnectingStore>(must(connect()), connect);
        meta = must(Meta::open(*store, Clock::system(), std::move(options)));
        vfs = std::make_unique<Vfs>(*store, *meta, Clock::system(), settings);
    }
    ~Mount() {
        if (vfs && !is_dead) EXPECT_OK(vfs->stop());
        vfs.reset();
        if (meta && !is_dead) EXPECT_OK(meta->close());
        meta.reset();
        store->stop();
    }

    // As SIGKILL does: what has not reached the store never will.  Others find out by its silence.
    void kill() {
        MutexLock lock(killing_);  // it may be beginning anew
        is_dead = true;
        faults->kill();
    }

    // --- the calls of tests, by path where that is shorter
    Result<Attributes> stat(const std::string& path) { return vfs->resolve(root, path); }
    Ino ino(const std::string& path) { return must(stat(path)).inode.ino; }
    // Directory and last part of a path.
    std::pair<Ino, std::string> split(const std::string& path) {
        size_t slash = path.rfind('/');
        return {slash == 0 ? kRootIno : ino(path.substr(0, slash)), path.substr(slash + 1)};
    }
    Result<Attributes> mkdir(const std::string& path, uint32_t mode = 0755) {
        auto [directory, name] = split(path);
        return vfs->mkdir(root, directory, name, mode);
    }
    Status unlink(const std::string& path) {
        auto [directory, name] = split(path);
        return vfs->unlink(root, directory, name);
    }
    Status rmdir(const std::string& path) {
        auto [directory, name] = split(path);
        return vfs->rmdir(root, directory, name);
    }
    Status rename(const std::string& from, const std::string& to, uint32_t flags = 0) {
        auto [directory, name] = split(from);
        auto [to_directory, to_name] = split(to);
        return vfs->rename(root, directory, name, to_directory, to_name, flags);
    }
    Result<OpenedFile> create(const std::string& path, int flags = O_RDWR | O_CREAT, uint32_t mode = 0644) {
        auto [directory, name] = split(path);
        return vfs->create(root, directory, name, mode, flags);
    }
    Result<OpenedFile> open(const std::string& path, int flags = O_RDWR) {
        auto there = stat(path);
        if (!there) return there.error();
        return vfs->open(root, there->inode.ino, flags);
    }
    Result<size_t> write(uint64_t handle, uint64_t offset, std::string_view bytes, bool kill_priv = false) {
        Awaited<size_t> answer;
        vfs->write(handle, offset, Buffer::copy_of(bytes), {.kill_priv = kill_priv}, answer.then());
        return answer.wait();
    }
    Result<std::string> read(uint64_t handle, uint64_t offset, uint64_t length) {
        Awaited<Buffers> answer;
        vfs->read(handle, {offset, length}, answer.then());
        auto bytes = answer.wait();
        if (!bytes) return bytes.error();
        return join(*bytes);
    }
    Status close(uint64_t handle, uint64_t owner = 0) {
        Status told = vfs->flush(handle, owner);
        vfs->release(handle, false);
        return told;
    }
    // A whole file.
    Status write_file(const std::string& path, std::string_view bytes, uint32_t mode = 0644) {
        auto opened = create(path, O_RDWR | O_CREAT, mode);
        if (!opened) return opened.error();
        auto written = write(opened->handle, 0, bytes);
        Status closed = close(opened->handle);
        if (!written) return written.error();
        return closed;
    }
    Result<std::string> read_file(const std::string& path) {
        auto opened = open(path, O_RDONLY);
        if (!opened) return opened.error();
        auto bytes = read(opened->handle, 0, 1u << 30);
        Status closed = close(opened->handle);
        if (!closed) return closed.error();
        return bytes;
    }
    std::vector<std::string> names(const std::string& path, size_t page = 1000) {
        std::vector<std::string> all;
        uint64_t handle = must(vfs->opendir(root, ino(path)));
        for (uint64_t cookie = 0;;) {
            auto entries = must(vfs->readdir(handle, cookie, page, false));
            if (entries.empty()) break;
            for (auto& entry : entries) all.push_back(entry.name);
            cookie = entries.back().cookie;
        }
        vfs->releasedir(handle);
        return all;
    }

    Caller root;
    Mutex killing_;  // around what follows, where another thread may be beginning anew
    bool is_dead = false;
    FaultStore* faults = nullptr;
    std::unique_ptr<Store> store;
    std::unique_ptr<Meta> meta;
    std::unique_ptr<Vfs> vfs;
};

inline Caller user(uint32_t uid, uint32_t gid) {
    Caller caller;
    caller.uid = uid;
    caller.gid = gid;
    caller.check = true;
    return caller;
}

// A fresh volume in memory with one mount.
class VfsTest : public testing::Test {
protected:
    explicit VfsTest(VfsSettings settings = {}, MetaOptions options = {}) : cluster_(std::make_shared<MemoryCluster>()) {
        MemoryStore store(cluster_);
        must(format_volume(store, Clock::system(), {.lease_seconds = 5}));
        store.stop();
        mount_ = std::make_unique<Mount>(cluster_, settings, std::move(options));
    }
    Mount& m() { return *mount_; }
    Vfs& vfs() { return *mount_->vfs; }

    std::shared_ptr<MemoryCluster> cluster_;
    std::unique_ptr<Mount> mount_;
};

}  // namespace meshfs::test
