#include "fs/meta/patience.h"

#include <algorithm>

namespace meshfs {
namespace {

template <class Call>
auto again_until_said(Clock& clock, Call call) {
    for (int tries = 1;; ++tries) {
        auto result = call();
        bool again = result.code() == ETIMEDOUT || result.code() == EAGAIN;
        if (!again || tries == kPatientTries) return result;
        clock.sleep_ns(kNsPerMs << std::min(tries, 6));
    }
}

}  // namespace

// What a guard says is of the object as all tries before have left it.  Another error is of its own try alone.
Status apply_patiently(Store& store, Clock& clock, const Mutation& mutation) {
    auto is_of_all = [](int code) {
        return code == 0 || code == ECANCELED || code == EEXIST || code == ENOENT || code == ESHUTDOWN;
    };
    bool is_in_doubt = false;
    return again_until_said(clock, [&]() -> Status {
        auto status = store.apply(mutation);
        is_in_doubt |= status.code() == ETIMEDOUT;
        if (is_in_doubt && !is_of_all(status.code())) return fail(ETIMEDOUT, status.error().detail());
        return status;
    });
}

Result<Answer> ask_patiently(Store& store, Clock& clock, const Query& query) {
    return again_until_said(clock, [&] { return store.ask(query); });
}

}  // namespace meshfs
