// How far a long work is: a bar on a terminal, plain lines in a log.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "fs/base/result.h"

namespace meshfs {

struct Progress {
    std::string what;         // "objects deleted"
    uint64_t done = 0;
    uint64_t total = 0;       // 0: not known
};
// Called by the work as it goes on, as often as it likes.  An error says that nobody waits for it any more: it shall end.
using TellProgress = std::function<Status(const Progress&)>;

// Shows it on stderr: on a terminal one line that is rewritten, ten times a second at most; elsewhere a line each ten
// seconds, so that a short work says nothing.  One thread.
class ProgressLine {
public:
    explicit ProgressLine(std::string command);  // "format": what a plain line begins with
    ~ProgressLine();                             // leaves the terminal at the start of a line
    void show(const Progress& progress);

private:
    const std::string command_;
    const bool is_terminal_;
    int64_t due_ns_;
    bool is_shown_ = false;
};

std::string bar_of(const Progress& progress, size_t columns);

}  // namespace meshfs
