#include "fs/base/waiting.h"

#include <utility>

namespace meshfs {
namespace {

thread_local OnWaiting* t_innermost = nullptr;

}  // namespace

OnWaiting::OnWaiting(std::function<void()> hand_over) : hand_over_(std::move(hand_over)), outer_(t_innermost) {
    t_innermost = this;
}

OnWaiting::~OnWaiting() { t_innermost = outer_; }

void before_waiting() {
    if (t_innermost == nullptr || !t_innermost->hand_over_) return;
    std::exchange(t_innermost->hand_over_, nullptr)();
}

}  // namespace meshfs
