// Sending: a run of dirty bytes on its way to the store, and what then becomes of it.
//
// Who takes bytes out of `dirty_` has seen that nothing of theirs is on its way or being read.  While they are in
// `sending_` nobody else touches them; they leave it in one step with what the map says of them.
#include <algorithm>

#include "fs/data/file_data.h"

namespace meshfs {

// Whole objects, or of larger ones what one transfer holds.
uint64_t FileDataNow::piece_bytes() const { return std::min<uint64_t>(map_.layout.object_bytes, kTransferMax); }

void FileDataNow::note_whole_pieces(ByteRange written) {
    if (!check_layout(map_.layout)) return;
    uint64_t bytes = piece_bytes();
    for (uint64_t i = written.offset / bytes; i * bytes < written.end(); ++i) {
        if (!dirty_.covers({i * bytes, bytes}) || !whole_pieces_.insert(i).second) continue;
        core_->budget.begin_moving(bytes);
    }
}

void FileDataNow::forget_whole_piece(uint64_t index) {
    if (whole_pieces_.erase(index) > 0) core_->budget.end_moving(piece_bytes());
}

// Of what is dropped nothing reaches the store.
Answers FileDataNow::drop_dirty(ByteRange range) {
    uint64_t before = dirty_.bytes();
    dirty_.drop(range);
    if (!whole_pieces_.empty()) {
        auto first = whole_pieces_.lower_bound(range.offset / piece_bytes());
        while (first != whole_pieces_.end() && *first * piece_bytes() < range.end()) forget_whole_piece(*first++);
    }
    return core_->budget.release(before - dirty_.bytes());
}

void FileDataNow::ask_to_send() {
    {
        MutexLock lock(mutex_);
        if (whole_pieces_.empty() || send_asked_ || !failed_.empty()) return;
        send_asked_ = true;
    }
    if (core_->hooks.send_wanted) core_->hooks.send_wanted(ino_);
}

bool FileDataNow::is_sent(ByteRange range) const {
    return std::any_of(sendings_.begin(), sendings_.end(), [&](const Sending& s) {
        return s.range.offset < range.end() && range.offset < s.range.end();
    });
}

// Those that lie in the way of what is under way stay for the next time, or a flush.
bool FileDataNow::send() {
    std::vector<SendingAt> taken;
    {
        MutexLock lock(mutex_);
        send_asked_ = false;
        if (is_quiet_ || clears_again_ || !failed_.empty() || !check_map()) return false;
        uint64_t bytes = piece_bytes();
        for (auto at = whole_pieces_.begin(); at != whole_pieces_.end() && taken.empty();) {
            ByteRange piece{*at++ * bytes, bytes};
            if (!dirty_.covers(piece)) forget_whole_piece(piece.offset / bytes);
            else if (!is_sent(piece) && !is_read(piece)) taken = take(piece);
        }
        if (taken.empty()) return false;
        send_asked_ = true;  // the caller comes again
    }
    for (auto& sending : taken) start(sending);
    return true;
}

// Where the mapped bytes of the last extent's blob end once all that is on its way there is stored.
uint64_t FileDataNow::end_of_last(BlobId blob) const {
    uint64_t end = map_.extents.back().end();
    for (const Sending& s : sendings_)
        if (s.blob == blob && !s.is_mapped && s.range.offset <= end) end = std::max(end, s.range.end());
    return end;
}

// What is dirty of `range`, which lies in one piece, is on its way from here on: a sending for each run of it.
//
// Where it goes: over what is mapped in place; on at the end of the last extent if it follows that.  Else, if no
// other mount writes, to a blob that only this object has written to, whose gaps are holes for certain; if others do,
// to the blob they all go on with, so that their bytes become one extent again once the gaps are full.
std::vector<FileDataNow::SendingAt> FileDataNow::take(ByteRange range) {
    leave_inline();
    std::vector<SendingAt> taken;
    auto parts = dirty_.take(range);
    const BlobId last = open_end(map_.extents);
    for (size_t i = 0; i < parts.size();) {
        ByteRange run{parts[i].offset, parts[i].bytes.size()};
        while (++i < parts.size() && parts[i].offset == run.end()) run.length += parts[i].bytes.size();
        for (const Mapped& part : map_range(map_.extents, run)) {
            Sending sending{.number = ++last_sending_, .range = part.range};
            sending.is_mapped = part.extent.has_value();
            bool goes_on = last != BlobId{} && (!is_alone_ || part.range.offset == end_of_last(last));
            if (!sending.is_mapped && !goes_on && fresh_ == BlobId{}) fresh_ = core_->hooks.next_blob();
            sending.blob = sending.is_mapped ? part.extent->blob : goes_on ? last : fresh_;
            taken.push_back(sendings_.insert(sendings_.end(), sending));
            core_->budget.begin_moving(part.range.length);
        }
    }
    for (auto& part : parts) sending_.put(part.offset, std::move(part.bytes));
    forget_whole_piece(range.offset / piece_bytes());
    return taken;
}

Status FileDataNow::reach(BlobId blob, uint64_t last_object) {
    {
        MutexLock lock(mutex_);
        auto known = reached_.find(blob);
        if (known != reached_.end() && known->second >= last_object) return {};
    }
    uint64_t last = last_object + kReachAhead;
    TRY(core_->hooks.record_reach(blob, ino_, last));
    MutexLock lock(mutex_);
    reached_[blob] = std::max(reached_[blob], last);
    return {};
}

void FileDataNow::start(SendingAt sending) {
    ByteRange range;
    BlobId blob;
    Layout layout;
    std::vector<Dirty::Part> parts;
    {
        MutexLock lock(mutex_);
        range = sending->range;
        blob = sending->blob;
        layout = map_.layout;
        parts = sending_.parts_in(range);
    }
    core_->slots.take(range.length);
    uint64_t index = range.offset / layout.object_bytes, in_object = range.offset % layout.object_bytes;
    if (Status reached = reach(blob, index); !reached) return ended(sending, reached);
    ObjectName object = blob_object(layout, blob, index);
    if (parts.size() > 1 && !core_->store.is_exclusive()) {
        // One operation of the pieces as they are.
        Mutation mutation(std::move(object));
        for (auto& part : parts) mutation.write(in_object + (part.offset - range.offset), std::move(part.bytes));
        return core_->store.start(std::move(mutation), [this, sending](const Status& how) { ended(sending, how); });
    }
    Transfer transfer{.direction = Transfer::Direction::write, .object = std::move(object), .offset = in_object};
    if (parts.size() == 1) {
        transfer.bytes = std::move(parts.front().bytes);
    } else {
        // The embedded store overwrites in place by transfers only, and writes large ones past the page cache.
        transfer.bytes = Buffer::allocate(range.length);
        for (const auto& part : parts)
            std::memcpy(transfer.bytes.data() + (part.offset - range.offset), part.bytes.data(), part.bytes.size());
    }
    core_->store.start(std::move(transfer), [this, sending](const Result<size_t>& how) {
        ended(sending, how ? Status() : Status(how.error()));
    });
}

// On a thread of the store.  With the sending this object may go: it is not touched after the lock.
void FileDataNow::ended(SendingAt sending, const Status& how) {
    auto core = core_;
    Answers answers;
    {
        MutexLock lock(mutex_);
        const Sending& s = *sending;
        const ByteRange range = s.range;
        auto parts = sending_.take(range);
        if (how) {
            if (!s.is_mapped) add_own(map_.extents, range, s.blob);
            if (!s.is_mapped || map_.bytes < map_.size) map_.bytes += range.length;
            // Kept until metadata has them: another mount's map may come in between (rebase).
            if (!core->store.is_exclusive()) unpublished_ranges_.add(range);
            answers.add(core->budget.release(range.length));
        } else {
            // Back to the others, below what is newer: nothing is lost, and the next flush tries again.
            Dirty older;
            for (auto& part : parts) older.put(part.offset, std::move(part.bytes));
            uint64_t before = dirty_.bytes() + range.length;
            dirty_.put_below(older);
            answers.add(core->budget.release(before - dirty_.bytes()));
            failed_.emplace_back(s.number, how.error());
            // It may have reached the store all the same, so the gaps of that blob are no longer holes for certain:
            // were these bytes truncated now and the gap joined later, they would come back.
            fresh_ = {};
        }
        core->budget.end_moving(range.length);
        core->slots.give(range.length);
        sendings_.erase(sending);
        changed_.notify_all();
    }
}

}  // namespace meshfs
