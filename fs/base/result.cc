#include "fs/base/result.h"

#include <algorithm>
#include <cstring>

#include "fs/base/buffer.h"

namespace meshfs {

const char* errno_name(int code) {
    const char* name = strerrorname_np(code);
    return name != nullptr ? name : "E?";
}

// A remedy, which follows "; " in a detail, stays at the end:
// "cannot use /mnt as mount point: No such file or directory (ENOENT); make it: mkdir -p /mnt"
std::string Error::text() const {
    std::string what = std::string(strerror(code_)) + " (" + errno_name(code_) + ")";
    if (detail_.empty()) return what;
    size_t remedy = std::min(detail_.find("; "), detail_.size());
    return detail_.substr(0, remedy) + ": " + what + detail_.substr(remedy);
}

size_t size_of(const Buffers& pieces) {
    size_t size = 0;
    for (const Buffer& piece : pieces) size += piece.size();
    return size;
}

std::string join(const Buffers& pieces) {
    std::string out;
    out.reserve(size_of(pieces));
    for (const Buffer& piece : pieces) out.append(piece.view());
    return out;
}

}  // namespace meshfs
