// The byte effects of a Change: small bytes are worked out here, long ones become a plan for a file.
#include <algorithm>

#include "fs/store/local_change.h"

namespace meshfs::local {

// The object's bytes as a string: what they are in their row, or zeros.
Result<std::string*> Change::row() {
    if (row_) return &*row_;
    if (!head_->has(Head::in_row)) return &row_.emplace(head_->size, '\0');
    auto it = batch_.bytes.find(head_->body);
    if (it != batch_.bytes.end()) return &row_.emplace(it->second);
    auto value = TRY(ground_.rows.get(ground_.rows.bytes(), bytes_key(head_->body)));
    if (!value || value->size() != head_->size) return fail(EIO, "object " + object_.name + ": damaged bytes");
    return &row_.emplace(std::move(*value));
}

void Change::drop_file() {
    if (head_->has(Head::in_file) && !head_->has(Head::borrowed)) freed_files_.push_back(head_->file);
    head_->flags = static_cast<uint8_t>(head_->flags & ~(Head::in_file | Head::summed | Head::borrowed));
    head_->file = 0;
}

void Change::drop_bytes() {
    drop_file();
    if (head_->has(Head::in_row)) removed_byte_rows_.push_back(bytes_key(head_->body));
    head_->flags = 0;
    head_->size = 0;
    row_.reset();
    is_row_changed_ = has_plan_ = false;
    sums_.clear();
    plan_ = {};
}

Status Change::grow_into_plan() {
    std::string bytes = head_->has(Head::in_row) || row_ ? std::move(*TRY(row())) : std::string();
    uint64_t size = head_->size;
    drop_bytes();
    head_->size = size;
    plan_.base_bytes = std::move(bytes);
    plan_.base_size = size;
    has_plan_ = true;
    return {};
}

Status Change::edit(FileEdit e) {
    if (!has_plan_) {
        has_plan_ = true;
        plan_.base_file = head_->file;
        plan_.base_size = head_->size;
    }
    if (e.kind == FileEdit::Kind::write) head_->size = std::max(head_->size, e.end());
    if (e.kind == FileEdit::Kind::truncate) head_->size = e.offset;
    plan_.edits.push_back(std::move(e));
    return {};
}

Status Change::write(uint64_t offset, const Buffer& bytes) {
    TRY(make_object());
    if (bytes.empty()) return {};
    uint64_t end = offset + bytes.size();
    bool is_long = has_plan_ || head_->has(Head::in_file);
    if (!is_long && std::max(head_->size, end) > kInlineBytesMax) {
        TRY(grow_into_plan());
        is_long = true;
    }
    if (is_long) return edit({.kind = FileEdit::Kind::write, .offset = offset, .length = bytes.size(), .bytes = bytes});
    std::string* row_bytes = TRY(row());
    if (row_bytes->size() < end) row_bytes->resize(end);
    row_bytes->replace(offset, bytes.size(), bytes.view());
    head_->size = row_bytes->size();
    head_->flags = Head::in_row;
    is_row_changed_ = true;
    return {};
}

Status Change::write_full(const Buffer& bytes) {
    TRY(make_object());
    drop_bytes();
    return write(0, bytes);
}

Status Change::truncate(uint64_t size) {
    if (size == head_->size) return {};
    if (has_plan_ || head_->has(Head::in_file)) return edit({.kind = FileEdit::Kind::truncate, .offset = size});
    if (!head_->has(Head::in_row) && !row_) {  // zeros only: nothing is kept
        head_->size = size;
        return {};
    }
    if (size > kInlineBytesMax) {
        TRY(grow_into_plan());
        return edit({.kind = FileEdit::Kind::truncate, .offset = size});
    }
    TRY(row())->resize(size);
    head_->size = size;
    is_row_changed_ = true;
    return {};
}

// Never makes the object longer, as on Ceph.
Status Change::zero(uint64_t offset, uint64_t length) {
    if (offset >= head_->size || length == 0) return {};
    length = std::min(length, head_->size - offset);
    if (has_plan_ || head_->has(Head::in_file))
        return edit({.kind = FileEdit::Kind::zero, .offset = offset, .length = length});
    if (!head_->has(Head::in_row) && !row_) return {};
    TRY(row())->replace(offset, length, length, '\0');
    is_row_changed_ = true;
    return {};
}

bool Change::only_shrinks() const {
    uint64_t size = plan_.base_size;
    for (const FileEdit& e : plan_.edits) {
        if (e.kind != FileEdit::Kind::truncate || e.offset > size) return false;
        size = e.offset;
    }
    return true;
}

bool Change::only_appends() const {
    return std::all_of(plan_.edits.begin(), plan_.edits.end(), [&](const FileEdit& e) {
        return e.kind != FileEdit::Kind::zero && e.offset >= plan_.base_size;
    });
}

// How long bytes get to where they belong: by the header alone, in the file they are in, or in another one.
Result<Change::Outcome> Change::settle(bool may_edit_inside, const FileResult* made) {
    if (!has_plan_) return Outcome::done;
    bool has_file = plan_.base_file != 0;
    if (has_file && only_shrinks()) {
        settle_shrunk();
        return Outcome::done;
    }
    if (made != nullptr) {
        settle_made(*made);
        return Outcome::done;
    }
    // A plan is made on what is durable: it must not outlive a batch that fails.
    if (batch_.touched.contains(key_)) return Outcome::later;
    plan_.in_place = has_file && !head_->has(Head::borrowed) && (may_edit_inside || only_appends());
    if (plan_.in_place) TRY(plan_in_place());
    return Outcome::plan;
}

Status Change::plan_in_place() {
    if (!head_->has(Head::summed)) return {};
    must_unsum_ = std::any_of(plan_.edits.begin(), plan_.edits.end(),
                              [&](const FileEdit& e) { return e.offset < plan_.base_size; });
    if (must_unsum_) return {};
    std::optional<std::string> last;
    uint32_t number = row_of_page(plan_.base_size / kPage);
    if (plan_.base_size % kRowBytes != 0)
        last = TRY(ground_.rows.get(ground_.rows.bytes(), sums_key(before_->body, number)));
    auto sums = PageSums::after(plan_.base_size, last ? std::string_view(*last) : std::string_view());
    if (!sums.ok()) return sums.error().in("object " + object_.name);
    plan_.older_sums = std::move(*sums);
    plan_.has_older_sums = true;
    return {};
}

void Change::settle_shrunk() {
    if (head_->size % kPage != 0) head_->flags = static_cast<uint8_t>(head_->flags & ~Head::summed);
}

void Change::settle_made(const FileResult& made) {
    uint64_t size = made.size;
    if (made.file != head_->file) {
        drop_file();
        used_file_ = made.file;
    }
    head_->flags = static_cast<uint8_t>(Head::in_file | (made.is_summed ? Head::summed : 0));
    head_->file = made.file;
    head_->size = size;
    for (const auto& row : made.sums) sums_.push_back(row);
}

}  // namespace meshfs::local
