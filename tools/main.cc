// meshfs <command>; also mount.fuse.meshfs and umount.fuse.meshfs, by the name it is called with.
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>

#include "fs/base/nearest.h"
#include "tools/commands.h"

namespace meshfs {

const std::vector<Command>& commands() {
    static const std::vector<Command> all = {
        {"format", run_format, "make a volume"},
        {"mount", run_mount, "show a volume under a directory"},
        {"umount", run_umount, "store everything, then take a mount away"},
        {"serve", run_serve, "host the plugins of a volume without a mount"},
        {"info", run_info, "tell what a volume is"},
        {"status", run_status, "tell who uses a volume, and how its mount here fares"},
        {"check", run_check, "look at all names and bytes of a volume; repair them"},
        {"gc", run_gc, "remove what nobody needs any more"},
        {"abort", run_abort, "free everybody who waits for a mount, with an error"},
        {"plugin", run_plugin, "list plugins, or the settings of one"},
        {"config", run_config, "check a configuration file"},
    };
    return all;
}

void complain(const std::string& command, const std::string& sentence) {
    std::fprintf(stderr, "meshfs %s: %s\n", command.c_str(), sentence.c_str());
}

void complain(const std::string& command, const Error& error) {
    complain(command, error.code() == EINVAL && !error.detail().empty() ? error.detail() : error.text());
}

namespace {

void print_help() {
    std::printf("usage: meshfs COMMAND [options] ...\n\n");
    for (const Command& command : commands()) std::printf("  %-10s %s\n", command.name, command.summary);
    std::printf("\n`meshfs COMMAND --help` says more; manual: meshfs(1)\n");
}

const Command* find(const std::string& name) {
    for (const Command& command : commands())
        if (name == command.name) return &command;
    return nullptr;
}

int unknown(const std::string& name) {
    std::vector<std::string> known;
    for (const Command& command : commands()) known.push_back(command.name);
    std::string near = nearest(name, known);
    std::string hint = near.empty() ? "`meshfs --help` lists them" : "did you mean \"" + near + "\"?";
    std::fprintf(stderr, "meshfs: unknown command \"%s\"; %s\n", name.c_str(), hint.c_str());
    return kUsage;
}

int run(int argc, char** argv) {
    std::string self = argv[0];
    self = self.substr(self.rfind('/') + 1);
    if (self.starts_with("mount.")) return run_mount(argc, argv);
    if (self.starts_with("umount.")) return run_umount(argc, argv);
    if (argc < 2) {
        print_help();
        return kUsage;
    }
    std::string name = argv[1];
    if (name == "--help" || name == "-h" || name == "help") return print_help(), 0;
    if (name == "--version" || name == "-V") return std::printf("meshfs %s\n", MESHFS_VERSION), 0;
    if (const Command* command = find(name)) return command->run(argc - 1, argv + 1);
    // mount.fuse3 runs `meshfs SOURCE DIR -o ...` where our own helper is not installed.
    if (argc >= 3 && argv[2][0] == '/' && name.find_first_of("/:") != std::string::npos) return run_mount(argc, argv);
    return unknown(name);
}

}  // namespace
}  // namespace meshfs

int main(int argc, char** argv) {
    try {
        return meshfs::run(argc, argv);
    } catch (const nlohmann::json::exception& wrong) {  // of what a daemon has told
        meshfs::complain(argv[1], std::string("the mount's answer is not understood: is it of another version? ") + wrong.what());
        return 1;
    }
}
