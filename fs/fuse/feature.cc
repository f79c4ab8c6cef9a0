#include "fs/fuse/feature.h"

#include <utility>

namespace meshfs {

void Features::add(std::string name, bool on, std::string why_off) {
    lines.push_back({std::move(name), on, on ? std::string() : std::move(why_off)});
}

}  // namespace meshfs
