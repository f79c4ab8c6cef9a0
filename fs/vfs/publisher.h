// Brings what was written to the store and its extents into the inode: at fsync and close, when Data asks, and
// when it has waited `commit`.
//
// Bytes are stored first (FileData::flush), then the inode names them (Meta::change, guarded on the content
// version that the bytes are based on: who finds another mount's version takes it over and flushes again).
// An error keeps everything dirty; it is tried again, and told once to each handle.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <type_traits>
#include <vector>

#include "fs/base/clock.h"
#include "fs/base/executor.h"
#include "fs/meta/meta.h"
#include "fs/vfs/handles.h"
#include "fs/vfs/open_inodes.h"

namespace meshfs {

// What stat shows of the room an open file takes, in sectors: what is not stored yet takes room too, for tar and grep call a file
// with no blocks a hole.
uint64_t sectors_shown(const FileMap& published, FileData& open);

class Publisher {
public:
    // others_wrote: told when another mount's bytes were taken over; room_changed: when by a publication stat shows more or less
    // room than before.  Must not block.
    Publisher(Meta& meta, Clock& clock, OpenInodes& open_inodes, Data& data, std::function<void(Ino)> others_wrote,
              std::function<void(Ino)> room_changed)
        : meta_(meta), clock_(clock), open_inodes_(open_inodes), data_(data), others_wrote_(std::move(others_wrote)),
          room_changed_(std::move(room_changed)),
          flushers_("flusher", kFlushers, kQueueMax), senders_("sender", kSenders, kQueueMax) {}

    // Also run in the change that publishes, after it; an error of it ends the publication and is answered.
    using Also = std::function<Status(Inode&)>;
    // All that was accepted before the call is stored and published.  Blocks.  Answers the inode if it was changed.
    Result<std::optional<Inode>> publish(OpenInode& file, const Also& also = nullptr);
    // And it cannot be lost any more.
    Status publish_durably(OpenInode& file);
    // fdatasync: what was accepted is stored and can be read after a death of this mount; that it was written, and when,
    // may wait for `commit`.
    Status publish_data(OpenInode& file);
    // The same as publish() for one who has the turn.
    Result<std::optional<Inode>> publish_in_turn(OpenInode& file, const Also& also = nullptr);
    // What is not published never will be: told once to each handle.  With the turn.
    void give_up(OpenInode& file);
    // A newer version made by another mount becomes the base; older ones are ignored.  Blocks.
    void take_over(OpenInode& file, const Inode& inode);
    void take_over_in_turn(OpenInode& file, const Inode& inode);
    void take_over_anew(OpenInode& file, const Inode& inode);  // whatever its version.  With the turn

    // The file has something to publish; a flusher does it within `commit`.  The caller uses the file.
    void mark_dirty(const std::shared_ptr<OpenInode>& file);
    void publish_soon(const std::shared_ptr<OpenInode>& file);  // the same, at once.  Never blocks
    // The last handle that writes it closes it.  True: it need not be published now: before others can look there, and
    // within `commit`, it will be, stored together with others.  With the turn.
    bool owe_in_turn(const std::shared_ptr<OpenInode>& file);
    // What is owed is published; of a group, or all.  Errors are kept, and tried again.  Blocks; with no turn.
    bool pay(GroupId group);  // true: something was stored, and nothing failed
    void pay_all();
    void pay_soon();  // never blocks
    // What `call` does with stored bytes of the file, again if it was told ESTALE: gc has moved them meanwhile.  With the turn.
    template <class Call>
    std::invoke_result_t<Call> on_stored_bytes(OpenInode& file, const Call& call) {
        for (int round = 0;; ++round) {
            auto done = call();
            if (done.code() != ESTALE) return done;
            if (round == kRoundsMax || !looks_anew_in_turn(file)) return fail(EIO, done.error().detail());
        }
    }
    // It has whole objects to store: a sender does it, in turns with other files.  Never blocks.
    void send_soon(const std::shared_ptr<OpenInode>& file);
    // Queues all that was marked.  From the housekeeping thread.
    void publish_marked();
    // All of this mount, several at a time; the first error.
    Status publish_all();
    void stop();  // ends the threads; publish_all() first

    // Errors of earlier publications: each handle hears of each once.
    void begin_errors(OpenInode& file, Handle& handle);
    Status tell_error(OpenInode& file, Handle& handle);

private:
    static constexpr size_t kFlushers = 4;
    static constexpr size_t kSenders = 2;  // they start what the store then does by itself
    static constexpr size_t kQueueMax = 65536;
    static constexpr int kRoundsMax = 64;  // of two mounts that publish at each other
    static constexpr uint64_t kOwedMax = 64u << 20;  // bytes; past it close publishes
    using Files = std::vector<std::shared_ptr<OpenInode>>;
    bool may_go_together(OpenInode& file);
    enum class Which : uint8_t { all, full };
    std::vector<Files> take_together(Files& files, Which which);
    Files take_owed();
    void pay_full_segments();
    void run_all(std::vector<std::function<void()>> tasks);
    void store_together(const Files& files);
    void publish_together(const Files& files);
    void settle(OpenInode& file);
    bool is_needless(OpenInode& file);
    void publish_taken(const std::shared_ptr<OpenInode>& file);
    Result<Publication> flush_in_turn(OpenInode& file);
    bool looks_anew_in_turn(OpenInode& file);
    bool is_unlinked(Ino ino);
    Status rebase(OpenInode& file, const Inode& inode);
    void note_error(OpenInode& file, const Error& error);
    void publish_queued(const std::shared_ptr<OpenInode>& file);

    Meta& meta_;
    Clock& clock_;
    OpenInodes& open_inodes_;
    Data& data_;
    std::atomic<uint64_t> owed_{0}, owed_since_{0};  // bytes: of all files; since a flusher was asked to store them
    const std::function<void(Ino)> others_wrote_, room_changed_;
    Executor flushers_, senders_;
    Mutex mutex_;
    std::vector<std::shared_ptr<OpenInode>> marked_ GUARDED_BY(mutex_);  // each counts as a use
};

}  // namespace meshfs
