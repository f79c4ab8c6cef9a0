// The control socket's messages bear any bytes, on both sides; and what is read can be said again.
#include <cstdlib>

#include "tools/control.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace meshfs;
    std::string_view line(reinterpret_cast<const char*>(data), size);
    if (auto request = parse_request(line); request.ok()) {
        std::string said = line_of(*request);
        said.pop_back();
        if (said.find('\n') != said.npos || !parse_request(said).ok()) std::abort();
    }
    if (auto reply = parse_reply(line); reply.ok() && reply->answer) {
        std::string said = line_of(*reply->answer);
        said.pop_back();
        if (said.find('\n') != said.npos || !parse_reply(said).ok()) std::abort();
    }
    return 0;
}
