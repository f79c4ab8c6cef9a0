// Who writes to a file: nobody, this mount alone, or several.  Shared stores only.
//
// The inode's *writer* says so.  A mount that finds nobody there writes its session in before its first write, and is
// *alone*: it accepts writes and appends into memory.  While its name is there no other mount writes.  Who wants to
// asks for *room*, and waits until that session has published all, and has itself written "several" instead; if it
// is dead, its name is replaced.  Several write *through*: a write is stored and published before it is answered, a
// read looks at the inode first, an append holds a lock.  Each of them holds a shared lock, *present*, as does who waits
// for room; who gets that one alone, with all others gone, is alone again.
//
// Safe without all this is what data stores and publishes (fs/data/README.md): two mounts that write different parts
// lose nothing.  This is for order: what was written before is not overwritten by what was written earlier still, an
// append finds the end of the file, and what a mount has in memory is what the file has.
//
// A file that this mount has made starts with none in it, for plain writes only, until it is first published: most
// are written and closed by then, and cost nothing.
#pragma once

#include <functional>

#include "fs/base/buffer.h"
#include "fs/base/executor.h"
#include "fs/meta/meta.h"
#include "fs/vfs/open_inodes.h"
#include "fs/vfs/publisher.h"

namespace meshfs {

class Sharing {
public:
    Sharing(Meta& meta, Clock& clock, Publisher& publisher, OpenInodes& open_inodes);

    // True: bytes may be accepted into memory now; the caller does it at once and calls accepted().  Never blocks.
    bool try_accept(OpenInode& file, bool appends);
    void accepted(OpenInode& file);

    // Alone, or one of several, when it returns.  With the turn.  Blocks, also for another mount.
    Status enter(OpenInode& file);
    // A write of one of several: stored and published.  With the turn; blocks.
    Status write_through(OpenInode& file, uint64_t offset, Buffer bytes);
    Status append_through(OpenInode& file, Buffer bytes);

    // The file is about to be closed for the last time for writing, or was: publishes, then this mount writes no more.
    // With the turn; blocks.
    Status leave(OpenInode& file);
    // The session is over under whose name it wrote.  With the turn.
    void begin_anew(OpenInode& file);
    // Each `commit`: what several write is looked at anew, and who is left there is alone again.  Blocks.
    void look_around();
    void stop();

private:
    void room_wanted(Ino ino);  // never blocks
    void make_room(OpenInode& file);
    Status enter(OpenInode& file, bool& is_present);
    Status join_several(OpenInode& file);
    Status be_alone(OpenInode& file, const Inode& inode);
    Status wait_for_room(Ino ino, const Inode& inode, int tries);
    Status take_over_from_dead(Ino ino, SessionId dead);
    Status change_writer(Ino ino, SessionId from, SessionId to);
    Status lock(Ino ino, uint64_t byte, FileLock::Type type);
    void unlock(Ino ino, uint64_t byte);
    void stop_accepting(OpenInode& file, OpenInode::Role role);

    static constexpr uint64_t kPresentByte = uint64_t{1} << 63;  // offsets end before
    static constexpr uint64_t kAppendByte = kPresentByte + 1;
    static constexpr size_t kRoomMakers = 2;
    static constexpr size_t kRoomQueueMax = 4096;  // past it who wants room asks again
    Meta& meta_;
    Clock& clock_;
    Publisher& publisher_;
    OpenInodes& open_inodes_;
    Executor room_makers_;  // others wait for them, so they wait for nobody
    std::atomic<bool> stopping_{false};
};

}  // namespace meshfs
