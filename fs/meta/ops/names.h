// What happens to the records of a name when it comes, goes or moves inside its group: said once, for free groups
// and for those under X.
#pragma once

#include "fs/meta/group.h"

namespace meshfs::ops {

struct NameEffects {
    std::vector<Key> set;
    std::vector<std::string> removed;
    Sum delta;
    void add_to(GroupChange& change) const;
};

// A name for an inode that is born here, or arrives: n<name>, i<slot>.  The dentry's slot is new in this group.
void add_name(NameEffects& effects, std::string_view name, const Dentry& dentry, Time now);

// What a slot says once its dentry is gone; `name` is the name it had.
SlotRecord gone_record(SlotRecord::Kind kind, std::string_view name, Time now);

// i<anchor> of a dentry that is not in it, which must be among what was read.  ERESTART: it was not, and is now
// in `wanted`: read again.  None: the dentry is in its anchor.
Result<std::optional<SlotRecord>> read_anchor(const GroupView& view, const Dentry& dentry, Wanted& wanted);

// A file with no other name goes: n<name> away, i<slot> and the anchor say `unlinked`, u<ino> has the inode with
// links 0.  Answers that inode.
Inode drop_file(NameEffects& effects, std::string_view name, const Dentry& dentry,
                const std::optional<SlotRecord>& anchor, Time now);

// A name of an inode in h.<ino> goes, others are left; the last goes, and that inode comes under u<ino> here; a name of a
// directory that is removed, whose groups wait under u<ino> to be purged.
void drop_link(NameEffects& effects, std::string_view name, const Dentry& dentry,
               const std::optional<SlotRecord>& anchor, Time now);
void drop_last_link(NameEffects& effects, std::string_view name, const Dentry& dentry,
                    const std::optional<SlotRecord>& anchor, const Inode& inode, Time now);
void drop_directory(NameEffects& effects, std::string_view name, const Dentry& dentry,
                    const std::optional<SlotRecord>& anchor, Time now);

// To another group, where add_name() puts it at `to`: i<slot> and the anchor lead there.
void leave_name(NameEffects& effects, std::string_view name, const Dentry& dentry,
                const std::optional<SlotRecord>& anchor, Place to, Time now);

// To another name of the same group, in a new slot.  anchor: of read_anchor().
// With `leaves_old` n<from> goes; else something else is put there.
struct NameMove {
    std::string_view from, to;
    Slot new_slot;
    std::optional<SlotRecord> anchor;
    bool leaves_old = true;
};
Dentry move_name(NameEffects& effects, const Dentry& dentry, const NameMove& move, Time now);

}  // namespace meshfs::ops
