// Where the inode of a number is now, and reading it there.
//
// A number is the place of the file's first name.  u<ino> is there, or i<slot> leads to the name or to another slot; if
// it left that place, or the group is gone, the away record leads to another group, with the name or u<ino>, or to
// h.<ino>.
#pragma once

#include "fs/meta/group.h"

namespace meshfs::ops {

struct Home {
    enum class Kind : uint8_t { dentry, header, linked, unlinked };
    Kind kind = Kind::dentry;
    ObjectName object;
    std::string key;         // of the record with the inode
    GroupId group{};         // dentry: of that object
    Ino directory{};         // dentry, and linked if the number's first name is still there
    std::string name;        // the same
};

// The home by the hint alone, unchecked.
std::optional<Home> guess_home(MetaCore& core, Ino ino);
// By the number, in 2 reads for what never moved.  ESTALE: it leads nowhere.
Result<Home> find_home(MetaCore& core, Ino ino);
// The inode in that record.  ENOENT: it is not (or no longer) there; look again.
Result<Inode> inode_at(const Home& home, Ino ino, const GroupView& view);
Result<Dentry> dentry_at(const Home& home, Ino ino, const GroupView& view);  // if a dentry is its home

// A record in this mount's copy of a group that it has for itself.  None: ask, also where something is wrong with it.
template <class Record>
std::optional<Record> known(const Mirror& copy, Result<Record> (*decode)(std::string_view), const std::string& key) {
    auto value = copy.value(key);
    if (!value || *value == nullptr) return {};
    auto record = decode(**value);
    return record.ok() ? std::optional<Record>(std::move(*record)) : std::nullopt;
}
// What inode_at() says, from such a copy.  None: ask.
std::optional<Inode> look_at(MetaCore& core, const Home& home, Ino ino);

// What to read of a header for a directory's inode.
Wanted wanted_for_directory();
// That inode, with times and counts from the sums of all ranges.
Result<Inode> directory_inode(MetaCore& core, const GroupView& header);
// All sums of a group together, as they are in the store by now or in this mount's hands; and how many names they say it has.
Result<Sum> read_sum(MetaCore& core, const ObjectName& group);
Result<uint64_t> count_names(MetaCore& core, const ObjectName& group);
// ESTALE: there is none.  A removed one, while its header is there, has links 0.
Result<Inode> read_directory(MetaCore& core, Ino directory);

}  // namespace meshfs::ops
