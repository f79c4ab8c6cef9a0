#include "fs/vfs/lock_waits.h"

#include <algorithm>

namespace meshfs {

void LockWaits::wait(uint64_t ticket, Ino ino, const FileLock& wanted, Then<void> done) {
    auto wait = std::make_shared<Wait>(Wait{ticket, ino, wanted, std::move(done), {}});
    bool must_watch = false;
    {
        MutexLock lock(mutex_);
        waits_.push_back(wait);
        wait->is_tried = true;
        must_watch = watch_ != nullptr && !std::exchange(watched_[raw(ino)], true);
    }
    bool posted = workers_.post([this, wait, must_watch] {
        if (must_watch) watch_(wait->ino, [this, ino = wait->ino] { try_again(ino); });
        attempt(wait);
    });
    if (posted) return;
    {
        MutexLock lock(mutex_);
        std::erase(waits_, wait);
    }
    wait->done(fail(EINTR));
}

// One at a time for each wait; who comes meanwhile has it tried once more.
void LockWaits::attempt(const std::shared_ptr<Wait>& wait) {
    while (true) {
        FileLock conflict;
        Status result = attempt_(wait->ino, wait->wanted, &conflict);
        {
            MutexLock lock(mutex_);
            if (!result && result.code() == EAGAIN) {
                wait->blocked_by = conflict;
                if (wait->is_cancelled) {
                    result = fail(EINTR);
                } else if (closes_a_circle(*wait)) {
                    result = fail(EDEADLK);
                } else if (std::exchange(wait->again, false)) {
                    continue;
                } else {
                    wait->is_tried = false;
                    return;
                }
            }
            std::erase(waits_, wait);
        }
        wait->done(result);
        return;
    }
}

// Whether the holder waits, over others, for the one who wants: fcntl(2) promises EDEADLK for POSIX locks.
bool LockWaits::closes_a_circle(const Wait& wait) {
    if (wait.wanted.family != FileLock::Family::posix) return false;
    FileLock holder = wait.blocked_by;
    for (size_t steps = 0; steps <= waits_.size(); ++steps) {
        if (holder.owner == wait.wanted.owner && holder.session == wait.wanted.session) return true;
        auto next = std::find_if(waits_.begin(), waits_.end(), [&](const auto& w) {
            return w.get() != &wait && w->wanted.family == FileLock::Family::posix && !w->is_tried &&
                   w->wanted.owner == holder.owner && w->wanted.session == holder.session;
        });
        if (next == waits_.end()) return false;
        holder = (*next)->blocked_by;
    }
    return false;
}

void LockWaits::cancel(uint64_t ticket) {
    std::shared_ptr<Wait> wait;
    {
        MutexLock lock(mutex_);
        auto at = std::find_if(waits_.begin(), waits_.end(), [&](const auto& w) { return w->ticket == ticket; });
        if (at == waits_.end()) return;
        if ((*at)->is_tried) {  // its attempt answers: a lock that was got is got
            (*at)->is_cancelled = true;
            return;
        }
        wait = *at;
        waits_.erase(at);
    }
    wait->done(fail(EINTR));
}

void LockWaits::try_again(Ino ino) {
    std::vector<std::shared_ptr<Wait>> ready;
    {
        MutexLock lock(mutex_);
        for (auto& wait : waits_) {
            if (wait->ino != ino) continue;
            if (wait->is_tried) wait->again = true;
            else wait->is_tried = true, ready.push_back(wait);
        }
    }
    for (auto& wait : ready) {
        if (workers_.try_post([this, wait] { attempt(wait); })) continue;
        MutexLock lock(mutex_);
        wait->is_tried = false;  // try_all_again comes by
    }
}

void LockWaits::begin_anew() {
    MutexLock lock(mutex_);
    watched_.clear();
}

void LockWaits::try_all_again() {
    std::vector<Ino> files;
    {
        MutexLock lock(mutex_);
        for (auto& wait : waits_)
            if (std::find(files.begin(), files.end(), wait->ino) == files.end()) files.push_back(wait->ino);
    }
    for (Ino ino : files) try_again(ino);
}

void LockWaits::stop() {
    std::vector<std::shared_ptr<Wait>> ended;
    {
        MutexLock lock(mutex_);
        for (auto& wait : waits_) {
            if (wait->is_tried) wait->is_cancelled = true;
            else ended.push_back(wait);
        }
        std::erase_if(waits_, [](const auto& w) { return !w->is_tried; });
    }
    for (auto& wait : ended) wait->done(fail(EINTR));
}

}  // namespace meshfs
