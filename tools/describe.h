// A volume and its sessions as JSON: the same from a mount and from the store itself.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "fs/meta/meta.h"
#include "fs/store/source.h"

namespace meshfs {

nlohmann::json describe_volume(const Source& source, Store& store, const VolumeInfo& volume, const Capacity& capacity);
nlohmann::json describe_sessions(Meta& meta);  // or {"error": "..."}

}  // namespace meshfs
