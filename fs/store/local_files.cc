#include "fs/store/local_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>

#include "fs/base/waiting.h"
#include "fs/base/wire.h"
#include "fs/store/local_directory.h"

namespace meshfs::local {

File::~File() { close(fd); }

Files::Files(std::string folder, std::function<void(int)> synced)
    : folder_(std::move(folder)), synced_(std::move(synced)) {}

std::string Files::path_of(uint64_t number) const { return folder_ + "/" + hex(number >> 12) + "/" + hex(number & 4095); }

Result<FilePtr> Files::open(uint64_t number) {
    {
        MutexLock lock(mutex_);
        auto it = open_.find(number);
        if (it != open_.end()) return it->second;
    }
    int fd = ::open(path_of(number).c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) return fail(errno == ENOENT ? EIO : errno, "cannot open " + path_of(number));
    auto file = std::make_shared<const File>(number, fd);
    MutexLock lock(mutex_);
    if (open_.size() >= kOpenMax) open_.erase(open_.begin());
    return open_.emplace(number, file).first->second;
}

Status Files::sync(const File& file) {
    if (fdatasync(file.fd) != 0) return fail(errno, "cannot sync " + path_of(file.number));
    if (synced_) synced_(file.fd);
    return {};
}

bool Files::has_free() {
    MutexLock lock(mutex_);
    return !free_.empty() || !free_with_blocks_.empty();
}

uint64_t Files::take_free() {
    MutexLock lock(mutex_);
    auto& from = free_with_blocks_.empty() ? free_ : free_with_blocks_;
    uint64_t number = from.front();
    from.pop_front();
    return number;
}

void Files::add_free(uint64_t number) {
    MutexLock lock(mutex_);
    free_.push_back(number);
}

Status Files::make(uint64_t first) {
    std::set<std::string> folders;
    for (uint64_t n = first; n < first + kMadeAtOnce; ++n) {
        std::string folder = folder_ + "/" + hex(n >> 12);
        if (folders.insert(folder).second && mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
            return fail(errno, "cannot make " + folder);
        int fd = ::open(path_of(n).c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0) return fail(errno, "cannot make " + path_of(n));
        close(fd);
    }
    for (const auto& folder : folders) TRY(fsync_directory(folder));
    TRY(fsync_directory(folder_));
    for (uint64_t n = first; n < first + kMadeAtOnce; ++n) add_free(n);
    return {};
}

void Files::retire(uint64_t number) {
    MutexLock lock(mutex_);
    retired_.push_back({number, turn_});
}

std::vector<uint64_t> Files::recycle() {
    std::vector<uint64_t> unlinked;
    while (true) {
        uint64_t number;
        bool is_kept;
        bool keeps_blocks;
        {
            MutexLock lock(mutex_);
            if (retired_.empty()) return unlinked;
            if (!readers_.empty() && *readers_.begin() <= retired_.front().turn) return unlinked;
            number = retired_.front().number;
            retired_.pop_front();
            open_.erase(number);
            is_kept = free_.size() < kFreeMax;
            keeps_blocks = !is_short_of_room_ && free_with_blocks_.size() < kBlocksKeptMax;
        }
        // Open descriptors of writers that failed may still hold it; nobody reads through them any more.
        if (!is_kept) {
            unlink(path_of(number).c_str());
            unlinked.push_back(number);
            continue;
        }
        if (!keeps_blocks) clear_kept_blocks(number);
        MutexLock lock(mutex_);
        (keeps_blocks ? free_with_blocks_ : free_).push_back(number);
    }
}

void Files::set_short_of_room(bool is_short) {
    std::deque<uint64_t> given_back;
    {
        MutexLock lock(mutex_);
        is_short_of_room_ = is_short;
        if (is_short) given_back.swap(free_with_blocks_);
    }
    for (uint64_t number : given_back) clear_kept_blocks(number);
    MutexLock lock(mutex_);
    free_.insert(free_.end(), given_back.begin(), given_back.end());
}

void Files::clear_kept_blocks(uint64_t number) {
    if (truncate(path_of(number).c_str(), 0) != 0) return;  // still rubbish, as what follows takes it to be
}

Files::Reading::Reading(Files& files) : files_(files) {
    MutexLock lock(files_.mutex_);
    turn_ = files_.turn_++;
    files_.readers_.insert(turn_);
}

Files::Reading::~Reading() {
    MutexLock lock(files_.mutex_);
    files_.readers_.erase(files_.readers_.find(turn_));
}

Status read_at(int fd, uint64_t offset, char* out, size_t size) {
    bool may_wait = false;  // for the disk: what lies in memory is read without
    while (size > 0) {
        iovec piece{out, size};
        ssize_t got = preadv2(fd, &piece, 1, static_cast<off_t>(offset), may_wait ? 0 : RWF_NOWAIT);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && !may_wait && (errno == EAGAIN || errno == EOPNOTSUPP)) {
            before_waiting();
            may_wait = true;
            continue;
        }
        if (got < 0) return fail(errno == EIO ? EIO : errno, "cannot read a file of the embedded store");
        if (got == 0) {
            std::memset(out, 0, size);
            return {};
        }
        out += got;
        offset += static_cast<uint64_t>(got);
        size -= static_cast<size_t>(got);
    }
    return {};
}

Status write_at(int fd, uint64_t offset, std::string_view bytes) {
    while (!bytes.empty()) {
        ssize_t put = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return fail(errno, "cannot write a file of the embedded store");
        bytes.remove_prefix(static_cast<size_t>(put));
        offset += static_cast<uint64_t>(put);
    }
    return {};
}

}  // namespace meshfs::local
