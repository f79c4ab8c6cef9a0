// The bytes of one open inode: own writes over what is stored.
//
// Three layers, newest first: `dirty_` (accepted), `sending_` (on the way to the store), `map_` (stored).  A byte
// moves down and is always in one of them.  A piece of an object that is dirty throughout leaves at once (send), the
// rest at a flush; both at the same time.  What overlaps a piece on its way, or an older read of the store, waits,
// and newer reads find those bytes in `dirty_` or `sending_`: so no two overlapping calls meet in the store.
#pragma once

#include <list>
#include <map>
#include <optional>
#include <set>

#include "fs/data/core.h"
#include "fs/data/dirty.h"
#include "fs/data/extents.h"
#include "fs/data/layout.h"
#include "fs/data/ranges.h"

namespace meshfs {

class FileDataNow final : public FileData {
public:
    FileDataNow(std::shared_ptr<Data::Core> core, Ino ino, const FileMap& map);
    ~FileDataNow() override;

    uint64_t size() override;
    bool is_dirty() override;
    Time mtime() override;
    void read(ByteRange range, bool is_current, Then<Buffers> then) override;
    void write(uint64_t offset, Buffer bytes, Then<void> then) override;
    void append(Buffer bytes, Then<uint64_t> then) override;
    bool send() override;
    Status truncate(uint64_t size) override;
    Status zero(ByteRange range, bool keep_size) override;
    Status punch(ByteRange range) override;
    Status reserve(ByteRange range, bool keep_size) override;
    Result<uint64_t> seek(uint64_t offset, bool hole) override;
    Result<Publication> flush() override;
    void published(const Publication& what) override;
    void lost(const Publication& what) override;
    Status rebase(const FileMap& map) override;
    void set_alone(bool alone) override;
    bool can_pack() override;
    std::optional<Buffers> begin_pack() override;
    void end_pack(const Result<Extent>& where) override;
    void discard() override;
    void begin_anew() override;
    void closed() override;

private:
    struct Reading;
    using Reads = std::list<std::vector<ByteRange>>;  // what each takes from the store
    // On its way to the store: a run of bytes within one object.
    struct Sending {
        uint64_t number = 0;
        ByteRange range;
        BlobId blob{};
        bool is_mapped = false;  // there already, or packed; else an extent is added once the bytes are stored
    };
    using SendingAt = std::list<Sending>::iterator;
    // One caller of what blocks at a time.  Readers of the store go on; pieces that are sent too, unless it is quiet.
    class Exclusive {
    public:
        enum class Sends : uint8_t { go_on, have_ended };
        Exclusive(FileDataNow& file, Sends sends);
        ~Exclusive();

    private:
        FileDataNow& file_;
    };

    Status check_map() const REQUIRES(mutex_) { return check(map_); }
    Status check(const FileMap& map) const;
    [[nodiscard]] Answers accept(uint64_t offset, Buffer bytes) REQUIRES(mutex_);
    [[nodiscard]] Answers drop_dirty(ByteRange range) REQUIRES(mutex_);
    void wait_for_reads(ByteRange range) REQUIRES(mutex_);
    void start_stored_read(const std::shared_ptr<Reading>& reading, ByteRange range, const FileMap& map, bool is_current);
    void start_packed_read(const std::shared_ptr<Reading>& reading, Pool pool, const Extent& extent, ByteRange range);
    void start_object_read(const std::shared_ptr<Reading>& reading, ObjectName object, ByteRange range,
                           bool may_be_missing, Buffers& into);

    // Sending (send.cc).
    uint64_t piece_bytes() const REQUIRES(mutex_);  // what leaves at once when all of it is dirty
    void note_whole_pieces(ByteRange written) REQUIRES(mutex_);
    void forget_whole_piece(uint64_t index) REQUIRES(mutex_);
    void ask_to_send();
    bool is_in_use(ByteRange range) const REQUIRES(mutex_);
    uint64_t end_of_last(BlobId blob) const REQUIRES(mutex_);
    std::vector<SendingAt> take(ByteRange range) REQUIRES(mutex_);
    void start_all(const std::vector<SendingAt>& taken);
    void start(std::vector<SendingAt> together);  // runs of one object
    void ended(const std::vector<SendingAt>& together, const Status& how);
    [[nodiscard]] Answers stored(const Sending& sending) REQUIRES(mutex_);
    [[nodiscard]] Answers failed(const Sending& sending, const Error& error) REQUIRES(mutex_);
    Status reach(BlobId blob, uint64_t object);

    // Flushing (flush.cc).
    [[nodiscard]] Answers put_inline() REQUIRES(mutex_);  // all that is dirty
    void leave_inline() REQUIRES(mutex_);
    uint64_t send_piece(uint64_t index);
    Publication make_publication(uint64_t size, Time mtime, uint64_t changes) REQUIRES(mutex_);

    // Packing (pack_file.cc).
    bool is_packable() const REQUIRES(mutex_);
    Status unpack();  // under Exclusive
    Status unpack_if(const std::function<bool(const Extent& packed)>& is_changed);
    bool is_to_unpack() const REQUIRES(mutex_) {
        return is_packing_ || (!dirty_.empty() && packed_extent(map_.extents) != nullptr);
    }
    Status unpack_if_changed();
    void free_first() REQUIRES(mutex_);
    void free_extent(const Extent& extent) REQUIRES(mutex_);
    void leave_packs_of(const Publication& what) REQUIRES(mutex_);

    Status clear(ByteRange range);     // stored bytes become zeros; under Exclusive
    Status clear_again();              // what was cleared in a map that another mount has replaced; under Exclusive
    void grow(uint64_t size) REQUIRES(mutex_);
    static Extents cut(FileMap& map, uint64_t size);  // answers what lay beyond
    void note_left_over() REQUIRES(mutex_);
    void ask_for_flush();

    // After another mount has published (rebase.cc).
    struct Moved {  // stored by this mount in `extent`, and not where the other's map has it
        ByteRange range;
        std::optional<Extent> extent;  // none: in the inode
    };
    std::vector<Moved> keep_stored(const FileMap& mine, FileMap& theirs) const REQUIRES(mutex_);
    Result<Dirty> read_back(const FileMap& mine, const std::vector<Moved>& moved);
    Result<Dirty> read_packed(Pool pool, const Extent& packed, ByteRange range);

    const std::shared_ptr<Data::Core> core_;  // with other files and calls in flight
    const Ino ino_;

    // Guards what follows; not held across store calls.
    Mutex mutex_;
    CondVar changed_;
    bool is_exclusive_ GUARDED_BY(mutex_) = false, is_quiet_ GUARDED_BY(mutex_) = false;
    bool is_packing_ GUARDED_BY(mutex_) = false;  // all of it is on its way to a pack, and nothing else is
    FileMap map_ GUARDED_BY(mutex_);  // its size and what is not about bytes sent: changed under Exclusive only
    FileMap published_map_ GUARDED_BY(mutex_);
    uint64_t size_ GUARDED_BY(mutex_);
    Dirty dirty_ GUARDED_BY(mutex_), sending_ GUARDED_BY(mutex_);
    std::list<Sending> sendings_ GUARDED_BY(mutex_);
    uint64_t last_sending_ GUARDED_BY(mutex_) = 0;  // number
    // Those that failed since the last flush began; while there are any, pieces wait for the next flush.
    std::vector<std::pair<uint64_t, Error>> failed_ GUARDED_BY(mutex_);
    std::set<uint64_t> whole_pieces_ GUARDED_BY(mutex_);  // by number: dirty throughout when last looked at
    bool send_asked_ GUARDED_BY(mutex_) = false;
    // Stored, and not known to metadata; a publication covers the second.  If another mount publishes first they are
    // mapped anew, or stored once more.
    RangeSet unpublished_ranges_ GUARDED_BY(mutex_), ranges_in_publication_ GUARDED_BY(mutex_);
    std::optional<uint64_t> truncated_to_ GUARDED_BY(mutex_);  // the least size of unpublished truncates
    uint64_t grown_to_ GUARDED_BY(mutex_) = 0;                 // size without bytes, unpublished
    std::vector<ByteRange> cleared_ GUARDED_BY(mutex_);        // unpublished holes and zeros
    bool clears_again_ GUARDED_BY(mutex_) = false;             // they are to be made in this map too
    Time mtime_ GUARDED_BY(mutex_);                // of the last own write, {}: none unpublished
    Reads reads_ GUARDED_BY(mutex_);               // under way
    Extents freed_ GUARDED_BY(mutex_);             // since the last published()
    bool unpublished_ GUARDED_BY(mutex_) = false;  // map_ or size_ is news
    uint64_t number_ GUARDED_BY(mutex_) = 0;       // of the last Publication
    uint64_t changes_ GUARDED_BY(mutex_) = 0, changes_in_publication_ GUARDED_BY(mutex_) = 0;
    bool flush_asked_ GUARDED_BY(mutex_) = false;
    BlobId fresh_ GUARDED_BY(mutex_){};            // a blob only this object has written to
    bool is_alone_ GUARDED_BY(mutex_) = true;      // no other mount writes to this file
    // Blobs that next_blob gave this object, or that are on record for it: first and last object.
    std::map<BlobId, std::pair<uint64_t, uint64_t>> reached_ GUARDED_BY(mutex_);
    Extents members_ GUARDED_BY(mutex_);  // of packs, as which this was stored; not known to metadata yet
    std::set<BlobId> left_over_ GUARDED_BY(mutex_);  // of these, such as may have bytes that nobody maps
};

}  // namespace meshfs
