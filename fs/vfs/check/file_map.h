// A file's map against its objects.
#pragma once

#include "fs/vfs/check/scene.h"

namespace meshfs::check {

// A sentence for each thing that is wrong with where its bytes are said to be.  Asks for every object of an extent
// that says it is whole.
Result<std::vector<std::string>> wrong_in_map(Scene& scene, const Inode& inode);
// One for each of its blobs.
std::vector<BlobUse> blobs_of(const Inode& inode);
// The same of what was freed from a file with several names, and waits in h.<ino> to be purged; of records that decode.
Result<std::vector<BlobUse>> freed_of_linked(Scene& scene, Ino ino);
// Does a list of freed extents have bytes that the map still has?
bool do_overlap(const std::vector<Extent>& freed, const std::vector<Extent>& mapped);

}  // namespace meshfs::check
