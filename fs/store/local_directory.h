// DIR of the embedded store: what makes it one, whose it is now, and how far it had got.
//
//   FORMAT   "meshfs-local 1\nid UUID\n"; made last, by rename: a DIR without it was never finished
//   LOCK     OFD lock for life; the holder's pid in decimal
//   MARK     u64 RocksDB sequence, u32 CRC-32C of it: synced each second.  Recovering less means that
//            commits were lost in the middle of the log, which RocksDB alone would not tell
//   map/     RocksDB          files/  bytes of long objects
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "fs/base/result.h"

namespace meshfs::local {

class Directory {
public:
    // make: DIR is made (0700) or may be empty; ENOTEMPTY if it holds anything else.  Without: ENOENT if it is
    // not a store.  EBUSY: "in use by process 4711".
    static Result<std::unique_ptr<Directory>> open(const std::string& path, bool make);
    ~Directory();

    const std::string& path() const { return path_; }
    const std::string& uuid() const { return uuid_; }
    std::string map_path() const { return path_ + "/map"; }
    std::string files_path() const { return path_ + "/files"; }

    Result<uint64_t> mark() const;  // 0: none yet.  EIO
    Status set_mark(uint64_t sequence);

private:
    explicit Directory(std::string path) : path_(std::move(path)) {}
    Status lock();
    Status make();
    Status read_format();
    const std::string path_;
    std::string uuid_;
    int lock_ = -1, mark_ = -1;
};

Status fsync_directory(const std::string& path);

}  // namespace meshfs::local
