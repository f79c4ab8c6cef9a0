#include "fs/base/result.h"

#include <cstring>

#include "fs/base/buffer.h"

namespace meshfs {

const char* errno_name(int code) {
    const char* name = strerrorname_np(code);
    return name != nullptr ? name : "E?";
}

std::string Error::text() const {
    std::string what = std::string(strerror(code_)) + " (" + errno_name(code_) + ")";
    return detail_.empty() ? what : detail_ + ": " + what;
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
