// Bytes of files: what is written is buffered, what is read comes from buffers or the store.
//
// fs/data knows no names.  It is given a FileMap (as published in the inode), changes it as bytes reach the
// store, and hands back the map to publish.  Order of all writing: bytes are in the store before any
// metadata names them; a blob id is never used twice.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "fs/base/buffer.h"
#include "fs/base/clock.h"
#include "fs/base/result.h"
#include "fs/base/types.h"
#include "fs/data/pack.h"
#include "fs/store/store.h"

namespace meshfs {

struct DataSettings {
    uint64_t dirty_bytes_max = 256u << 20;  // accepted and not yet stored; past half of it writers are slowed
    uint64_t cache_bytes_max = 1u << 30;    // blocks read
    int64_t flush_after_ns = kNsPerSecond;  // `commit`
    size_t transfers_max = 64;              // in flight
};

// What data needs of names; given by fs/vfs.
struct DataHooks {
    std::function<BlobId(Ino home)> next_blob;  // never blocks; home 0: a pack, whose members may be of any file
    // Objects first .. last of the blob may exist from now on; answers the last that may, by then.  Blocks.
    std::function<Result<uint64_t>(BlobId blob, Ino home, uint64_t first_object, uint64_t last_object)> record_reach;
    // All of it that was stored is published, and no more comes.  Never blocks.
    std::function<void(BlobId)> forget_reach;
    std::function<SessionId()>
        session;  // as now in the upper half of the ids that next_blob gives; never blocks
    // Bytes of this file have waited flush_after_ns, or room is needed: flush and publish it soon.  Must not
    // block.
    std::function<void(Ino)> flush_wanted;
    // Call FileData::send of this file soon, until it answers false.  Must not block.
    std::function<void(Ino)> send_wanted;
};

// What must be published after a flush.
struct Publication {
    FileMap map;                   // size, inline bytes or extents: what finished writes cover
    std::vector<Extent> freed;     // no longer mapped; of different blobs some may overlap
    Time mtime;                    // of the last write in it
    bool changed = false;          // false: nothing new since the last one
    bool changes_map = false;      // false: at most bytes were overwritten where they were
    uint64_t number = 0;           // for FileData::published
};

// The bytes of one inode while it is open in this mount: one object for all its handles.  Any thread.
class FileData {
public:
    virtual ~FileData() = default;

    // Size as this mount sees it: published and own writes.
    virtual uint64_t size() = 0;
    virtual bool is_dirty() = 0;
    virtual Time mtime() = 0;  // of the last own write, {} if none is unpublished

    // Exactly the bytes of [offset, offset + length) up to size(); own writes are seen.  The callback may come inside
    // the call if all is in memory, else on a store thread: it must only hand over.  ESTALE: an object is missing, of an
    // extent that is whole, or of any while the map is not known to be the newest (`is_current`).
    virtual void read(ByteRange range, bool is_current, Then<Buffers> then) = 0;
    // Accepts bytes; answered at once, or later when `dirty` is short (back-pressure).  EFBIG; ENOSPC, EDQUOT, EIO: `dirty` is
    // short, and the store takes nothing, being full or silent.  Another error of an earlier flush is told by flush, not here.
    virtual void write(uint64_t offset, Buffer bytes, Then<void> then) = 0;
    // Atomically at the end of the file as this mount sees it; answers the offset.
    virtual void append(Buffer bytes, Then<uint64_t> then) = 0;

    // Stores one piece that leaves at once; false: there is none now.  Returns when it is on its way; blocks while
    // too much is.  Any number of callers, at any time.
    virtual bool send() = 0;

    // These block.  From here on to `published` one caller at a time; reads and writes may come at any time.
    virtual Status truncate(uint64_t size) = 0;              // both ways; bytes beyond never come back
    virtual Status zero(ByteRange range, bool keep_size) = 0;  // fallocate ZERO_RANGE
    virtual Status punch(ByteRange range) = 0;               // a hole; size stays
    virtual Status reserve(ByteRange range, bool keep_size) = 0;  // fallocate 0: sets the size
    virtual Result<uint64_t> seek(uint64_t offset, bool hole) = 0;  // SEEK_HOLE / SEEK_DATA; ENXIO

    // All that was accepted before the call is in the store; then publish().map goes to metadata.  What was accepted
    // later is not waited for, and not in it.
    // An error keeps the bytes dirty, and is told again to the next flush until they are stored.
    virtual Result<Publication> flush() = 0;
    virtual void published(const Publication& what) = 0;  // metadata has it
    virtual void lost(const Publication& what) = 0;       // it never will: nobody will look for it there
    // Metadata of another mount's making: the new base below own unpublished writes.  What is already stored where
    // the new map has it, or has nothing, stays; the rest is read back, and dirty again.  An error changes nothing.
    virtual Status rebase(const FileMap& map) = 0;
    // False: other mounts may write to this file too.  At first true.  Does not block.
    virtual void set_alone(bool alone) = 0;
    // All of a small file is in memory alone: Data::pack stores it with others.  Neither blocks.
    virtual bool can_pack() = 0;
    // Of Data::pack: on its way from here on, until the other says where it is.  None: it cannot be packed (any more).
    virtual std::optional<Buffers> begin_pack() = 0;
    virtual void end_pack(const Result<Extent>& where) = 0;
    // Drops own unpublished writes (the file is gone, or was lost).
    virtual void discard() = 0;
    // The session is over that gave its blobs: discard(), and none of them is gone on with.
    virtual void begin_anew() = 0;
    // Nobody has it open any more, and no other object of this inode is there yet: what is on record of its blobs may go.
    virtual void closed() = 0;
};

class Data {
public:
    Data(Store& store, Clock& clock, DataSettings settings, DataHooks hooks);
    ~Data();
    void stop();  // nothing may be dirty any more; ends threads

    std::unique_ptr<FileData> open(Ino ino, const FileMap& map);
    // Small files, all of them at once: one segment of a pack, in one operation (pack.h).  At most kSegmentRoom together.  They
    // are not published then, only stored; what could not be, is dirty as before.  Blocks.
    struct Packing {
        FileData* file;
        Ino ino{};
        uint64_t version = 0;  // the content version with which it will be published
    };
    void pack(const std::vector<Packing>& files);
    // The same of bytes as they are: answers where each is.  Each is to be told to packed() then, once.
    Result<std::vector<Extent>> store_packed(const std::vector<ToPack>& files);
    // The session is over that gave blobs: nothing is added to its packs.  Before FileData::begin_anew.  Does not block.
    void begin_anew();
    void close_old_packs();  // to which nothing was added for a while.  Does not block
    void packed(BlobId pack, bool is_lost);  // published, or lost: it never will be.  Does not block

    // Removes the objects of own extents nobody maps; a missing one is fine.  Packed ones stay.  Blocks, bounded in flight.
    Status remove(Ino ino, const FileMap& map);

    // Which of the objects first .. last of a blob are there.  Blocks.
    Result<std::vector<uint64_t>> find(const Layout& layout, BlobId blob, uint64_t first, uint64_t last);

    void set_dirty_bytes_max(uint64_t bytes);

    struct Usage { uint64_t dirty_bytes, dirty_bytes_max, cached_bytes, in_flight; };
    Usage usage() const;

    class Core;

private:
    std::shared_ptr<Core> core_;  // with FileData and calls in flight
};

}  // namespace meshfs
