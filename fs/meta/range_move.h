// Names that go from one group of a directory to another: what a split and a merge have in common.
#pragma once

#include <vector>

#include "fs/meta/joint_change.h"

namespace meshfs {

struct RangeMove {
    ops::NameEffects arriving;  // what is to be written in the group they come to
    Slot next_slot;             // the first of that group behind those they got
};

// With X on `from`, and the other group X as well or known to nobody.  names: n<name> of `from`, as read.
// to: the other group, and its first slot that nobody had; they get that one and the following.
//
// In the change the slots of `from` lead to the new ones, for cookies and for the places of directories, and the away
// records of files do.  The times of the directory stay as they are: no name has come or gone.  A damaged record goes
// along as it is.
Result<RangeMove> move_names(JointChange& change, const GroupView& from, const std::vector<Key>& names, Place to, Time now);

}  // namespace meshfs
