// What no single directory shows: files with several names, blobs that two files map, the volume's own objects.
#pragma once

#include "fs/vfs/check/report.h"
#include "fs/vfs/check/walk.h"

namespace meshfs::check {

Status check_volume_objects(Scene& scene, Report& report, const CheckOptions& options);
Status check_sessions(Scene& scene, Report& report, const CheckOptions& options);
// Of the walk that was: h.<ino> of each, and then those who looked wrong by another walk.
Status check_across(Scene& scene, Report& report, Walk& walk, const CheckOptions& options);
// Objects that nothing names, from a listing of the pools.
Status check_pools(Scene& scene, Report& report, Walk::Seen& seen, const CheckOptions& options);

// "/a/b", printable; empty: it has no name.
std::string path_of(Scene& scene, Ino ino);

}  // namespace meshfs::check
