#include "fs/meta/format_volume.h"

#include <map>
#include <string>
#include <vector>

#include "fs/base/wire.h"
#include "fs/meta/format.h"
#include "fs/store/io_batch.h"

namespace meshfs {
namespace {

constexpr Pool kPools[] = {kMetaPool, 1};

bool is_hex(std::string_view text) { return parse_hex(text).ok(); }

// All sessions: "s.<session>" -> its xattrs, whatever they say.
Result<std::map<std::string, std::map<std::string, std::string>>> read_sessions(Store& store) {
    std::vector<std::string> names;
    TRY(store.list(kMetaPool, [&](const std::string& name) -> Status {
        if (name.starts_with("s.") && is_hex(std::string_view(name).substr(2))) names.push_back(name);
        return {};
    }));
    std::map<std::string, std::map<std::string, std::string>> sessions;
    for (const auto& name : names) {
        auto answer = store.ask(std::move(Query({kMetaPool, name}).xattrs()));
        if (answer.code() == ENOENT) continue;
        if (!answer.ok()) return answer.error();
        sessions[name] = std::move(answer->xattrs);
    }
    return sessions;
}

}  // namespace

Status check_nobody_beats(Store& store, Clock& clock, int lease_seconds) {
    if (store.is_exclusive()) return {};  // nobody else can have it open
    auto before = TRY(read_sessions(store));
    if (before.empty()) return {};
    // A mount that could not beat for this long has stopped answering from memory; the next beat it makes fails.
    clock.sleep_ns(lease_seconds * kNsPerSecond / 2);
    auto after = TRY(read_sessions(store));
    for (const auto& [name, xattrs] : after)
        if (!before.contains(name) || before[name] != xattrs)
            return fail(EBUSY, "session " + name + " is alive: unmount it first");
    return {};
}

bool is_meshfs_name(std::string_view name) {
    if (name == "volume" || name == "volume.move") return true;
    auto dot = name.find('.');
    if (dot == name.npos) return false;
    std::string_view kind = name.substr(0, dot), rest = name.substr(dot + 1);
    if (kind == "sessions") return rest.size() <= 2 && rest.find_first_not_of("0123456789") == rest.npos;
    auto second = rest.find('.');
    bool has_two = second != rest.npos;
    bool is_number = has_two ? is_hex(rest.substr(0, second)) && is_hex(rest.substr(second + 1)) : is_hex(rest);
    if (kind.size() != 1 || !is_number) return false;
    if (kind == "i" || kind == "b") return has_two;
    if (kind == "e") return true;
    return !has_two && std::string_view("ghslrkp").find(kind) != std::string_view::npos;
}

Status remove_everything(Store& store, const std::function<void(uint64_t, uint64_t)>& progress) {
    std::vector<ObjectName> doomed;
    for (Pool pool : kPools) {
        auto listed = store.list(pool, [&](const std::string& name) -> Status {
            if (is_meshfs_name(name) && name != "volume") doomed.push_back({pool, name});
            return {};
        });
        if (!listed.ok() && !(pool != kMetaPool && listed.code() == ENOENT)) return listed.error();
    }
    constexpr size_t kStep = 256;
    for (size_t i = 0; i < doomed.size(); i += kStep) {
        IoBatch batch(store);
        for (size_t j = i; j < std::min(i + kStep, doomed.size()); ++j)
            batch.add(std::move(Mutation(doomed[j]).remove()), {ENOENT});
        TRY(batch.wait());
        if (progress) progress(std::min(i + kStep, doomed.size()), doomed.size());
    }
    return {};
}

}  // namespace meshfs
