// Inodes with several names: they live in h.<ino>, from the second name on until the last goes.
#pragma once

#include "fs/meta/joint_change.h"

namespace meshfs::ops {

// That name of it goes, in a change that has X on its group and on h.<ino>.  Answers the inode as it is then.  With the
// last name h.<ino> dies, and the inode lies under u<ino> in that group, as any file's: there gc and purge find it, and
// by the away record who has it open.  anchor: of read_anchor().
Result<Inode> drop_linked_name(JointChange& change, const GroupView& group, std::string_view name, const Dentry& dentry,
                               const std::optional<SlotRecord>& anchor, Time now);
// One name more, in a change that has X on h.<ino>.  EMLINK.
Result<Inode> add_one_link(JointChange& change, Ino ino, Time now);
// An inode whose only name is that dentry, of a group under X, moves to h.<ino>, which is made with two links.
Result<Inode> make_linked(JointChange& change, const GroupView& group, std::string_view name, Dentry dentry, Time now);

}  // namespace meshfs::ops
