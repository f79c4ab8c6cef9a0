// A mount that was declared dead begins anew: another client of the store, another session, nothing
// remembered.
//
// Whatever is under way ends first, against the old session, which can have no effect any more; then who
// stands on it gives up what was not published, so that nothing of the old session meets the new connection.
#include "fs/base/log.h"
#include "fs/base/wire.h"
#include "fs/meta/core.h"
#include "fs/meta/meta.h"

namespace meshfs {
namespace {

constexpr int64_t kPauseNs = kNsPerSecond;  // between tries
constexpr int64_t kLookNs = 10 * kNsPerMs;
constexpr int64_t kBeatWithinNs = 500 * kNsPerMs;  // a mount that slept knows by then whether it is dead

}  // namespace

struct Meta::Legacy {
    bool had_loss = false;
    std::vector<UnlinkedQueue::Item> unlinked;
};

void Meta::died() {
    MutexLock lock(died_mutex_);
    ++deaths_;
    died_changed_.notify_all();
}

void Meta::on_anew(std::function<void()> lost, std::function<void()> begun) {
    MutexLock lock(anew_mutex_);
    lost_hook_ = std::move(lost);
    begun_hook_ = std::move(begun);
}

Status Meta::begin_anew() {
    MutexLock lock(anew_mutex_);
    const uint64_t deaths = deaths_;
    if (deaths == deaths_over_) return {};
    gate_.close();
    if (core_) {
        if (!legacy_) legacy_ = std::make_shared<Legacy>();
        legacy_->had_loss |= core_->held.give_up();
        for (auto& item : core_->unlinked.take(SIZE_MAX, INT64_MAX))
            legacy_->unlinked.push_back(std::move(item));
        core_->held.promises().break_all();
        core_.reset();
        if (lost_hook_) lost_hook_();
    }
    auto connected = store_.restart();
    if (!connected.ok() && connected.code() != EOPNOTSUPP) return connected;
    auto begun = begin();
    if (!begun.ok()) return !connected.ok() && begun.code() == ESHUTDOWN ? connected : begun;
    if (legacy_->had_loss) core_->held.note_lost();
    for (auto& item : legacy_->unlinked) core_->unlinked.push(std::move(item));
    legacy_.reset();
    core_->rooms.on_wanted(room_wanted_);
    core_->held.promises().on_broken(broken_);
    core_->held.on_due(due_);
    deaths_over_ = deaths;  // unless it is dead by now, too
    gate_.open();
    log_warning("this mount goes on as another session", {{"session", hex(raw(session()))}});
    if (begun_hook_) begun_hook_();
    return {};
}

void Meta::run_anew() {
    for (;;) {
        {
            MutexLock lock(died_mutex_);
            while (!is_dead() && !is_ending_) died_changed_.wait(died_mutex_);
            if (is_ending_) return;
        }
        auto begun = begin_anew();
        if (begun.ok()) continue;
        log_error("this mount could not begin anew", {{"why", begun.error().text()}});
        if (begun.code() == EOPNOTSUPP) return;
        int64_t until = clock_.boot_ns() + kPauseNs;
        MutexLock lock(died_mutex_);
        while (!is_ending_ && died_changed_.wait_until(died_mutex_, until)) {
        }
    }
}

void Meta::stop_anew() {
    {
        MutexLock lock(died_mutex_);
        is_ending_ = true;
        died_changed_.notify_all();
    }
    if (anew_.joinable()) anew_.join();
}

// A mount that slept is out of its window until its first beat, and that says whether another session must
// begin.
void Meta::wait_while_away() const {
    if (is_in_window()) return;
    const int64_t began = clock_.boot_ns();
    while (!is_in_window()) {
        int64_t wait = is_dead() ? volume_.lease_seconds * kNsPerSecond : kBeatWithinNs;
        if (clock_.boot_ns() - began >= wait) return;
        clock_.sleep_ns(kLookNs);
    }
}

}  // namespace meshfs
