#include "fs/store/lossy_disk.h"

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

namespace meshfs {
namespace {

namespace fs = std::filesystem;
constexpr size_t kDiskPage = 4096;

std::string contents(const std::string& path, size_t from = 0) {
    std::ifstream in(path, std::ios::binary);
    in.seekg(static_cast<std::streamoff>(from));
    return {std::istreambuf_iterator<char>(in), {}};
}

void put_contents(const std::string& path, const std::string& bytes) {
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

}  // namespace

class LossyFile final : public rocksdb::FSWritableFileOwnerWrapper {
public:
    LossyFile(std::unique_ptr<rocksdb::FSWritableFile> file, LossyDisk& disk, std::string path)
        : FSWritableFileOwnerWrapper(std::move(file)), disk_(disk), path_(std::move(path)) {}
    rocksdb::IOStatus Sync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* context) override {
        auto status = FSWritableFileOwnerWrapper::Sync(options, context);
        if (status.ok()) disk_.synced(path_);
        return status;
    }
    rocksdb::IOStatus Fsync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* context) override {
        auto status = FSWritableFileOwnerWrapper::Fsync(options, context);
        if (status.ok()) disk_.synced(path_);
        return status;
    }

private:
    LossyDisk& disk_;
    const std::string path_;
};

class LossyDisk::Disk final : public rocksdb::FileSystemWrapper {
public:
    explicit Disk(LossyDisk& disk) : FileSystemWrapper(rocksdb::FileSystem::Default()), disk_(disk) {}
    const char* Name() const override { return "LossyDisk"; }

    using File = std::unique_ptr<rocksdb::FSWritableFile>;
    rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options, File* file,
                                      rocksdb::IODebugContext* context) override {
        auto status = target()->NewWritableFile(path, options, file, context);
        if (status.ok()) *file = std::make_unique<LossyFile>(std::move(*file), disk_, path);
        return status;
    }
    rocksdb::IOStatus ReopenWritableFile(const std::string& path, const rocksdb::FileOptions& options, File* file,
                                         rocksdb::IODebugContext* context) override {
        auto status = target()->ReopenWritableFile(path, options, file, context);
        if (status.ok()) *file = std::make_unique<LossyFile>(std::move(*file), disk_, path);
        return status;
    }
    rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to, const rocksdb::IOOptions& options,
                                 rocksdb::IODebugContext* context) override {
        MutexLock lock(disk_.mutex_);
        auto status = target()->RenameFile(from, to, options, context);
        if (status.ok() && !disk_.is_cut_) {
            auto moved = disk_.durable_.extract(from);
            disk_.durable_.erase(to);
            if (moved) moved.key() = to, disk_.durable_.insert(std::move(moved));
        }
        return status;
    }
    rocksdb::IOStatus DeleteFile(const std::string& path, const rocksdb::IOOptions& options,
                                 rocksdb::IODebugContext* context) override {
        MutexLock lock(disk_.mutex_);
        auto status = target()->DeleteFile(path, options, context);
        if (status.ok() && !disk_.is_cut_) disk_.durable_.erase(path);
        return status;
    }

private:
    LossyDisk& disk_;
};

LossyDisk::LossyDisk(std::string store_path) : path_(std::move(store_path)) {
    // What an earlier life left is on the disk.
    if (fs::exists(path_))
        for (const auto& entry : fs::recursive_directory_iterator(path_))
            if (entry.is_regular_file()) durable_[entry.path()] = contents(entry.path());
    env_ = rocksdb::NewCompositeEnv(std::make_shared<Disk>(*this));
}

LossyDisk::~LossyDisk() = default;

local::DiskParts LossyDisk::parts() {
    local::DiskParts parts;
    parts.env = env_.get();
    parts.synced = [this](int fd) {
        char path[4096];
        ssize_t size = readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path, sizeof path);
        if (size > 0) synced({path, static_cast<size_t>(size)});
    };
    return parts;
}

void LossyDisk::synced(const std::string& path) {
    MutexLock lock(mutex_);
    if (is_cut_) return;
    // RocksDB only appends; the store's own files are written inside.
    std::string& bytes = durable_[path];
    if (!path.starts_with(path_ + "/map/")) bytes.clear();
    bytes += contents(path, bytes.size());
}

void LossyDisk::cut() {
    MutexLock lock(mutex_);
    // First the mark: it may be older than the rest, not newer.
    mark_ = contents(path_ + "/MARK");
    is_cut_ = true;
    for (const auto& entry : fs::recursive_directory_iterator(path_))
        if (entry.is_regular_file()) written_[entry.path()] = contents(entry.path());
}

void LossyDisk::restore(uint64_t seed) {
    MutexLock lock(mutex_);
    std::mt19937_64 random(seed);
    for (const char* folder : {"/map", "/files"}) {
        std::string top = path_ + folder;
        fs::remove_all(top);
        fs::create_directories(top);
        auto is_below = [&](const std::string& path) { return path.starts_with(top + "/"); };
        for (auto& [path, bytes] : written_) {
            if (!is_below(path)) continue;
            std::string kept = durable_[path];
            for (size_t at = 0; at < bytes.size(); at += kDiskPage) {
                if (random() % 2 == 0) continue;
                size_t size = std::min(kDiskPage, bytes.size() - at);
                if (kept.size() < at + size) kept.resize(at + size, '\0');
                kept.replace(at, size, bytes, at, size);
            }
            put_contents(path, kept);
        }
    }
    put_contents(path_ + "/MARK", mark_);
}

}  // namespace meshfs
