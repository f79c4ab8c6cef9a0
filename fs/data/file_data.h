// The bytes of one open inode: own writes over what is stored.
//
// Three layers, newest first: `dirty_` (accepted), `flushing_` (on the way to the store), `map_` (stored).  A byte
// moves down and is always in one of them.  One flush a file at a time; a flush waits for older reads of the same
// bytes, and newer reads find those bytes in `flushing_`: so no two overlapping calls meet in the store.
#pragma once

#include <list>
#include <optional>

#include "fs/data/core.h"
#include "fs/data/dirty.h"
#include "fs/data/extents.h"
#include "fs/data/layout.h"

namespace meshfs {

class FileDataNow final : public FileData {
public:
    FileDataNow(std::shared_ptr<Data::Core> core, Ino ino, const FileMap& map);
    ~FileDataNow() override;

    uint64_t size() override;
    bool is_dirty() override;
    Time mtime() override;
    void read(ByteRange range, Then<Buffers> then) override;
    void write(uint64_t offset, Buffer bytes, Then<void> then) override;
    void append(Buffer bytes, Then<uint64_t> then) override;
    Status truncate(uint64_t size) override;
    Status zero(ByteRange range, bool keep_size) override;
    Status punch(ByteRange range) override;
    Status reserve(ByteRange range, bool keep_size) override;
    Result<uint64_t> seek(uint64_t offset, bool hole) override;
    Result<Publication> flush() override;
    void published(const Publication& what) override;
    void rebase(const FileMap& map) override;
    void set_alone(bool alone) override;
    void discard() override;

private:
    struct Reading;
    // Changes the map alone: others wait.  Readers of the store go on.
    class Exclusive {
    public:
        explicit Exclusive(FileDataNow& file);
        ~Exclusive();

    private:
        FileDataNow& file_;
    };

    Status check_map() const REQUIRES(mutex_);
    void accept(uint64_t offset, Buffer bytes) REQUIRES(mutex_);
    void wait_for_reads(ByteRange range) REQUIRES(mutex_);
    void start_stored_read(const std::shared_ptr<Reading>& reading, ByteRange range, const FileMap& map);

    Status store_flushing();           // flushing_ → the store and map_
    struct Target {
        ByteRange range;
        BlobId blob;
        bool is_mapped = false;  // there already; else an extent is added once the bytes are stored
    };
    Status store_pieces(const Target& target);
    Status reach(BlobId blob, uint64_t last_object);
    std::vector<Target> targets_of(ByteRange range);
    Status clear(ByteRange range);     // stored bytes become zeros; under Exclusive
    Status clear_again();              // what was cleared in a map that another mount has replaced; under Exclusive
    void keep_stored(const FileMap& mine) REQUIRES(mutex_);
    void grow(uint64_t size) REQUIRES(mutex_);
    void cut_map(uint64_t size) REQUIRES(mutex_);  // what lies beyond is freed
    void ask_for_flush();

    const std::shared_ptr<Data::Core> core_;  // with other files and calls in flight
    const Ino ino_;

    // Guards what follows; not held across store calls.
    Mutex mutex_;
    CondVar changed_;
    bool is_exclusive_ GUARDED_BY(mutex_) = false;
    FileMap map_ GUARDED_BY(mutex_);  // changed under Exclusive only
    uint64_t size_ GUARDED_BY(mutex_);
    Dirty dirty_ GUARDED_BY(mutex_), flushing_ GUARDED_BY(mutex_);
    // Stored, and not known to metadata: put in again if another mount published first.  None on an embedded store.
    Dirty unpublished_bytes_ GUARDED_BY(mutex_);
    std::optional<uint64_t> truncated_to_ GUARDED_BY(mutex_);  // the least size of unpublished truncates
    uint64_t grown_to_ GUARDED_BY(mutex_) = 0;                 // size without bytes, unpublished
    std::vector<ByteRange> cleared_ GUARDED_BY(mutex_);        // unpublished holes and zeros
    bool clears_again_ GUARDED_BY(mutex_) = false;             // they are to be made in this map too
    Time mtime_ GUARDED_BY(mutex_);                // of the last own write, {}: none unpublished
    std::list<ByteRange> reads_ GUARDED_BY(mutex_);  // of the store, under way
    Extents freed_ GUARDED_BY(mutex_);             // since the last published()
    bool unpublished_ GUARDED_BY(mutex_) = false;  // map_ or size_ is news
    uint64_t number_ GUARDED_BY(mutex_) = 0;       // of the last Publication
    uint64_t changes_ GUARDED_BY(mutex_) = 0, changes_in_publication_ GUARDED_BY(mutex_) = 0;
    bool flush_asked_ GUARDED_BY(mutex_) = false;
    BlobId fresh_ GUARDED_BY(mutex_){};            // a blob only this object has written to
    bool is_alone_ GUARDED_BY(mutex_) = true;      // no other mount writes to this file
    std::map<BlobId, uint64_t> reached_;           // last object recorded; under Exclusive
};

}  // namespace meshfs
