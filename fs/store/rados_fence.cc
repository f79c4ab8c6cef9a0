// Blocklisting alone is not enough: the monitors answer when the new map exists, and an OSD that has not got it
// yet still takes what the fenced client sends.  But no OSD serves an operation sent under a newer map before
// it has that map, so one answer of each placement group, asked with the new map, proves that it is known there.
#include "fs/store/rados_fence.h"

#include <charconv>

#include "fs/base/waiting.h"
#include "fs/store/rados_errors.h"

namespace meshfs {
namespace {

constexpr uint32_t kFenceSeconds = 7 * 24 * 3600;  // longer than any mount stays frozen unnoticed
constexpr size_t kAskedAtOnce = 256;
constexpr uint32_t kGroupsMax = 1u << 20;  // of a pool; an answer beyond is damage

// What `ceph osd pool get POOL pg_num` says: "pg_num: 16".
Result<uint32_t> count_groups(RadosLink& link, const RadosPool& pool) {
    ceph::bufferlist none, answer;
    std::string why;
    std::string name;
    for (char c : librados::IoCtx(pool.io).get_pool_name()) {
        if (c == '"' || c == '\\') name += '\\';
        name += c;
    }
    const std::string command = R"({"prefix": "osd pool get", "pool": ")" + name + R"(", "var": "pg_num"})";
    before_waiting();
    int code = link.rados().mon_command(command, none, &answer, &why);
    if (code < 0) return error_of_rados(code, "pool " + pool.name);
    const std::string text = answer.to_str();
    size_t digits = text.find_first_of("0123456789");
    uint32_t count = 0;
    if (digits != std::string::npos) std::from_chars(text.data() + digits, text.data() + text.size(), count);
    if (count == 0 || count > kGroupsMax) return fail(EIO, "the monitors' answer about pool " + pool.name);
    return count;
}

// One object name in each placement group.
Result<std::vector<std::string>> name_in_each_group(const RadosPool& pool, uint32_t groups) {
    librados::IoCtx io = pool.io;
    std::vector<std::string> names(groups);
    uint32_t found = 0;
    // By chance each group is hit within groups * ln(groups) names; ten times that is never needed.
    for (uint64_t i = 0; found < groups && i < uint64_t{groups} * 200 + 1000; ++i) {
        std::string name = "probe." + std::to_string(i);
        uint32_t group = 0;
        if (io.get_object_pg_hash_position2(name, &group) < 0) return fail(EIO, "placement in pool " + pool.name);
        if (group >= groups || !names[group].empty()) continue;
        names[group] = std::move(name);
        ++found;
    }
    if (found < groups) return fail(EIO, "cannot name each placement group of pool " + pool.name);
    return names;
}

// Waits for an answer of each; that there is no such object is one.
Status hear_from_each(RadosLink& link, const RadosPool& pool, const std::vector<std::string>& names) {
    librados::IoCtx io = pool.io;
    for (size_t first = 0; first < names.size(); first += kAskedAtOnce) {
        if (link.calls().is_stopped()) return fail(ESHUTDOWN);
        size_t last = std::min(first + kAskedAtOnce, names.size());
        std::vector<librados::AioCompletion*> completions;
        std::vector<librados::ObjectReadOperation> operations(last - first);
        for (size_t i = first; i < last; ++i) {
            operations[i - first].assert_exists();
            completions.push_back(librados::Rados::aio_create_completion());
            io.aio_operate(names[i], completions.back(), &operations[i - first], nullptr);
        }
        int worst = 0;
        for (auto* completion : completions) {
            completion->wait_for_complete();
            int code = completion->get_return_value();
            if (code != -ENOENT) worst = std::min(worst, code);
            completion->release();
        }
        if (worst < 0) return error_of_rados(worst, "pool " + pool.name);
    }
    return {};
}

}  // namespace

Status fence_rados_client(RadosLink& link, const ClientId& client) {
    before_waiting();
    int code = link.rados().blocklist_add(client, kFenceSeconds);
    if (errno_of_rados(code) == EACCES)
        return fail(EACCES, "cannot fence " + client +
                                ": the key needs the monitors' capability \"profile rbd\" for it");
    if (code < 0) return error_of_rados(code, "fence of " + client);
    code = link.rados().wait_for_latest_osdmap();
    if (code < 0) return error_of_rados(code, "fence of " + client);
    for (const auto& pool : link.distinct_pools()) {
        uint32_t groups = TRY(count_groups(link, *pool));
        TRY(hear_from_each(link, *pool, TRY(name_in_each_group(*pool, groups))));
    }
    return {};
}

}  // namespace meshfs
