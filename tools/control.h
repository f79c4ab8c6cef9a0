// What is spoken on a mount's control socket: one JSON object a line.
//
//   > {"command": "check", "arguments": {"repair": false}, "source": "/srv/mesh", "directory": "/mnt/mesh"}
//   < {"progress": {"what": "groups read", "done": 12, "total": 40}}       any number of these
//   < {"answer": {...}}        or {"error": {"errno": 16, "name": "EBUSY", "text": "..."}}; then the end
//
// "source" and "directory" say whom it is meant for, and may be left out: the kernel gives a mount's number, after which
// the socket is named, to another mount once it is free, and the daemon that had it may still be there.
//
// Both sides read what they did not write: any bytes are borne (test/fuzz/control.cc).
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "fs/base/result.h"
#include "tools/progress.h"

namespace meshfs {

inline constexpr size_t kRequestMax = 64 << 10;  // bytes of a line to a mount
inline constexpr size_t kReplyMax = 16 << 20;    // bytes of a line from it

struct ControlRequest {
    std::string command;
    nlohmann::json arguments = nlohmann::json::object();
    std::string source{}, directory{};  // empty: whoever listens
};
Result<ControlRequest> parse_request(std::string_view line);  // EINVAL, with a sentence
std::string line_of(const ControlRequest& request);

struct ControlReply {  // one of the two
    std::optional<Progress> progress;
    std::optional<Result<nlohmann::json>> answer;
};
Result<ControlReply> parse_reply(std::string_view line);  // EPROTO
std::string line_of(const Progress& progress);
std::string line_of(const Result<nlohmann::json>& answer);

// Text of JSON; bytes that are no UTF-8 (names of files) become U+FFFD.
std::string text_of(const nlohmann::json& json);

}  // namespace meshfs
