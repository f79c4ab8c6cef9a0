#include "fs/store/rados_capacity.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace meshfs {
namespace {

uint64_t number_in(const nlohmann::json& object, const char* name) {
    auto it = object.find(name);
    return it != object.end() && it->is_number_unsigned() ? it->get<uint64_t>() : 0;
}

}  // namespace

Result<Capacity> capacity_from_df(std::string_view text, const std::string& pool) {
    auto json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object() || !json.contains("pools") || !json["pools"].is_array())
        return fail(EIO, "the monitors' answer to df cannot be read");
    for (const auto& entry : json["pools"]) {
        bool is_it = entry.is_object() && entry.contains("name") && entry["name"] == pool &&
                     entry.contains("stats") && entry["stats"].is_object();
        if (!is_it) continue;
        const auto& stats = entry["stats"];
        Capacity capacity{.used = number_in(stats, "stored"),
                          .available = number_in(stats, "max_avail"),
                          .objects = number_in(stats, "objects")};
        uint64_t quota = number_in(stats, "quota_bytes");
        if (quota > 0) capacity.available = std::min(capacity.available, quota - std::min(quota, capacity.used));
        capacity.total = capacity.used + capacity.available;
        return capacity;
    }
    // The manager counts a few seconds behind.
    uint64_t available = json.contains("stats") && json["stats"].is_object() ? number_in(json["stats"], "total_avail_bytes") : 0;
    return Capacity{.total = available, .available = available};
}

}  // namespace meshfs
