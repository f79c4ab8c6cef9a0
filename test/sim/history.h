// The judge: is there one order of all operations, each between its question and its answer, in which the
// reference model gives every answer that was given?
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "test/sim/model.h"

namespace meshfs::sim {

struct Judgement {
    enum class Kind : uint8_t { right, wrong, undecided };  // undecided: more than states_max were looked at
    Kind kind = Kind::right;
    uint64_t states = 0;
    // Of the wrong: the longest part that can be explained, the model after it, and what cannot come next.
    std::string explanation;
};

// With the lists of directories that are split taken apart: each name was so at some time of the list, and no more is promised.
std::vector<Operation> with_lists_by_name(const std::vector<Operation>& history);

// The search of Wing and Gong (1993), remembering states as Lowe (2017) does.
Judgement judge(const std::vector<Operation>& history, uint64_t states_max = 300'000);

}  // namespace meshfs::sim
