// librados' return codes as ours.
#pragma once

#include <string>

#include "fs/base/result.h"

namespace meshfs {

// The errno for a negative return code; 0 for others: success is any code >= 0 (a lone compare gives 1).
int errno_of_rados(int code);

// The same with a sentence where a person will want one; none for what guards and look-ups answer.
// object: as people know it, "g.2a of pool ai".
Error error_of_rados(int code, const std::string& object);

// Codes that callers expect in normal work: no sentence is made for them.
bool is_everyday(int errno_code);

}  // namespace meshfs
