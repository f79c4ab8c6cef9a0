#include "tools/arguments.h"

#include <algorithm>
#include <cstdio>

#include "fs/base/nearest.h"
#include "tools/commands.h"

namespace meshfs {
namespace {

// "unknown option \"--forse\"; did you mean \"--force\"?"
std::string unknown(const char* kind, const std::string& word, const std::vector<std::string>& known,
                    const std::string& command) {
    std::string near = nearest(word, known);
    return "unknown " + std::string(kind) + " \"" + word + "\"; " +
           (near.empty() ? "`meshfs " + command + " --help` lists them" : "did you mean \"" + near + "\"?");
}

std::vector<std::string> flags_of(const CLI::App& app) {
    std::vector<std::string> names;
    for (const CLI::Option* option : app.get_options()) {
        for (const auto& name : option->get_lnames()) names.push_back("--" + name);
        for (const auto& name : option->get_snames()) names.push_back("-" + name);
    }
    return names;
}

// What CLI11 says of both is that something else is missing.
std::string explain(const CLI::App& app, const std::string& command, const std::string& said, int argc, char** argv) {
    auto subcommands = app.get_subcommands([](const CLI::App*) { return true; });
    std::vector<std::string> names;
    for (const CLI::App* one : subcommands) names.push_back(one->get_name());
    if (!names.empty() && app.get_subcommands().empty() && argc > 1 && argv[1][0] != '-')
        return unknown("subcommand", argv[1], names, command);
    const CLI::App& reader = app.get_subcommands().empty() ? app : *app.get_subcommands().front();
    auto known = flags_of(reader);
    for (int i = 1; i < argc; ++i) {
        std::string word = argv[i];
        std::string flag = word.substr(0, word.find('='));
        bool is_known = std::find(known.begin(), known.end(), flag) != known.end();
        if (flag.starts_with("--") && flag.size() > 2 && !is_known) return unknown("option", flag, known, command);
    }
    return said + "; `meshfs " + command + " --help` has the usage";
}

}  // namespace

std::optional<int> read_arguments(CLI::App& app, const std::string& command, int argc, char** argv, int usage) {
    app.name("meshfs " + command);
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        std::printf("%s", app.help().c_str());
        return 0;
    } catch (const CLI::ParseError& wrong) {
        complain(command, explain(app, command, wrong.what(), argc, argv));
        return usage;
    }
    return std::nullopt;
}

}  // namespace meshfs
