// Who must not be kept waiting hands over what he does before he waits.
//
// A thread that reads requests may carry them out itself, as long as memory answers; before the first wait it lets another
// thread read on.  Whatever may keep a thread for longer says so: CondVar, Clock::sleep_ns, a library's call to a server.
#pragma once

#include <functional>

namespace meshfs {

// While it lives, this thread's first wait calls `hand_over`, which must not wait.  One at a time a thread, the innermost.
class OnWaiting {
public:
    explicit OnWaiting(std::function<void()> hand_over);
    ~OnWaiting();
    OnWaiting(const OnWaiting&) = delete;
    OnWaiting& operator=(const OnWaiting&) = delete;

private:
    friend void before_waiting();
    std::function<void()> hand_over_;  // null: it was called
    OnWaiting* const outer_;
};

void before_waiting();

}  // namespace meshfs
