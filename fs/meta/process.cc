#include "fs/meta/process.h"

#include <csignal>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

namespace meshfs {
namespace {

std::string read_boot_id() {
    std::string id;
    std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), id);
    return id;
}

uint64_t read_pid_namespace() {
    struct stat st {};
    return stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
}

// In clock ticks since boot; 0: not told.  Field 22; the second, the name in parentheses, may have anything in it.
uint64_t read_start(uint32_t pid) {
    std::string line;
    std::getline(std::ifstream("/proc/" + std::to_string(pid) + "/stat"), line);
    auto name_end = line.rfind(')');
    if (name_end == line.npos) return 0;
    std::istringstream fields(line.substr(name_end + 1));
    std::string field;
    for (int i = 3; i <= 22; ++i) fields >> field;
    return fields ? std::strtoull(field.c_str(), nullptr, 10) : 0;
}

}  // namespace

void describe_this_process(SessionRecord& record) {
    record.boot_id = read_boot_id();
    record.pid_namespace = read_pid_namespace();
    record.pid = static_cast<uint32_t>(getpid());
    record.process_started = read_start(record.pid);
}

bool is_process_gone(const SessionRecord& record) {
    bool is_here = !record.boot_id.empty() && record.boot_id == read_boot_id() && record.pid_namespace != 0 &&
                   record.pid_namespace == read_pid_namespace() && record.pid != 0 && record.process_started != 0;
    if (!is_here) return false;
    if (kill(static_cast<pid_t>(record.pid), 0) != 0 && errno == ESRCH) return true;
    uint64_t start = read_start(record.pid);
    return start != 0 && start != record.process_started;  // its number is another's now
}

}  // namespace meshfs
