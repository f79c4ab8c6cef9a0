// Reading the embedded store: one moment of the database, and bytes that are checked.
#pragma once

#include "fs/store/local_files.h"
#include "fs/store/local_layout.h"
#include "fs/store/local_rows.h"
#include "fs/store/store.h"

namespace meshfs::local {

// Both block for what RocksDB and the disk take; any thread.  EIO names the object, and is logged.
Result<Answer> answer(Rows& rows, Files& files, const Query& query);
Result<size_t> read(Rows& rows, Files& files, const Transfer& transfer);

}  // namespace meshfs::local
