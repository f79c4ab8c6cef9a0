// What data needs of names to store bytes: ids of blobs, and where they are on record.
#pragma once

#include "fs/data/data.h"
#include "fs/meta/meta.h"

namespace meshfs {

// `meta` outlives who has them.
inline DataHooks data_hooks(Meta& meta) {
    DataHooks hooks;
    hooks.next_blob = [&meta](Ino home) { return meta.next_blob(home); };
    hooks.record_reach = [&meta](BlobId blob, Ino home, uint64_t first, uint64_t last) {
        return meta.record_reach(blob, home, first, last);
    };
    hooks.forget_reach = [&meta](BlobId blob) { meta.forget_reach(blob); };
    hooks.session = [&meta] { return meta.session(); };
    return hooks;
}

}  // namespace meshfs
