// POSIX ACLs: the bytes of system.posix_acl_access and _default, and their dance with the mode.
//
// The rules are those of POSIX 1003.1e draft 17 as Linux has them; see acl(5).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/base/result.h"
#include "fs/meta/inode.h"

namespace meshfs {

inline constexpr const char* kAccessAcl = "system.posix_acl_access";
inline constexpr const char* kDefaultAcl = "system.posix_acl_default";

struct AclEntry {
    enum Tag : uint16_t { user_obj = 1, user = 2, group_obj = 4, group = 8, mask = 16, other = 32 };
    uint16_t tag = 0;
    uint16_t permissions = 0;  // rwx, 0 .. 7
    uint32_t id = UINT32_MAX;  // of user and group
    bool operator==(const AclEntry&) const = default;
};
using Acl = std::vector<AclEntry>;

// Bears anything.  EINVAL: not an ACL, or one acl_valid(3) would refuse; EOPNOTSUPP: another version.
// Bytes of an ACL without entries give an empty one.
Result<Acl> parse_acl(std::string_view bytes);
std::string acl_bytes(const Acl& acl);

// True: says no more than the nine bits of a mode.
bool is_equal_to_mode(const Acl& acl);
// The nine bits the ACL shows as; the group's are the mask, if there is one.
uint32_t mode_of(const Acl& acl);
// chmod: owner, mask (or group) and other are those of `mode`.
void set_mode(Acl& acl, uint32_t mode);

// What a new file gets from the default ACL of its directory.
struct Inherited {
    uint32_t mode = 0;  // permissions as they shall be
    Xattrs xattrs;      // its ACLs
};
// mode: as asked for, with the type, without umask: a default ACL takes the umask's place.
// A damaged default ACL of the directory is EIO.
Result<Inherited> inherit_acl(const Inode& directory, uint32_t mode, uint32_t umask, bool use_acls);

}  // namespace meshfs
