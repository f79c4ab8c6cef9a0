#include "tools/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "fs/base/clock.h"

namespace meshfs {
namespace {

constexpr int64_t kTerminalNs = 100 * kNsPerMs, kLogNs = 10 * kNsPerSecond;

std::string words_of(const Progress& progress) {
    std::string words = progress.what + ": " + std::to_string(progress.done);
    if (progress.total > 0) words += " of " + std::to_string(progress.total);
    return words;
}

size_t columns_of_terminal() {
    winsize size{};
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

// "objects deleted: 512 of 1024 [=========>         ]"
std::string bar_of(const Progress& progress, size_t columns) {
    std::string line = words_of(progress);
    constexpr size_t kBarMax = 40, kBarMin = 10;
    size_t room = columns > line.size() + 4 ? columns - line.size() - 4 : 0;
    if (progress.total > 0 && room >= kBarMin) {
        size_t width = std::min(room, kBarMax);
        double share = std::min(1.0, static_cast<double>(progress.done) / static_cast<double>(progress.total));
        auto full = static_cast<size_t>(share * static_cast<double>(width));
        line += " [" + std::string(full, '=') + (full < width ? ">" : "");
        line += std::string(width - std::min(width, full + 1), ' ') + "]";
    }
    return line.substr(0, columns);
}

ProgressLine::ProgressLine(std::string command)
    : command_(std::move(command)), is_terminal_(isatty(STDERR_FILENO) == 1),
      due_ns_(Clock::system().boot_ns() + (is_terminal_ ? 0 : kLogNs)) {}

ProgressLine::~ProgressLine() {
    if (is_shown_ && is_terminal_) std::fprintf(stderr, "\n");
}

void ProgressLine::show(const Progress& progress) {
    int64_t now = Clock::system().boot_ns();
    bool is_last = is_shown_ && progress.total > 0 && progress.done == progress.total;
    if (now < due_ns_ && !is_last) return;
    due_ns_ = now + (is_terminal_ ? kTerminalNs : kLogNs);
    is_shown_ = true;
    if (is_terminal_) std::fprintf(stderr, "\r\033[K%s", bar_of(progress, columns_of_terminal() - 1).c_str());
    else std::fprintf(stderr, "meshfs %s: %s\n", command_.c_str(), words_of(progress).c_str());
    std::fflush(stderr);
}

}  // namespace meshfs
