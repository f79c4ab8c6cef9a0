#include "tools/arguments.h"

#include <cstdio>

#include "tools/commands.h"

namespace meshfs {

std::optional<int> read_arguments(CLI::App& app, const std::string& command, int argc, char** argv, int usage) {
    app.name("meshfs " + command);
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        std::printf("%s", app.help().c_str());
        return 0;
    } catch (const CLI::ParseError& wrong) {
        complain(command, std::string(wrong.what()) + "; `meshfs " + command + " --help` has the usage");
        return usage;
    }
    return std::nullopt;
}

}  // namespace meshfs
