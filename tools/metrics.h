// What a daemon tells Prometheus, over HTTP on a port or a Unix socket (-o metrics=).
#pragma once

#include <memory>

#include "tools/line_socket.h"
#include "tools/mounted_volume.h"

namespace meshfs {

std::string metrics_of(MountedVolume& mounted);

// Serves GET /metrics until it is destroyed.  Null if `address` is empty.
Result<std::unique_ptr<Listener>> serve_metrics(const std::string& address, MountedVolume& mounted);

}  // namespace meshfs
