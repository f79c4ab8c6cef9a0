// What a file is, apart from its names.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fs/base/types.h"

namespace meshfs {

enum InodeFlags : uint32_t {  // FS_IOC_GETFLAGS
    kImmutable = 1, kAppendOnly = 2, kNoDump = 4, kNoAtime = 8,
    kHadLocks = 1u << 16  // not of that: l.<ino> may be there, and goes with the file
};

using Xattrs = std::map<std::string, std::string>;  // all of one inode: at most kXattrsBytesMax

// Not a property of the file.
struct ReadFrom {
    std::optional<GroupId> group;  // it was read from, or made in; none: records of others have a part in it
    std::optional<GroupId> names;  // its name was, if it was found by name: a group with all names of the directory
    bool operator==(const ReadFrom&) const { return true; }
};

struct Inode {
    Ino ino{};
    uint32_t mode = 0;   // type and permissions, as st_mode
    uint32_t uid = 0, gid = 0;
    uint32_t links = 1;  // of a directory: 2 + subdirectories, filled in when read; 0: unlinked
    uint64_t rdev = 0;   // dev_t of a device
    Time atime, mtime, ctime, btime;
    uint32_t flags = 0;            // InodeFlags
    uint64_t content_version = 0;  // rises with published bytes
    uint64_t write_version = 0;    // even: stable; odd: someone may be overwriting in place
    SessionId writer = kNobody;
    FileMap map;                   // files; of a symlink the target is map.inline_bytes
    Xattrs xattrs;                 // user., trusted., security., system.posix_acl_*, with their prefix
    Ino parent{};                  // directories: where it is (root: itself), filled in when read
    uint64_t names = 0;            // directories: how many, filled in when read
    ReadFrom from;

    bool is_directory() const { return S_ISDIR(mode); }
    bool is_file() const { return S_ISREG(mode); }
    bool is_symlink() const { return S_ISLNK(mode); }
    bool operator==(const Inode&) const = default;
};

}  // namespace meshfs
