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

Status apply_patiently(Store& store, Clock& clock, const Mutation& mutation) {
    return again_until_said(clock, [&] { return store.apply(mutation); });
}

Result<Answer> ask_patiently(Store& store, Clock& clock, const Query& query) {
    return again_until_said(clock, [&] { return store.ask(query); });
}

}  // namespace meshfs
