#include "fs/data/ranges.h"

#include <gtest/gtest.h>

#include <random>

namespace meshfs {
namespace {

TEST(RangeSet, AgreesWithOneFlagAByte) {
    std::mt19937 random(1);
    auto below = [&](uint64_t n) { return std::uniform_int_distribution<uint64_t>(0, n - 1)(random); };
    RangeSet set;
    std::vector<bool> model(100);
    for (int step = 0; step < 5000; ++step) {
        ByteRange range{below(100), 0};
        range.length = below(100 - range.offset + 1) / (1 + below(8));
        bool adds = below(2) == 0;
        adds ? set.add(range) : set.drop(range);
        std::fill_n(model.begin() + static_cast<long>(range.offset), range.length, adds);
        std::vector<bool> seen(100);
        uint64_t next = 0;  // none begins below
        for (const ByteRange& r : set.all()) {
            ASSERT_GT(r.length, 0u);
            ASSERT_GE(r.offset, next) << "ranges that touch are one";
            next = r.end() + 1;
            std::fill_n(seen.begin() + static_cast<long>(r.offset), r.length, true);
        }
        ASSERT_EQ(seen, model) << "step " << step;
    }
    set.add({5, UINT64_MAX - 5});
    set.drop({7, UINT64_MAX - 7});
    EXPECT_EQ(set.all().back().end(), 7u);
}

}  // namespace
}  // namespace meshfs
