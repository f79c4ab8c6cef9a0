// What a person may have meant: the word of a list nearest to a wrong one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace meshfs {

// Empty if none is near: about a third of the letters may differ (Levenshtein).
std::string nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace meshfs
