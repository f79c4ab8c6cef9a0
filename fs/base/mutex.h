// Locks that clang can check, and the one way to wait.
//
// All waiting of fs/ goes through CondVar and Clock, so that a simulation can decide who runs next.
// No Mutex is held over a store call or a wait for another thread's work.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

#if defined(__clang__)
#define MESHFS_TSA(x) __attribute__((x))
#else
#define MESHFS_TSA(x)
#endif
#define CAPABILITY(x) MESHFS_TSA(capability(x))
#define SCOPED_CAPABILITY MESHFS_TSA(scoped_lockable)
#define GUARDED_BY(x) MESHFS_TSA(guarded_by(x))
#define REQUIRES(...) MESHFS_TSA(requires_capability(__VA_ARGS__))
#define ACQUIRE(...) MESHFS_TSA(acquire_capability(__VA_ARGS__))
#define RELEASE(...) MESHFS_TSA(release_capability(__VA_ARGS__))
#define EXCLUDES(...) MESHFS_TSA(locks_excluded(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS MESHFS_TSA(no_thread_safety_analysis)

namespace meshfs {

class CAPABILITY("mutex") Mutex {
public:
    void lock() ACQUIRE() {
        if (!mutex_.try_lock()) lock_contended();
    }
    void unlock() RELEASE() { mutex_.unlock(); }

private:
    friend class CondVar;
    void lock_contended();
    std::mutex mutex_;
};

class SCOPED_CAPABILITY MutexLock {
public:
    explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
    ~MutexLock() RELEASE() { mutex_.unlock(); }
    MutexLock(const MutexLock&) = delete;
    MutexLock& operator=(const MutexLock&) = delete;

private:
    Mutex& mutex_;
};

class CondVar {
public:
    // Waits with `mutex` let go; may return for no reason, so call it in a loop.
    void wait(Mutex& mutex) REQUIRES(mutex);
    // The same, until CLOCK_BOOTTIME reaches `boot_ns`; false: it has.
    bool wait_until(Mutex& mutex, int64_t boot_ns) REQUIRES(mutex);
    void notify_one();
    void notify_all();

private:
    std::condition_variable waiting_;
};

}  // namespace meshfs
