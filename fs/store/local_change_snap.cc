// What snapshots see: the first change under a newer context leaves a copy of the object as it was.
//
// The copy gets a body of its own with the keys and the file; the head goes on with its body and only borrows
// the file, so that the next write copies it.  A copy at key c with header.snap q is what the snapshots in
// (q, c] see.
#include "fs/store/local_change.h"

#include <algorithm>

namespace meshfs::local {

// The newest living snapshot that should see the object as it is now; 0: there is none.
uint64_t Change::snap_to_save() const {
    if (!head_) return 0;
    uint64_t newest = 0;
    for (SnapId snap : snaps_.snaps)
        if (raw(snap) > head_->snap && raw(snap) > newest && !ground_.removed_snaps.contains(raw(snap)))
            newest = raw(snap);
    return newest;
}

Status Change::save_for_snapshot(uint64_t snap) {
    Head copy = *head_;
    copy.body = ground_.new_body(batch_);
    std::string old_prefix = body_key(head_->body), new_prefix = body_key(copy.body);
    auto copy_rows = [&](Family family, auto& rows) {
        return ground_.rows.scan(family, old_prefix, old_prefix, nullptr,
                                 [&](std::string_view key, std::string_view value) -> Result<bool> {
                                     rows.emplace_back(new_prefix + std::string(key.substr(old_prefix.size())), value);
                                     return true;
                                 });
    };
    TRY(copy_rows(ground_.rows.omap(), saved_keys_));
    TRY(copy_rows(ground_.rows.bytes(), saved_bytes_));
    saved_objects_.emplace_back(object_key(object_, SnapId{snap}), encode_head(copy));
    head_->snap = std::max(snaps_.sequence, snap);
    if (head_->has(Head::in_file)) head_->flags |= Head::borrowed;
    return {};
}

}  // namespace meshfs::local
