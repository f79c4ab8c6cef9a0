// Checksums of a file's pages, as they stand in rows of `bytes`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fs/base/result.h"
#include "fs/store/local_layout.h"

namespace meshfs::local {

// Of the first size() bytes of a file; grows at the end.  A row before the last full one need not be held.
class PageSums {
public:
    PageSums() = default;
    // Goes on after `size` bytes; last_row is the row that holds the last page (none if size begins a row).
    // EIO if it is too short.
    static Result<PageSums> after(uint64_t size, std::string_view last_row);
    void append(std::string_view bytes);
    uint64_t size() const { return size_; }
    std::vector<std::pair<uint32_t, std::string>> rows() const;  // number, value: those that changed

private:
    uint64_t size_ = 0;
    uint32_t first_row_ = 0;
    std::vector<uint32_t> sums_;  // of the pages from first_row_ on
};

// The row that holds page `page`, and the one a file of `size` bytes goes on in.
constexpr uint32_t row_of_page(uint64_t page) { return static_cast<uint32_t>(page / kPagesPerRow); }

// True: the page's bytes are what was written.  EIO: the row has no such page.
Result<bool> agrees(std::string_view row, uint64_t page, std::string_view bytes);

}  // namespace meshfs::local
