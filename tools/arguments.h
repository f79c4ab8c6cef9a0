// Owner of CLI11: how every command reads its arguments.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <optional>
#include <string>

namespace meshfs {

// Nothing if the command shall go on; else its exit status, after the help (0) or one line on stderr (`usage`).
std::optional<int> read_arguments(CLI::App& app, const std::string& command, int argc, char** argv, int usage);

}  // namespace meshfs
