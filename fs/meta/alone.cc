#include "fs/meta/alone.h"

#include <algorithm>
#include <utility>

#include "fs/meta/core.h"
#include "fs/meta/registry.h"

namespace meshfs {
namespace {

constexpr size_t kOthersKnownMax = 16'384;
constexpr int64_t kLookAgainMinNs = 60 * kNsPerSecond, kLookAgainMaxNs = 16 * kLookAgainMinNs;

}  // namespace

void Alone::start() {
    thread_ = Thread("alone", [this] { run(); });
}

void Alone::stop() {
    {
        MutexLock lock(mutex_);
        is_ending_ = true;
        ends_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
}

void Alone::run() {
    for (;;) {
        look();
        MutexLock lock(mutex_);
        while (!is_ending_ && ends_.wait_until(mutex_, next_)) {
        }
        if (is_ending_) return;
    }
}

void Alone::look() {
    const int64_t now = core_.clock.boot_ns();
    if (core_.held.is_alone()) {
        next_ = now + kLookAgainMinNs, pause_ = 0;
        return;
    }
    if (now < next_) return;
    const uint64_t heard = core_.held.others_heard();
    if (!is_anybody_there()) core_.held.note_alone(heard);
    pause_ = std::clamp(2 * pause_, kLookAgainMinNs, kLookAgainMaxNs);
    next_ = now + pause_;
}

// One is enough.  What ended or died stays in the registry until it is cleaned up.
bool Alone::is_anybody_there() {
    if (beats_.size() > kOthersKnownMax) beats_.clear();
    bool is_there = false;
    auto looked = for_each_session(core_.store, core_.clock, [&](const SessionInfo& other) {
        if (other.id == core_.session_id() || other.state == "ended" || other.state == "dead") return true;
        auto [known, is_new] = beats_.try_emplace(other.id, other.beat);
        is_there = is_new || std::exchange(known->second, other.beat) != other.beat;
        return !is_there;
    });
    return is_there || !looked.ok();
}

}  // namespace meshfs
