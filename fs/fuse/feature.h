// What the kernel and libfuse settled on at INIT, for `meshfs info`: each feature on, or off and why.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace meshfs {

struct Features {
    struct Line {
        std::string name;
        bool on = false;
        std::string why;  // if off, or what it is set to
    };
    uint32_t protocol_major = 0, protocol_minor = 0;
    uint32_t max_background = 0, max_write = 0;
    bool killpriv_v2 = false, setxattr_ext = false, direct_io_mmap = false, inc_epoch = false;
    std::vector<Line> lines;

    void add(std::string name, bool on, std::string why_off);
};

}  // namespace meshfs
