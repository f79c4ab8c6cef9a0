// Store calls whose answers may be lost, for what bears repetition.
#pragma once

#include "fs/base/clock.h"
#include "fs/store/store.h"

namespace meshfs {

inline constexpr int kPatientTries = 16;

// Asked again, with pauses up to 64 ms, until the store says.  ETIMEDOUT: it did not 16 times; a mutation may have happened, or
// may yet, as long as one try was not heard of, whatever error the later ones met.
Status apply_patiently(Store& store, Clock& clock, const Mutation& mutation);
Result<Answer> ask_patiently(Store& store, Clock& clock, const Query& query);

}  // namespace meshfs
