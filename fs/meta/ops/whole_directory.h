// All groups of one directory at once: to see that it is empty, and to end it.
#pragma once

#include "fs/meta/joint_change.h"

namespace meshfs::ops {

// The objects of a directory: its header and the groups of its other ranges.  ERESTART: it is gone.
Result<std::vector<Exclusive::Wish>> objects_of_directory(MetaCore& core, Ino directory);

// The same under X, seen to be all of it and empty.  ENOTEMPTY; ERESTART: a range was split off meanwhile.
// What is answered begins with the header, with its inode and place.
Result<std::vector<GroupView>> read_empty_directory(JointChange& change, Ino directory,
                                                    const std::vector<Exclusive::Wish>& objects);

// The directory ends with the change; its name is the caller's.  Answers its inode, links 0.
Result<Inode> kill_directory(JointChange& change, const std::vector<GroupView>& groups);

}  // namespace meshfs::ops
