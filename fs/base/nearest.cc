#include "fs/base/nearest.h"

#include <algorithm>
#include <numeric>

namespace meshfs {
namespace {

size_t distance(std::string_view a, std::string_view b) {
    std::vector<size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 1; i <= a.size(); ++i) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size(); ++j) {
            size_t replace = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, replace});
        }
    }
    return row[b.size()];
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
    constexpr size_t kWordMax = 64;  // a longer one is no slip of a finger
    if (word.size() > kWordMax) return {};
    std::string best;
    size_t best_distance = (word.size() + 1) / 3 + 1;
    for (const auto& candidate : known) {
        size_t d = distance(word, candidate);
        if (d < best_distance) best = candidate, best_distance = d;
    }
    return best;
}

}  // namespace meshfs
