// sim --seed N          one run, with its history
// sim --seeds N [--from M] [--jobs J]   N runs; prints the failures and the command that replays the first
// sim --broken WHAT     the same with a kind of guards removed (key, xattr, absent), or kernels that keep what was
//                       promised when it is taken back (kernels), or names for a minute (late), or nothing owed is paid (debts): must fail
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "test/sim/world.h"

namespace meshfs::sim {
namespace {

struct Arguments {
    uint64_t seed = 0;  // 0: many
    uint64_t from = 1, seeds = 200, jobs = 2;
    Planted planted = Planted::nothing;
    bool must_fail = false;
    std::string planted_text;
};

int usage() {
    std::fprintf(stderr,
                 "usage: sim --seed N | --seeds N [--from M] [--jobs J] [--broken key|xattr|absent|kernels|late|debts]\n"
                 "Simulates several mounts on one store.  With --broken it succeeds if a seed fails.\n");
    return 2;
}

bool parse(int argc, char** argv, Arguments& a) {
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) return false;
        std::string option = argv[i], value = argv[i + 1];
        char* end = nullptr;
        uint64_t number = std::strtoull(value.c_str(), &end, 10);
        bool is_number = !value.empty() && *end == 0;
        if (option == "--broken") {
            a.must_fail = true;
            a.planted_text = " --broken " + value;
            if (value == "key") a.planted = Planted::no_key_guards;
            else if (value == "xattr") a.planted = Planted::no_xattr_guards;
            else if (value == "absent") a.planted = Planted::no_absent_guards;
            else if (value == "kernels") a.planted = Planted::deaf_kernels;
            else if (value == "late") a.planted = Planted::late_kernels;
            else if (value == "debts") a.planted = Planted::unpaid_debts;
            else return false;
        } else if (!is_number) {
            return false;
        } else if (option == "--seed") {
            a.seed = number;
        } else if (option == "--seeds") {
            a.seeds = number;
        } else if (option == "--from") {
            a.from = number;
        } else if (option == "--jobs" && number > 0) {
            a.jobs = number;
        } else {
            return false;
        }
    }
    return true;
}

int show_one(const Arguments& a) {
    Outcome outcome = run_world({.seed = a.seed, .planted = a.planted});
    std::printf("%s", outcome.history.c_str());
    std::printf("seed %llu: %llu operations (%llu uncertain), %llu store calls, %llu faults, %llu deaths, %llu s, trace %016llx\n",
                static_cast<unsigned long long>(a.seed), static_cast<unsigned long long>(outcome.operations),
                static_cast<unsigned long long>(outcome.uncertain), static_cast<unsigned long long>(outcome.store_calls),
                static_cast<unsigned long long>(outcome.faults), static_cast<unsigned long long>(outcome.deaths),
                static_cast<unsigned long long>(outcome.seconds_simulated), static_cast<unsigned long long>(outcome.trace));
    if (outcome.is_undecided) std::printf("undecided: too many orders\n");
    if (!outcome.is_good) std::printf("FAILED\n%s", outcome.what.c_str());
    return outcome.is_good ? 0 : 1;
}

struct Totals {
    uint64_t runs = 0, bad = 0, undecided = 0, operations = 0, uncertain = 0, deaths = 0, faults = 0,
             store_calls = 0, nameless = 0, merged = 0, kept = 0, names_kept = 0, owed = 0;
    uint64_t first_bad = UINT64_MAX;
};

// Every tenth seed runs twice and must leave the same trace.
void run_some(const Arguments& a, uint64_t part, Totals& t) {
    for (uint64_t seed = a.from + part; seed < a.from + a.seeds; seed += a.jobs) {
        std::fflush(stdout);
        Outcome outcome = run_world({.seed = seed, .planted = a.planted});
        bool replays = seed % 10 != 0 || run_world({.seed = seed, .planted = a.planted}).trace == outcome.trace;
        ++t.runs;
        t.undecided += outcome.is_undecided;
        t.operations += outcome.operations;
        t.uncertain += outcome.uncertain;
        t.deaths += outcome.deaths;
        t.faults += outcome.faults;
        t.store_calls += outcome.store_calls;
        t.nameless += outcome.nameless;
        t.merged += outcome.merged;
        t.kept += outcome.kept;
        t.names_kept += outcome.names_kept;
        t.owed += outcome.owed;
        if (outcome.is_undecided) std::printf("seed %llu undecided\n", static_cast<unsigned long long>(seed));
        if (outcome.is_good && replays) continue;
        ++t.bad;
        t.first_bad = std::min(t.first_bad, seed);
        if (!a.must_fail || t.bad == 1)
            std::printf("seed %llu %s\n%s", static_cast<unsigned long long>(seed), replays ? "fails" : "does not replay",
                        outcome.what.c_str());
        if (a.must_fail) return;
    }
}

int run_many(const Arguments& a) {
    auto began = std::chrono::steady_clock::now();
    std::vector<std::pair<pid_t, int>> jobs;
    for (uint64_t part = 0; part < a.jobs; ++part) {
        int ends[2];
        if (pipe(ends) != 0) return 1;
        pid_t pid = fork();
        if (pid == 0) {
            close(ends[0]);
            Totals t;
            run_some(a, part, t);
            std::fflush(stdout);
            bool told = write(ends[1], &t, sizeof t) == sizeof t;
            _exit(told ? 0 : 1);
        }
        close(ends[1]);
        jobs.emplace_back(pid, ends[0]);
    }
    Totals sum;
    bool crashed = false;
    for (auto [pid, end] : jobs) {
        Totals t;
        bool told = read(end, &t, sizeof t) == sizeof t;
        int status = 0;
        waitpid(pid, &status, 0);
        close(end);
        if (!told || status != 0) {
            crashed = true;
            continue;
        }
        sum.runs += t.runs, sum.bad += t.bad, sum.undecided += t.undecided, sum.operations += t.operations;
        sum.uncertain += t.uncertain, sum.deaths += t.deaths, sum.faults += t.faults, sum.store_calls += t.store_calls;
        sum.nameless += t.nameless, sum.merged += t.merged, sum.kept += t.kept, sum.names_kept += t.names_kept, sum.owed += t.owed;
        sum.first_bad = std::min(sum.first_bad, t.first_bad);
    }
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    std::printf(
        "%llu seeds, %llu failed, %llu undecided; %llu operations (%llu uncertain), %llu store calls, %llu "
        "faults, "
        "%llu deaths, %llu answers from kernels' memory (%llu by name), %llu changes owed, %llu groups without a name removed, %llu ranges merged; %.0f s\n",
        static_cast<unsigned long long>(sum.runs), static_cast<unsigned long long>(sum.bad),
        static_cast<unsigned long long>(sum.undecided), static_cast<unsigned long long>(sum.operations),
        static_cast<unsigned long long>(sum.uncertain), static_cast<unsigned long long>(sum.store_calls),
        static_cast<unsigned long long>(sum.faults), static_cast<unsigned long long>(sum.deaths),
        static_cast<unsigned long long>(sum.kept), static_cast<unsigned long long>(sum.names_kept),
        static_cast<unsigned long long>(sum.owed),
        static_cast<unsigned long long>(sum.nameless),
        static_cast<unsigned long long>(sum.merged), seconds);
    if (sum.first_bad != UINT64_MAX)
        std::printf("replay: test/sim/sim --seed %llu%s\n", static_cast<unsigned long long>(sum.first_bad), a.planted_text.c_str());
    if (crashed) std::printf("a run ended the process: its last lines name the seed\n");
    bool failed = crashed || sum.bad > 0;
    if (a.must_fail) std::printf(failed ? "found, as it must be\n" : "NOT FOUND\n");
    return failed == a.must_fail ? 0 : 1;
}

}  // namespace
}  // namespace meshfs::sim

int main(int argc, char** argv) {
    meshfs::sim::Arguments arguments;
    if (!meshfs::sim::parse(argc, argv, arguments)) return meshfs::sim::usage();
    return arguments.seed != 0 ? meshfs::sim::show_one(arguments) : meshfs::sim::run_many(arguments);
}
