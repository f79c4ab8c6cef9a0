// One run of a simulated cluster: several mounts on one store, everything drawn from one seed.
#pragma once

#include <cstdint>
#include <string>

namespace meshfs::sim {

// What is broken on purpose, to see that the simulation finds it.
enum class Planted : uint8_t { nothing, no_key_guards, no_xattr_guards, no_absent_guards, deaf_kernels, late_kernels, unpaid_debts };

struct WorldOptions {
    uint64_t seed = 1;
    Planted planted = Planted::nothing;
};

struct Outcome {
    bool is_good = true;
    bool is_undecided = false;  // the judge gave up: too many orders
    std::string what;           // of a failure: the whole history and the reason
    std::string history;        // always
    uint64_t trace = 0;         // equal for equal runs
    uint64_t store_calls = 0, operations = 0, uncertain = 0, deaths = 0, faults = 0;
    uint64_t nameless = 0;  // groups that gc found without a name
    uint64_t merged = 0;    // ranges, by clients, of directories that are there at the end
    uint64_t kept = 0;      // answers of kernels from memory,
    uint64_t names_kept = 0;  // by a name that they had
    uint64_t owed = 0;      // changes that were put off
    uint64_t seconds_simulated = 0;
};

// Ends the process if the run does not end by itself.
Outcome run_world(const WorldOptions& options);

}  // namespace meshfs::sim
