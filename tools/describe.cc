#include "tools/describe.h"

#include "tools/mount_options.h"

namespace meshfs {

using nlohmann::json;

json describe_volume(const Source& source, Store& store, const VolumeInfo& volume, const Capacity& capacity) {
    return {{"source", normal_source(source)},
            {"store", store.id().uuid},
            {"uuid", volume.uuid},
            {"format_version", volume.format_version},
            {"created", volume.created.seconds},
            {"lease_seconds", volume.lease_seconds},
            {"data_pool", volume.data_pool},
            {"bytes_total", capacity.total},
            {"bytes_available", capacity.available}};
}

json describe_sessions(Meta& meta) {
    auto sessions = meta.sessions();
    if (!sessions.ok()) return {{"error", sessions.error().text()}};
    json all = json::array();
    for (const SessionInfo& s : *sessions)
        all.push_back({{"id", raw(s.id)}, {"host", s.host}, {"state", s.state}, {"started", s.started.seconds},
                       {"beat", s.beat}, {"intents", s.intents}, {"own", s.own}, {"client", s.client}});
    return all;
}

}  // namespace meshfs
