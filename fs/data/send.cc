// Sending: a run of dirty bytes on its way to the store, and what then becomes of it.
//
// Who takes bytes out of `dirty_` has seen that nothing of theirs is on its way or being read.  While they are in
// `sending_` nobody else touches them; they leave it in one step with what the map says of them.
#include <algorithm>

#include "fs/data/file_data.h"

namespace meshfs {
namespace {

constexpr size_t kRunsMax = 64;  // of one operation

}  // namespace

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

// Something of what is dirty there is on its way in an older form, or being read.
bool FileDataNow::is_in_use(ByteRange range) const {
    auto is_touched = [&](ByteRange by) REQUIRES(mutex_) {
        uint64_t from = std::max(by.offset, range.offset), to = std::min(by.end(), range.end());
        return from < to && dirty_.has_any({from, to - from});
    };
    for (const Sending& s : sendings_)
        if (is_touched(s.range)) return true;
    for (const auto& ranges : reads_)
        if (std::any_of(ranges.begin(), ranges.end(), is_touched)) return true;
    return false;
}

// Those that lie in the way of what is under way stay for the next time, or a flush.
bool FileDataNow::send() {
    std::vector<SendingAt> taken;
    {
        MutexLock lock(mutex_);
        send_asked_ = false;
        bool may_send = !is_quiet_ && !is_packing_ && !clears_again_ && packed_extent(map_.extents) == nullptr;
        if (!may_send || !failed_.empty() || !check_map()) return false;
        uint64_t bytes = piece_bytes();
        for (auto at = whole_pieces_.begin(); at != whole_pieces_.end() && taken.empty();) {
            ByteRange piece{*at++ * bytes, bytes};
            if (!dirty_.covers(piece)) forget_whole_piece(piece.offset / bytes);
            else if (!is_in_use(piece)) taken = take(piece);
        }
        if (taken.empty()) return false;
        send_asked_ = true;  // the caller comes again
    }
    start_all(taken);
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
// to the blob they all go on with, so that their bytes become one extent again once the gaps are full.  A blob of
// another session is not gone on with alone: what that one left beyond the end can then be removed without asking.
std::vector<FileDataNow::SendingAt> FileDataNow::take(ByteRange range) {
    leave_inline();
    std::vector<SendingAt> taken;
    auto parts = dirty_.take(range);
    const BlobId last = open_end(map_.extents);
    const bool is_own = session_of(last) == core_->session();
    for (size_t i = 0; i < parts.size();) {
        ByteRange run{parts[i].offset, parts[i].bytes.size()};
        while (++i < parts.size() && parts[i].offset == run.end()) run.length += parts[i].bytes.size();
        for (const Mapped& part : map_range(map_.extents, run)) {
            Sending sending{.number = ++last_sending_, .range = part.range};
            sending.is_mapped = part.extent.has_value();
            bool goes_on = last != BlobId{} && (!is_alone_ || (is_own && part.range.offset == end_of_last(last)));
            if (!sending.is_mapped && !goes_on && fresh_ == BlobId{}) {
                fresh_ = core_->hooks.next_blob(ino_);
                reached_.emplace(fresh_, std::pair(UINT64_MAX, 0));
            }
            sending.blob = sending.is_mapped ? part.extent->blob : goes_on ? last : fresh_;
            taken.push_back(sendings_.insert(sendings_.end(), sending));
            core_->budget.begin_moving(part.range.length);
        }
    }
    for (auto& part : parts) sending_.put(part.offset, std::move(part.bytes));
    forget_whole_piece(range.offset / piece_bytes());
    return taken;
}

// Objects that are mapped need no record, nor do bytes that go on in one: they are found by the map.
Status FileDataNow::reach(BlobId blob, uint64_t object) {
    if (blob == BlobId{}) return fail(ESHUTDOWN, "there was no session that a blob could be of");
    uint64_t first = object;
    {
        MutexLock lock(mutex_);
        for (const Extent& e : map_.extents) {
            uint64_t bytes = map_.layout.object_bytes;
            if (e.blob == blob && e.offset / bytes <= object && object <= (e.end() - 1) / bytes) return {};
        }
        auto known = reached_.find(blob);
        if (known != reached_.end() && known->second.first <= object && object <= known->second.second) return {};
        if (known != reached_.end()) first = std::min(object, known->second.first);
    }
    uint64_t last = TRY(core_->hooks.record_reach(blob, ino_, first, object));
    MutexLock lock(mutex_);
    auto [known, is_new] = reached_.try_emplace(blob, first, last);
    if (!is_new) known->second = {std::min(first, known->second.first), std::max(last, known->second.second)};
    return {};
}

// As few operations as can be: one an object, of all the runs in it, in the pieces in which they came.
void FileDataNow::start_all(const std::vector<SendingAt>& taken) {
    size_t together_max = core_->store.is_exclusive() ? 1 : kRunsMax;  // it overwrites in place by transfers only
    for (size_t i = 0; i < taken.size();) {
        std::vector<SendingAt> together;
        BlobId blob = taken[i]->blob;  // constant while it is on its way
        while (i < taken.size() && together.size() < together_max && taken[i]->blob == blob)
            together.push_back(taken[i++]);
        start(std::move(together));
    }
}

void FileDataNow::start(std::vector<SendingAt> together) {
    BlobId blob = together.front()->blob;
    Layout layout;
    std::vector<Dirty::Part> parts;
    uint64_t length = 0;
    {
        MutexLock lock(mutex_);
        layout = map_.layout;
        for (auto& sending : together) {
            length += sending->range.length;
            for (auto& part : sending_.parts_in(sending->range)) parts.push_back(std::move(part));
        }
    }
    core_->slots.take(length);
    const uint64_t index = parts.front().offset / layout.object_bytes, begin = index * layout.object_bytes;
    if (Status reached = reach(blob, index); !reached) return ended(together, reached);
    ObjectName object = blob_object(layout, blob, index);
    if (parts.size() > 1 && !core_->store.is_exclusive()) {
        Mutation mutation(std::move(object));
        for (auto& part : parts) mutation.write(part.offset - begin, std::move(part.bytes));
        auto told = [this, together = std::move(together)](const Status& how) { ended(together, how); };
        return core_->store.start(std::move(mutation), std::move(told));
    }
    Transfer transfer{.direction = Transfer::Direction::write, .object = std::move(object)};
    transfer.offset = parts.front().offset - begin;
    if (parts.size() == 1) {
        transfer.bytes = std::move(parts.front().bytes);
    } else {
        // In one, so that the embedded store can write it past the page cache.
        transfer.bytes = Buffer::allocate(length);
        for (const auto& part : parts)
            std::memcpy(transfer.bytes.data() + (part.offset - parts.front().offset), part.bytes.data(),
                        part.bytes.size());
    }
    core_->store.start(std::move(transfer), [this, together = std::move(together)](const Result<size_t>& how) {
        ended(together, how ? Status() : Status(how.error()));
    });
}

// On a thread of the store.  With its last sending this object may go: it is not touched after the lock.
void FileDataNow::ended(const std::vector<SendingAt>& together, const Status& how) {
    auto core = core_;
    Answers answers;
    MutexLock lock(mutex_);
    uint64_t length = 0;
    for (const SendingAt& sending : together) {
        length += sending->range.length;
        core->budget.end_moving(sending->range.length);
        how ? answers.add(stored(*sending)) : answers.add(failed(*sending, how.error()));
        sendings_.erase(sending);
    }
    core->slots.give(length);
    changed_.notify_all();
}

Answers FileDataNow::stored(const Sending& sending) {
    core_->budget.note_stored();
    const ByteRange range = sending.range;
    sending_.drop(range);
    if (!sending.is_mapped) add_own(map_.extents, range, sending.blob);
    if (!sending.is_mapped || map_.bytes < map_.size) map_.bytes += range.length;
    // Kept until metadata has them: another map may come in between (rebase), of another mount, or of gc.
    unpublished_ranges_.add(range);
    return core_->budget.release(range.length);
}

// Back to the others, below what is newer: nothing is lost, and the next flush tries again.
Answers FileDataNow::failed(const Sending& sending, const Error& error) {
    Dirty older;
    for (auto& part : sending_.take(sending.range)) older.put(part.offset, std::move(part.bytes));
    uint64_t before = dirty_.bytes() + sending.range.length;
    dirty_.put_below(older);
    failed_.emplace_back(sending.number, error);
    if (!sending.is_mapped) left_over_.insert(sending.blob);
    // It may have reached the store all the same, so the gaps of that blob are no longer holes for certain: were these
    // bytes truncated now and the gap joined later, they would come back.
    fresh_ = {};
    Answers answers = core_->budget.note_refused(error);
    answers.add(core_->budget.release(before - dirty_.bytes()));
    return answers;
}

}  // namespace meshfs
