// gc.
#pragma once

#include <functional>

#include "fs/meta/core.h"

namespace meshfs::ops {

Result<Meta::GcReport> collect(MetaCore& core, const std::function<void(uint64_t groups_done)>& progress);

}  // namespace meshfs::ops
