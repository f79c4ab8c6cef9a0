#include "fs/vfs/acl.h"

#include <algorithm>

#include "fs/base/wire.h"

namespace meshfs {
namespace {

constexpr uint32_t kVersion = 2;
constexpr size_t kEntryBytes = 8;

AclEntry* find(Acl& acl, uint16_t tag) {
    auto at = std::find_if(acl.begin(), acl.end(), [&](const AclEntry& e) { return e.tag == tag; });
    return at == acl.end() ? nullptr : &*at;
}

// In the order of acl_valid(3): owner, users, group, groups, mask, other; a mask if anyone is named.
bool is_valid(const Acl& acl) {
    uint16_t expected = AclEntry::user_obj;
    bool needs_mask = false;
    for (const AclEntry& e : acl) {
        if (e.permissions > 7) return false;
        bool fits = false;
        switch (e.tag) {
            case AclEntry::user_obj:
                fits = expected == AclEntry::user_obj;
                expected = AclEntry::user;
                break;
            case AclEntry::user:
                fits = expected == AclEntry::user && e.id != UINT32_MAX;
                needs_mask = true;
                break;
            case AclEntry::group_obj:
                fits = expected == AclEntry::user;
                expected = AclEntry::group;
                break;
            case AclEntry::group:
                fits = expected == AclEntry::group && e.id != UINT32_MAX;
                needs_mask = true;
                break;
            case AclEntry::mask:
                fits = expected == AclEntry::group;
                expected = AclEntry::other;
                break;
            case AclEntry::other:
                fits = expected == AclEntry::other || (expected == AclEntry::group && !needs_mask);
                expected = 0;
                break;
            default: break;
        }
        if (!fits) return false;
    }
    return expected == 0;
}

// Takes from `mode` what the entry does not allow, and from the entry what was not asked for.
uint32_t meet(AclEntry& entry, uint32_t mode, int shift) {
    uint32_t both = entry.permissions & (mode >> shift & 7);
    entry.permissions = static_cast<uint16_t>(both);
    return (mode & ~(7u << shift)) | both << shift;
}

}  // namespace

Result<Acl> parse_acl(std::string_view bytes) {
    Decoder in(bytes);
    uint32_t version = in.u32();
    if (!in.ok()) return fail(EINVAL);
    if (version != kVersion) return fail(EOPNOTSUPP);
    if ((bytes.size() - sizeof(version)) % kEntryBytes != 0) return fail(EINVAL);
    Acl acl;
    while (!in.at_end()) {
        AclEntry e;
        e.tag = in.u16();
        e.permissions = in.u16();
        e.id = in.u32();
        if (e.tag != AclEntry::user && e.tag != AclEntry::group) e.id = UINT32_MAX;
        acl.push_back(e);
    }
    if (!acl.empty() && !is_valid(acl)) return fail(EINVAL);
    return acl;
}

std::string acl_bytes(const Acl& acl) {
    Encoder out;
    out.u32(kVersion);
    for (const AclEntry& e : acl) out.u16(e.tag).u16(e.permissions).u32(e.id);
    return out.take();
}

bool is_equal_to_mode(const Acl& acl) {
    return std::none_of(acl.begin(), acl.end(), [](const AclEntry& e) {
        return e.tag == AclEntry::user || e.tag == AclEntry::group || e.tag == AclEntry::mask;
    });
}

uint32_t mode_of(const Acl& acl) {
    uint32_t mode = 0;
    bool has_mask = false;
    for (const AclEntry& e : acl) {
        if (e.tag == AclEntry::user_obj) mode |= e.permissions << 6;
        if (e.tag == AclEntry::other) mode |= e.permissions;
        if (e.tag == AclEntry::group_obj && !has_mask) mode |= e.permissions << 3;
        if (e.tag == AclEntry::mask) {
            mode = (mode & ~070u) | e.permissions << 3;
            has_mask = true;
        }
    }
    return mode;
}

void set_mode(Acl& acl, uint32_t mode) {
    AclEntry* mask = find(acl, AclEntry::mask);
    AclEntry* group = mask != nullptr ? mask : find(acl, AclEntry::group_obj);
    if (AclEntry* owner = find(acl, AclEntry::user_obj)) owner->permissions = mode >> 6 & 7;
    if (group != nullptr) group->permissions = mode >> 3 & 7;
    if (AclEntry* other = find(acl, AclEntry::other)) other->permissions = mode & 7;
}

Result<Inherited> inherit_acl(const Inode& directory, uint32_t mode, uint32_t umask, bool use_acls) {
    auto has_default = directory.xattrs.find(kDefaultAcl);
    if (S_ISLNK(mode)) return Inherited{mode, {}};
    if (!use_acls || has_default == directory.xattrs.end()) return Inherited{mode & ~(umask & 0777), {}};

    auto parsed = parse_acl(has_default->second);
    if (!parsed) return fail(EIO, "the default ACL of directory " + hex(raw(directory.ino)) + " is damaged");
    Acl acl = std::move(*parsed);
    if (acl.empty()) return Inherited{mode & ~(umask & 0777), {}};
    Inherited child{mode, {}};
    if (S_ISDIR(mode)) child.xattrs[kDefaultAcl] = has_default->second;

    AclEntry* group = find(acl, AclEntry::mask);
    if (group == nullptr) group = find(acl, AclEntry::group_obj);
    child.mode = meet(*find(acl, AclEntry::user_obj), child.mode, 6);
    child.mode = meet(*group, child.mode, 3);
    child.mode = meet(*find(acl, AclEntry::other), child.mode, 0);
    if (!is_equal_to_mode(acl)) child.xattrs[kAccessAcl] = acl_bytes(acl);
    return child;
}

}  // namespace meshfs
