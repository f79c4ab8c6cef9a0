// The calls under way below librados: how many, until when, and how they end.
//
// Every call is told exactly once: by librados' completion, at its deadline, or by stop().  What it refers to
// (buffers, strings) lives until librados is done with it, which may be later.
// For the rados_*.cc files only: includes librados.
#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <rados/librados.hpp>
#include <thread>
#include <vector>

#include "fs/base/executor.h"
#include "fs/base/mutex.h"
#include "fs/store/store.h"

namespace meshfs {

class RadosCalls;

class RadosCall {
public:
    explicit RadosCall(size_t bytes) : bytes_(bytes) {}
    virtual ~RadosCall();
    RadosCall(const RadosCall&) = delete;
    RadosCall& operator=(const RadosCall&) = delete;

protected:
    // One of them, once, on a thread that must not be held up.
    virtual void finish(int code) = 0;       // librados' return code
    virtual void give_up(const Error& error) = 0;
    // False: aio_cancel cannot end it (notifies).
    virtual bool can_be_cancelled() const { return true; }

private:
    friend class RadosCalls;
    const size_t bytes_;
    std::atomic<bool> is_told_ = false;
    RadosCalls* owner_ = nullptr;
    librados::IoCtx io_;
    librados::AioCompletion* completion_ = nullptr;
    // Guarded by RadosCalls::mutex_:
    std::list<std::shared_ptr<RadosCall>>::iterator place_;
    bool is_late_ = false;
    int64_t began_ns_ = 0;
};

// A call that answers a Result<T>.
template <class T>
class RadosCallOf : public RadosCall {
public:
    RadosCallOf(size_t bytes, Then<T> then) : RadosCall(bytes), then_(std::move(then)) {}

protected:
    // Lets go of `then_` at once: after a timeout the call stays here longer than its caller may.
    void tell(Result<T> result) {
        Then<T> then = std::move(then_);
        then_ = nullptr;
        then(std::move(result));
    }
    void give_up(const Error& error) override { tell(error); }

private:
    Then<T> then_;
};

class RadosCalls {
public:
    explicit RadosCalls(int soft_timeout_seconds);
    ~RadosCalls();                                  // after librados' shutdown

    // send(completion) hands the call to librados and returns its code; not called if the call is refused
    // (ESHUTDOWN, EAGAIN), which is told from another thread.
    template <class Send>
    void start(std::shared_ptr<RadosCall> call, const librados::IoCtx& io, Send send) {
        if (!enter(call, io)) return;
        int code = send(call->completion_);
        if (code < 0) refuse_entered(call, code);
    }
    // Tells `call` an error from another thread; for what never reaches librados.
    void refuse(std::shared_ptr<RadosCall> call, Error error);
    void run_elsewhere(std::function<void()> task);

    // How long a call may take; 0: for ever.  Also for those under way.
    void set_soft_timeout(int seconds);

    bool is_stopped() const { return stopped_; }
    // New calls: ESHUTDOWN.  Those under way: ETIMEDOUT.  Returns when no call will be told any more.
    void stop();
    // After librados' shutdown: frees what it may have referred to until then.
    void forget_all();

private:
    static constexpr size_t kRefusalsMax = 4 * kCallsMax;  // queued; then start() waits
    static constexpr int64_t kCancelSecondsMax = 10;
    using Calls = std::list<std::shared_ptr<RadosCall>>;

    bool enter(const std::shared_ptr<RadosCall>& call, const librados::IoCtx& io);
    void refuse_entered(const std::shared_ptr<RadosCall>& call, int code);
    static void completed(librados::completion_t, void* call);
    void end(RadosCall& call, int code);
    void watch_deadlines();

    std::atomic<bool> stopped_ = false;
    Mutex mutex_;
    CondVar changed_;
    int64_t soft_timeout_ns_ GUARDED_BY(mutex_);
    Calls calls_ GUARDED_BY(mutex_);  // in order of start, so of deadline
    Calls late_ GUARDED_BY(mutex_);   // told ETIMEDOUT, still below
    size_t bytes_ GUARDED_BY(mutex_) = 0;
    size_t telling_ GUARDED_BY(mutex_) = 0;  // tasks of elsewhere_ that have not ended
    std::vector<std::shared_ptr<RadosCall>> cancelled_;  // of stop(): librados may still read their buffers
    Executor elsewhere_;
    std::thread deadlines_;
};

}  // namespace meshfs
