// The commands of `meshfs`.  Each gets its own name as argv[0], and answers the exit status.
#pragma once

#include <string>
#include <vector>

#include "fs/base/result.h"

namespace meshfs {

// Exit statuses of most commands; those of mount and umount are mount(8)'s, those of check fsck(8)'s.
inline constexpr int kFailed = 1, kUsage = 2;
namespace mount_exit {
inline constexpr int kUsage = 1, kSystem = 2, kFailed = 32;
}
namespace fsck_exit {
inline constexpr int kRepaired = 1, kWrong = 4, kFailed = 8, kUsage = 16, kStopped = 32;  // bits
}

int run_format(int argc, char** argv);
int run_mount(int argc, char** argv);
int run_umount(int argc, char** argv);
int run_serve(int argc, char** argv);
int run_info(int argc, char** argv);
int run_status(int argc, char** argv);
int run_check(int argc, char** argv);
int run_gc(int argc, char** argv);
int run_abort(int argc, char** argv);
int run_plugin(int argc, char** argv);
int run_config(int argc, char** argv);

#ifndef MESHFS_VERSION
#define MESHFS_VERSION "unknown"
#endif

struct Command {
    const char* name;
    int (*run)(int argc, char** argv);
    const char* summary;  // one line for `meshfs --help`
};
const std::vector<Command>& commands();  // main.cc

// One line on stderr: "meshfs mount: ...".  Of EINVAL the sentence says all, the errno adds nothing.
void complain(const std::string& command, const std::string& sentence);
void complain(const std::string& command, const Error& error);

}  // namespace meshfs
