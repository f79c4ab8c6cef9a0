#include "fs/store/local_sums.h"

#include <algorithm>

#include "fs/base/crc32c.h"
#include "fs/base/wire.h"

namespace meshfs::local {
namespace {

Result<uint32_t> sum_at(std::string_view row, uint64_t index) {
    if (row.size() % 4 != 0 || index >= row.size() / 4) return fail(EIO, "damaged checksums");
    return Decoder(row.substr(index * 4, 4)).u32();
}

}  // namespace

Result<PageSums> PageSums::after(uint64_t size, std::string_view last_row) {
    PageSums sums;
    sums.size_ = size;
    sums.first_row_ = row_of_page(size / kPage);
    uint64_t pages = (size + kPage - 1) / kPage - uint64_t{sums.first_row_} * kPagesPerRow;
    for (uint64_t i = 0; i < pages; ++i) sums.sums_.push_back(TRY(sum_at(last_row, i)));
    return sums;
}

void PageSums::append(std::string_view bytes) {
    while (!bytes.empty()) {
        size_t room = kPage - size_ % kPage;
        auto part = bytes.substr(0, std::min(room, bytes.size()));
        if (room == kPage) sums_.push_back(crc32c(part));
        else sums_.back() = crc32c(part, sums_.back());
        size_ += part.size();
        bytes.remove_prefix(part.size());
    }
}

std::vector<std::pair<uint32_t, std::string>> PageSums::rows() const {
    std::vector<std::pair<uint32_t, std::string>> out;
    for (size_t i = 0; i < sums_.size(); ++i) {
        if (i % kPagesPerRow == 0) out.emplace_back(first_row_ + static_cast<uint32_t>(i / kPagesPerRow), std::string());
        out.back().second += Encoder().u32(sums_[i]).data();
    }
    return out;
}

Result<bool> agrees(std::string_view row, uint64_t page, std::string_view bytes) {
    return TRY(sum_at(row, page % kPagesPerRow)) == crc32c(bytes);
}

}  // namespace meshfs::local
