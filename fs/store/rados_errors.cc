#include "fs/store/rados_errors.h"

namespace meshfs {

int errno_of_rados(int code) {
    if (code >= 0) return 0;
    switch (-code) {
        case EPERM: return EACCES;          // the OSD's word for "your capability lacks it"
        case ESHUTDOWN: return ESHUTDOWN;    // Linux' 108 is also Ceph's "blocklisted"
        case EOPNOTSUPP: return EOPNOTSUPP; // omap on an erasure-coded pool
        case ENAMETOOLONG:
        case ERANGE:
        case E2BIG:
        case EFBIG: return EINVAL;          // beyond a limit of this cluster's own
        default: return -code;
    }
}

bool is_everyday(int errno_code) {
    return errno_code == ENOENT || errno_code == EEXIST || errno_code == ECANCELED;
}

Error error_of_rados(int code, const std::string& object) {
    int ours = errno_of_rados(code);
    if (is_everyday(ours)) return fail(ours);
    switch (ours) {
        case EACCES: return fail(ours, "object " + object + ": the key's capabilities do not allow it");
        case ESHUTDOWN: return fail(ours, "object " + object + ": this client has been fenced (blocklisted)");
        case ENOSPC: return fail(ours, "object " + object + ": the pool is full");
        case EDQUOT: return fail(ours, "object " + object + ": the pool's quota is used up");
        case EOPNOTSUPP: return fail(ours, "object " + object + ": its pool cannot do that (erasure-coded?)");
        default: return fail(ours, "object " + object);
    }
}

}  // namespace meshfs
