// The operations on names and inodes, each in the file named after it, with the whole rule in it.
// Contracts are in meta.h.
#pragma once

#include "fs/meta/core.h"
#include "fs/meta/group.h"

namespace meshfs::ops {

// --- one group
Result<Inode> lookup(MetaCore& core, Ino directory, std::string_view name);
Result<Inode> get(MetaCore& core, Ino ino);
Result<Inode> create(MetaCore& core, const CreateRequest& request);
Result<Inode> create_unnamed(MetaCore& core, const CreateRequest& request);
Result<Inode> mkdir(MetaCore& core, const CreateRequest& request);
Result<Unlinked> unlink(MetaCore& core, Ino directory, std::string_view name);
Result<Renamed> rename(MetaCore& core, const RenameRequest& request);
Result<Renamed> publish(MetaCore& core, Ino ino, Ino directory, std::string_view name, const PublishCondition& when);
Result<Inode> change(MetaCore& core, Ino ino, const ChangeInode& change);
// The ctime of an inode that lies beside its dentry, after the name changed: a crash in between leaves the old one.
// Who is gone by then is answered with links 0.
Result<Inode> touch(MetaCore& core, const Dentry& dentry);
Result<ListPage> list(MetaCore& core, const ListRequest& request);
Result<std::pair<Ino, std::string>> name_of(MetaCore& core, Ino ino);

// --- open files, and what is dead
Result<Inode> opened(MetaCore& core, Ino ino);
void released(MetaCore& core, Ino ino);
Result<std::vector<Purgeable>> purgeable(MetaCore& core, size_t max);
Status purged(MetaCore& core, const Purgeable& item);
void purge_later(MetaCore& core, const Purgeable& item);
// Takes the records out of all that is purged so far.
Status end_purges(MetaCore& core);
// Of the numbers in the question, those that are open here; on any thread.
std::string answer_which_are_open(MetaCore& core, std::string_view question);

// --- what sessions that are over wrote and maybe never published
Result<std::vector<Meta::LeftReach>> left_reaches(MetaCore& core);
Result<bool> cleared(MetaCore& core, const Meta::LeftReach& reach);
Result<bool> is_in_reach(MetaCore& core, BlobId blob);

// --- packs
bool owe(MetaCore& core, Ino ino, uint64_t content_version);
Status note_dead_members(MetaCore& core, const std::vector<Extent>& members);
Result<std::vector<Meta::DeadMembers>> dead_members(MetaCore& core);
Result<uint64_t> dead_bytes(MetaCore& core, BlobId pack);
Status forget_dead_members(MetaCore& core, BlobId pack);

// --- locks: l.<ino>
Status lock(MetaCore& core, Ino ino, const FileLock& wanted, FileLock* conflict);
Result<std::optional<FileLock>> test_lock(MetaCore& core, Ino ino, const FileLock& wanted);
Status unlock(MetaCore& core, Ino ino, const FileLock& range);

// --- several objects: X on all, one intent
Result<Inode> link(MetaCore& core, Ino ino, Ino directory, std::string_view name);
Result<Unlinked> rmdir(MetaCore& core, Ino directory, std::string_view name);
// A name that leads to a dead header goes: a repair.
Status drop_dead_directory(MetaCore& core, Ino directory, std::string_view name, Ino dead);
// unlink() found that the inode is in h.<ino>.
Result<Unlinked> unlink_linked(MetaCore& core, Ino directory, std::string_view name);
// rename() found that one group does not do: two groups, a directory replaced or moved, a name in h.<ino> replaced.
Result<Renamed> rename_across(MetaCore& core, const RenameRequest& request);

}  // namespace meshfs::ops
