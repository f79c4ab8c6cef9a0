#include "fs/meta/alone.h"

#include <algorithm>

#include "fs/meta/core.h"
#include "fs/meta/registry.h"

namespace meshfs {
namespace {

constexpr int64_t kLookAgainMinNs = 60 * kNsPerSecond, kLookAgainMaxNs = 16 * kLookAgainMinNs;

// What ended or died stays in the registry until it is cleaned up.
Result<bool> is_anybody_there(MetaCore& core) {
    for (const auto& [id, record] : TRY(read_registry(core.store, core.clock)))
        if (id != core.session_id() && TRY(core.session->look_at(id)) == SessionState::alive) return true;
    return false;
}

}  // namespace

void Alone::look(MetaCore& core) {
    const int64_t now = core.clock.boot_ns();
    if (core.options.names != MetaOptions::Names::alone || core.held.is_alone() || now < next_) return;
    auto others = is_anybody_there(core);
    pause_ = std::clamp(2 * pause_, kLookAgainMinNs, kLookAgainMaxNs);
    next_ = now + pause_;
    if (others.ok() && !*others) core.held.set_alone(true);
}

}  // namespace meshfs
