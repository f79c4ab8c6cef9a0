// Inodes with several names: they live in h.<ino>, from the second name on and for good.
#pragma once

#include "fs/meta/joint_change.h"

namespace meshfs::ops {

// One name less or more, in a change that has X on h.<ino>.  Answers the inode as it is then; with links 0 it lies under
// u<ino> there.  EMLINK.
Result<Inode> drop_one_link(JointChange& change, Ino ino, Time now);
Result<Inode> add_one_link(JointChange& change, Ino ino, Time now);
// An inode whose only name is that dentry, of a group under X, moves to h.<ino>, which is made with two links.
Result<Inode> make_linked(JointChange& change, const GroupView& group, std::string_view name, Dentry dentry, Time now);

}  // namespace meshfs::ops
