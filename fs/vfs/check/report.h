// What a check tells, counts and mends.
#pragma once

#include "fs/vfs/check/scene.h"

namespace meshfs::check {

// Any thread.
class Report {
public:
    explicit Report(const CheckOptions& options) : options_(options) {}
    // Tells each suspect once, and mends it where that is wanted and possible.  True: something was mended, so look
    // again. told: what was told before of the same subject; grows.
    bool settle(const Suspects& suspects, Suspects& told);
    void tell(Finding finding);
    void count(const CheckCounts& more);
    CheckCounts counts();

private:
    const CheckOptions& options_;
    Mutex mutex_;
    CheckCounts counts_ GUARDED_BY(mutex_);
};

}  // namespace meshfs::check
