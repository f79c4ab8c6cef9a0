#include "fs/fuse/mount_point.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace meshfs {
namespace {

// "\040" stands for a space.
std::string unescape(const std::string& text) {
    std::string out;
    auto digit = [&](size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '7'; };
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && digit(i + 1) && digit(i + 2) && digit(i + 3)) {
            out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
            i += 3;
        } else {
            out += text[i];
        }
    }
    return out;
}

}  // namespace

// 36 35 0:57 / /mnt rw,nosuid shared:1 - fuse.meshfs SOURCE rw,user_id=0
std::vector<MountPoint> mount_points() {
    std::vector<MountPoint> found;
    std::ifstream file("/proc/self/mountinfo");
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string id, parent, root, word, type;
        MountPoint point;
        words >> id >> parent >> point.device >> root >> point.directory >> point.options;
        while (words >> word && word != "-") {
        }
        std::string& of_all = point.options_of_all;
        if (!(words >> type >> point.source >> of_all) || type != "fuse.meshfs") continue;
        size_t user = ("," + of_all).find(",user_id=");
        if (user != std::string::npos) point.uid = static_cast<unsigned>(std::strtoul(&of_all[user + 8], nullptr, 10));
        point.directory = unescape(point.directory);
        point.source = unescape(point.source);
        found.push_back(std::move(point));
    }
    return found;
}

std::optional<MountPoint> mount_point_at(const std::string& directory) {
    std::optional<MountPoint> top;
    for (auto& point : mount_points())
        if (point.directory == directory) top = std::move(point);
    return top;
}

Status set_readahead(const std::string& device, uint64_t bytes) {
    std::string path = "/sys/class/bdi/" + device + "/read_ahead_kb";
    std::ofstream file(path);
    file << bytes / 1024 << std::flush;
    if (!file) return fail(EACCES, "cannot write " + path);
    return {};
}

}  // namespace meshfs
