// A lock that may be held over store calls, and waiting for the answer of a call with a callback.
#pragma once

#include <memory>
#include <optional>

#include "fs/base/mutex.h"
#include "fs/base/result.h"
#include "fs/store/store.h"

namespace meshfs {

// One at a time; unlike a Mutex its holder may wait.  Any thread.
class Turn {
public:
    void take() {
        MutexLock lock(mutex_);
        while (taken_) free_.wait(mutex_);
        taken_ = true;
    }
    // False: it was not taken, since there was no need any more; whoever makes it so says look_again().
    template <class Needless>
    bool take_unless(const Needless& is_needless) {
        MutexLock lock(mutex_);
        while (taken_ && !is_needless()) free_.wait(mutex_);
        if (!is_needless()) return taken_ = true;
        free_.notify_one();  // that it is free may have been told to this one alone
        return false;
    }
    void look_again() {
        MutexLock lock(mutex_);
        free_.notify_all();
    }
    bool try_take() {
        MutexLock lock(mutex_);
        if (taken_) return false;
        return taken_ = true;
    }
    void give() {
        MutexLock lock(mutex_);
        taken_ = false;
        free_.notify_one();
    }

private:
    Mutex mutex_;
    CondVar free_;
    bool taken_ GUARDED_BY(mutex_) = false;
};

// Gives back at its end the turn that its maker has taken.
class TurnTaken {
public:
    explicit TurnTaken(Turn& turn) : turn_(turn) {}
    ~TurnTaken() { turn_.give(); }
    TurnTaken(const TurnTaken&) = delete;
    TurnTaken& operator=(const TurnTaken&) = delete;

private:
    Turn& turn_;
};

class MyTurn {
public:
    explicit MyTurn(Turn& turn) : taken_((turn.take(), turn)) {}

private:
    TurnTaken taken_;
};

// Hand then() to a call, wait() for its answer; once each.
template <class T>
class Awaited {
public:
    Then<T> then() {
        return [state = state_](Result<T> result) {
            MutexLock lock(state->mutex);
            state->result.emplace(std::move(result));
            state->done.notify_all();
        };
    }
    Result<T> wait() {
        MutexLock lock(state_->mutex);
        while (!state_->result) state_->done.wait(state_->mutex);
        return std::move(*state_->result);
    }

private:
    struct State {
        Mutex mutex;
        CondVar done;
        std::optional<Result<T>> result GUARDED_BY(mutex);
    };
    std::shared_ptr<State> state_ = std::make_shared<State>();  // this and the callback
};

}  // namespace meshfs
