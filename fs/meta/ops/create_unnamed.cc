// create_unnamed: an inode under u<ino> in a group of the directory, open here.  link() or publish() may name it;
// in one mutation if that name's range is the one: the range of `request.name`, or the lowest.
//
// A crash leaves u<ino>, which purge removes once this session has ended.
#include "fs/meta/ops/names.h"
#include "fs/meta/ops/new_inode.h"
#include "fs/meta/ops/ops.h"

namespace meshfs::ops {

Result<Inode> create_unnamed(MetaCore& core, const CreateRequest& request) {
    Inode inode = TRY(new_inode(request, core.now()));
    if (!inode.is_file()) return fail(EINVAL);
    inode.links = 0;
    ObjectName object;
    auto status = change_group(core, {.directory = request.directory, .name = request.name, .request_id = request.request_id}, {},
                     [&](GroupChange& change) -> Status {
        object = change.view().object;
        Slot slot = TRY(change.new_slot());
        core.open_files.leave(inode.ino);  // of a try that came to nothing
        inode.ino = ino_of({change.view().group(), slot});
        core.open_files.enter(inode.ino);
        UnlinkedRecord unlinked{.inode = inode, .open = {core.session_id()}, .since = inode.ctime};
        change.set(unlinked_key(inode.ino), encode(unlinked));
        change.set(slot_key(slot), encode(gone_record(SlotRecord::Kind::unlinked, "", inode.ctime)));
        return {};
    });
    if (!status.ok()) {
        core.open_files.leave(inode.ino);
        return status.error();
    }
    core.unlinked.push({object, unlinked_key(inode.ino)});
    return inode;
}

}  // namespace meshfs::ops
