// What is done to a file before the batch that refers to it: copy, write, sync.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fs/base/buffer.h"
#include "fs/base/result.h"
#include "fs/store/local_files.h"
#include "fs/store/local_sums.h"

namespace meshfs::local {

struct FileEdit {
    enum class Kind : uint8_t { write, zero, truncate };
    Kind kind = Kind::write;
    uint64_t offset = 0;  // truncate: the new size
    uint64_t length = 0;
    Buffer bytes;         // write
    uint64_t end() const { return offset + length; }
};

// From a base (a file, bytes, or nothing) by edits to a file that holds the result, durably.
struct FilePlan {
    uint64_t base_file = 0;          // 0: the base is base_bytes
    uint64_t base_size = 0;          // bytes
    std::string base_bytes;
    bool in_place = false;           // the result is base_file itself
    bool has_older_sums = false;     // in_place and summed: older_sums goes on after base_size
    PageSums older_sums;
    std::vector<FileEdit> edits;
    uint64_t target = 0;             // a free file; unless in_place
};

struct FileResult {
    uint64_t file = 0;
    uint64_t size = 0;               // bytes
    bool is_summed = false;
    std::vector<std::pair<uint32_t, std::string>> sums;  // rows to be written
};

// Blocks.  Any thread; nobody else may have the object's file in hand but readers below base_size.
Result<FileResult> run(Files& files, FilePlan& plan);

}  // namespace meshfs::local
