// Members of packs that nobody maps any more: lines in k.<pack mod 64>, written before the record of what was removed
// goes, so that gc finds packs worth a look without one at every file.
//
// Hints: written twice they say the same, and one that is lost costs room until all of its pack is dead.
#include <map>

#include "fs/base/log.h"
#include "fs/meta/ops/ops.h"
#include "fs/meta/patience.h"

namespace meshfs::ops {

Status note_dead_members(MetaCore& core, const std::vector<Extent>& members) {
    TRY(core.check_may_change());
    std::map<ObjectName, std::vector<Key>> lines;
    for (const Extent& e : members) {
        if (e.kind != Extent::Kind::packed) continue;
        lines[dead_members_object(e.blob)].emplace_back(dead_member_key(e.blob, static_cast<uint32_t>(e.blob_offset)),
                                                        encode(DeadMemberRecord{.length = e.length}));
    }
    for (auto& [object, keys] : lines)
        TRY(apply_patiently(core.store, core.clock, std::move(Mutation(object).set_keys(std::move(keys)))));
    return {};
}

namespace {

using Bytes = std::map<BlobId, uint64_t>;

Status add_dead(MetaCore& core, const ObjectName& object, const std::string& prefix, Bytes& bytes) {
    for (std::string after;;) {
        auto answer = ask_patiently(core.store, core.clock, Query(object).range(after, prefix));
        if (answer.code() == ENOENT) return {};
        if (!answer.ok()) return answer.error();
        for (const auto& [key, value] : answer->ranges.at(0).entries) {
            after = key;
            auto pack = pack_of_dead_member_key(key);
            auto record = decode_dead_member(value);
            if (pack.ok() && record.ok()) bytes[*pack] += record->length;
            else log_warning("a hint of what can be removed cannot be read", {{"object", object.name}, {"key", printable(key)}});
        }
        if (!answer->ranges.at(0).more) return {};
    }
}

std::string prefix_of(BlobId pack) { return dead_member_key(pack, 0).substr(0, 1 + sizeof(uint64_t)); }

}  // namespace

Result<std::vector<Meta::DeadMembers>> dead_members(MetaCore& core) {
    Bytes bytes;
    for (unsigned n = 0; n < kDeadMembersObjects; ++n) TRY(add_dead(core, dead_members_object(BlobId{n}), "p", bytes));
    std::vector<Meta::DeadMembers> packs;
    for (const auto& [pack, dead] : bytes) packs.push_back({pack, dead});
    return packs;
}

Result<uint64_t> dead_bytes(MetaCore& core, BlobId pack) {
    Bytes bytes;
    TRY(add_dead(core, dead_members_object(pack), prefix_of(pack), bytes));
    return bytes[pack];
}

Status forget_dead_members(MetaCore& core, BlobId pack) {
    const ObjectName object = dead_members_object(pack);
    for (;;) {
        auto answer = ask_patiently(core.store, core.clock, Query(object).range("", prefix_of(pack)));
        if (answer.code() == ENOENT || (answer.ok() && answer->ranges.at(0).entries.empty())) return {};
        if (!answer.ok()) return answer.error();
        std::vector<std::string> keys;
        for (const auto& [key, value] : answer->ranges.at(0).entries) keys.push_back(key);
        TRY(apply_patiently(core.store, core.clock, std::move(Mutation(object).remove_keys(keys))));
    }
}

}  // namespace meshfs::ops
