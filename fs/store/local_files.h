// Files with the bytes of long objects: making them, opening them, using them again.
//
// A file is named by a number and belongs to one header at a time, or to none: then it is free and an `f`
// record says so.  They are made 64 at a time and used again, so that a new object costs no directory update.
// What lies past an object's size in its file is rubbish (a torn tail, an earlier user) and is never shown.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "fs/base/buffer.h"
#include "fs/base/mutex.h"
#include "fs/base/result.h"

namespace meshfs::local {

struct File {
    File(uint64_t number_, int fd_) : number(number_), fd(fd_) {}
    ~File();
    const uint64_t number;
    const int fd;
};
using FilePtr = std::shared_ptr<const File>;  // the cache and who reads or writes it now

// Any thread, but for the calls of the committer.
class Files {
public:
    static constexpr size_t kMadeAtOnce = 64;
    static constexpr size_t kOpenMax = 256;        // descriptors kept
    static constexpr size_t kFreeMax = 1024;       // more free files than that are unlinked
    static constexpr size_t kBlocksKeptMax = 64;   // free files that keep their blocks

    // synced: called with a descriptor after each successful sync (tests look there); may be null.
    Files(std::string folder, std::function<void(int fd)> synced);

    std::string path_of(uint64_t number) const;
    // EIO if it is missing: a header refers to it.
    Result<FilePtr> open(uint64_t number);
    Status sync(const File& file);

    // Committer only.  True: one is free.
    bool has_free();
    uint64_t take_free();
    // Makes files first .. first + 63, empty and durable, and takes them as free.
    Status make(uint64_t first);
    void add_free(uint64_t number);
    // No header refers to it from now on, durably; free as soon as nobody reads what it was.
    void retire(uint64_t number);
    // Retired files whose readers have gone become free.  Those to unlink (too many) are answered: unlinked, their
    // `f` records are still to be removed.
    std::vector<uint64_t> recycle();

    // While the disk is short of room no free file keeps its blocks.
    void set_short_of_room(bool is_short);

    // A reader announces itself before it looks at the header that leads it to a file.
    class Reading {
    public:
        explicit Reading(Files& files);
        ~Reading();
        Reading(const Reading&) = delete;
        Reading& operator=(const Reading&) = delete;

    private:
        Files& files_;
        uint64_t turn_;
    };

private:
    void clear_kept_blocks(uint64_t number);
    const std::string folder_;
    const std::function<void(int)> synced_;
    Mutex mutex_;
    std::unordered_map<uint64_t, FilePtr> open_ GUARDED_BY(mutex_);
    std::deque<uint64_t> free_ GUARDED_BY(mutex_);
    std::deque<uint64_t> free_with_blocks_ GUARDED_BY(mutex_);  // taken first: the next user writes into them
    bool is_short_of_room_ GUARDED_BY(mutex_) = false;
    struct Retired {
        uint64_t number, turn;
    };
    std::deque<Retired> retired_ GUARDED_BY(mutex_);
    std::multiset<uint64_t> readers_ GUARDED_BY(mutex_);
    uint64_t turn_ GUARDED_BY(mutex_) = 1;
};

// All of it or an error; read: zeros past the end of the file.
Status read_at(int fd, uint64_t offset, char* out, size_t size);
Status write_at(int fd, uint64_t offset, std::string_view bytes);

}  // namespace meshfs::local
