#include "fs/store/rados_calls.h"

#include "fs/base/clock.h"
#include "fs/store/rados_errors.h"

namespace meshfs {

RadosCall::~RadosCall() {
    if (completion_ != nullptr) completion_->release();
}

RadosCalls::RadosCalls(int soft_timeout_seconds)
    : soft_timeout_ns_(soft_timeout_seconds * kNsPerSecond), elsewhere_("rados-refuse", 1, kRefusalsMax),
      deadlines_([this] { watch_deadlines(); }) {}

RadosCalls::~RadosCalls() {
    stop();
    deadlines_.join();
    elsewhere_.stop();
}

bool RadosCalls::enter(const std::shared_ptr<RadosCall>& call, const librados::IoCtx& io) {
    int refusal = 0;
    call->owner_ = this;
    call->io_ = io;
    call->completion_ = librados::Rados::aio_create_completion(call.get(), &RadosCalls::completed);
    {
        MutexLock lock(mutex_);
        size_t count = calls_.size() + late_.size();
        if (stopped_) {
            refusal = ESHUTDOWN;
        } else if (count >= kCallsMax || (count > 0 && bytes_ + call->bytes_ > kBytesInFlightMax)) {
            refusal = EAGAIN;
        } else {
            call->place_ = calls_.insert(calls_.end(), call);
            bytes_ += call->bytes_;
            call->began_ns_ = Clock::system().boot_ns();
            if (soft_timeout_ns_ > 0 && calls_.size() == 1) changed_.notify_all();
        }
    }
    if (refusal != 0) refuse(call, fail(refusal));
    return refusal == 0;
}

void RadosCalls::run_elsewhere(std::function<void()> task) {
    {
        MutexLock lock(mutex_);
        ++telling_;
    }
    auto run = [this, task = std::move(task)]() mutable {
        task();
        task = nullptr;  // what it holds goes before stop() returns
        MutexLock lock(mutex_);
        if (--telling_ == 0) changed_.notify_all();
    };
    if (!elsewhere_.post(run)) run();  // only while this is being destroyed
}

void RadosCalls::refuse(std::shared_ptr<RadosCall> call, Error error) {
    // Claimed here: what completes meanwhile, perhaps because it was cancelled, must not be told that.
    if (call->is_told_.exchange(true)) return;
    run_elsewhere([call = std::move(call), error = std::move(error)] { call->give_up(error); });
}

void RadosCalls::refuse_entered(const std::shared_ptr<RadosCall>& call, int code) {
    run_elsewhere([this, call, code] { end(*call, code); });
}

void RadosCalls::completed(librados::completion_t, void* argument) {
    auto* call = static_cast<RadosCall*>(argument);
    call->owner_->end(*call, call->completion_->get_return_value());
}

// Told first, then forgotten: stop() waits for the forgetting, so nobody is told after it.
void RadosCalls::end(RadosCall& call, int code) {
    if (!call.is_told_.exchange(true)) call.finish(code);
    std::shared_ptr<RadosCall> last;  // ends outside the lock
    MutexLock lock(mutex_);
    last = std::move(*call.place_);
    (call.is_late_ ? late_ : calls_).erase(call.place_);
    bytes_ -= call.bytes_;
    if (stopped_) changed_.notify_all();
}

void RadosCalls::set_soft_timeout(int seconds) {
    MutexLock lock(mutex_);
    soft_timeout_ns_ = seconds * kNsPerSecond;
    changed_.notify_all();
}

void RadosCalls::watch_deadlines() {
    name_this_thread("rados-deadline");
    mutex_.lock();
    while (!stopped_) {
        if (calls_.empty() || soft_timeout_ns_ == 0) {
            changed_.wait(mutex_);
            continue;
        }
        // Not a reference to the call: that would keep its buffer while we sleep.
        int64_t deadline_ns = calls_.front()->began_ns_ + soft_timeout_ns_;
        if (deadline_ns > Clock::system().boot_ns()) {
            changed_.wait_until(mutex_, deadline_ns);
            continue;
        }
        auto first = calls_.front();
        first->is_late_ = true;
        late_.splice(late_.end(), calls_, calls_.begin());
        mutex_.unlock();
        if (!first->is_told_.exchange(true))
            first->give_up(fail(ETIMEDOUT, "no answer from the cluster within the time given by timeo"));
        first.reset();
        mutex_.lock();
    }
    mutex_.unlock();
}

void RadosCalls::stop() {
    std::vector<std::shared_ptr<RadosCall>> left;
    {
        MutexLock lock(mutex_);
        stopped_ = true;
        changed_.notify_all();
        left.assign(calls_.begin(), calls_.end());
        left.insert(left.end(), late_.begin(), late_.end());
    }
    for (const auto& call : left) refuse(call, fail(ETIMEDOUT, "the store was stopped"));
    for (const auto& call : left)
        if (call->can_be_cancelled()) call->io_.aio_cancel(call->completion_);
    cancelled_.insert(cancelled_.end(), left.begin(), left.end());

    auto is_over = [this]() REQUIRES(mutex_) {
        if (telling_ > 0) return false;
        for (const Calls* calls : {&calls_, &late_})
            for (const auto& call : *calls)
                if (call->can_be_cancelled()) return false;
        return true;
    };
    // A cancelled call completes at once.  Should librados ever not know one any more, it has been told all the
    // same, and its memory stays until librados is gone.
    int64_t until_ns = Clock::system().boot_ns() + kCancelSecondsMax * kNsPerSecond;
    MutexLock lock(mutex_);
    while (!is_over() && changed_.wait_until(mutex_, until_ns)) {
    }
}

void RadosCalls::forget_all() {
    Calls calls, late;  // end outside the lock
    std::vector<std::shared_ptr<RadosCall>> cancelled;
    MutexLock lock(mutex_);
    calls.swap(calls_);
    late.swap(late_);
    cancelled.swap(cancelled_);
}

}  // namespace meshfs
