#include "tools/control.h"

namespace meshfs {
namespace {

using nlohmann::json;

json parse_json(std::string_view line) { return json::parse(line, nullptr, false); }

// A member, or null if it is missing or of another kind.
const json* member(const json& object, const char* name, bool (json::*is_kind)() const noexcept) {
    if (!object.is_object()) return nullptr;
    auto found = object.find(name);
    return found != object.end() && ((*found).*is_kind)() ? &*found : nullptr;
}

uint64_t number(const json& object, const char* name) {
    const json* found = member(object, name, &json::is_number_unsigned);
    return found != nullptr ? found->get<uint64_t>() : 0;
}

std::string text(const json& object, const char* name) {
    const json* found = member(object, name, &json::is_string);
    return found != nullptr ? found->get<std::string>() : "";
}

}  // namespace

std::string text_of(const json& json) { return json.dump(-1, ' ', false, json::error_handler_t::replace); }

Result<ControlRequest> parse_request(std::string_view line) {
    json object = parse_json(line);
    if (!object.is_object()) return fail(EINVAL, "a request is one JSON object on one line");
    ControlRequest request;
    request.command = text(object, "command");
    if (request.command.empty()) return fail(EINVAL, "a request needs \"command\": a text");
    for (auto& [name, value] : object.items()) {
        if (name == "command") continue;
        if (name == "source" || name == "directory") {
            if (!value.is_string()) return fail(EINVAL, "\"" + name + "\" must be a text");
            (name == "source" ? request.source : request.directory) = value.get<std::string>();
            continue;
        }
        if (name != "arguments")
            return fail(EINVAL, "a request has \"command\", \"arguments\", \"source\" and \"directory\", not \"" + name + "\"");
        if (!value.is_object()) return fail(EINVAL, "\"arguments\" must be an object");
        request.arguments = std::move(value);
    }
    return request;
}

std::string line_of(const ControlRequest& request) {
    json object = {{"command", request.command}, {"arguments", request.arguments}};
    if (!request.source.empty()) object["source"] = request.source;
    if (!request.directory.empty()) object["directory"] = request.directory;
    return text_of(object) + "\n";
}

Result<ControlReply> parse_reply(std::string_view line) {
    json object = parse_json(line);
    ControlReply reply;
    if (const json* progress = member(object, "progress", &json::is_object))
        reply.progress = Progress{text(*progress, "what"), number(*progress, "done"), number(*progress, "total")};
    else if (const json* answer = member(object, "answer", &json::is_object))
        reply.answer = *answer;
    else if (const json* error = member(object, "error", &json::is_object)) {
        constexpr uint64_t kErrnoMax = 4095;
        uint64_t code = number(*error, "errno");
        if (code == 0 || code > kErrnoMax) return fail(EPROTO, "the answer's error has no errno");
        reply.answer = fail(static_cast<int>(code), text(*error, "text"));
    } else {
        return fail(EPROTO, "the answer is none of MeshFS");
    }
    return reply;
}

std::string line_of(const Progress& progress) {
    return text_of({{"progress", {{"what", progress.what}, {"done", progress.done}, {"total", progress.total}}}}) + "\n";
}

std::string line_of(const Result<json>& answer) {
    if (answer.ok()) return text_of({{"answer", *answer}}) + "\n";
    const Error& error = answer.error();
    json told = {{"errno", error.code()}, {"name", errno_name(error.code())}, {"text", error.detail()}};
    return text_of({{"error", told}}) + "\n";
}

}  // namespace meshfs
