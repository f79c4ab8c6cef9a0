#include "fs/store/local_change.h"

#include <algorithm>

#include "fs/base/clock.h"

namespace meshfs::local {
namespace {

constexpr uint64_t kBodiesReserved = 4096;  // one write of the counters for so many new objects

int64_t now_ns() {
    Time now = Clock::system().now();
    return now.seconds * kNsPerSecond + now.ns;
}

}  // namespace

Result<std::optional<Head>> Ground::head_of(const std::string& object_key) {
    auto it = heads.find(object_key);
    if (it != heads.end()) return it->second;
    auto value = TRY(rows.get(rows.objects(), object_key));
    std::optional<Head> head;
    if (value) head = TRY(decode_head(*value));
    heads[object_key] = head;
    return head;
}

uint64_t Ground::new_body(Batch& batch) {
    if (counters.body >= bodies_reserved) {
        bodies_reserved = counters.body + kBodiesReserved;
        save_counters(batch);
    }
    return counters.body++;
}

void Ground::save_counters(Batch& batch) {
    Counters saved = counters;
    saved.body = bodies_reserved;
    batch.writes.Put(rows.other(), std::string(1, kCountersKey), encode_counters(saved));
}

Change::Change(Ground& ground, Batch& batch, const ObjectName& object, const SnapContext& snaps)
    : ground_(ground), batch_(batch), object_(object), snaps_(snaps), key_(object_key(object)) {}

Status Change::load() {
    auto head = ground_.head_of(key_);
    if (!head.ok()) return head.error().in("object " + object_.name);
    before_ = head_ = std::move(*head);
    return {};
}

Result<std::optional<std::string>> Change::key_now(const std::string& name) {
    if (!head_) return std::optional<std::string>();
    std::string key = body_key(head_->body, name);
    auto it = batch_.keys.find(key);
    if (it != batch_.keys.end()) return it->second;
    return ground_.rows.get(ground_.rows.omap(), key);
}

Status Change::judge(const std::vector<Guard>& guards, bool creates) {
    for (const Guard& g : guards) {
        if (g.kind == Guard::Kind::absent) {
            if (head_) return fail(EEXIST);
            continue;
        }
        if (!head_ && !(creates && g.kind == Guard::Kind::key_is)) return fail(ENOENT);
        if (g.kind == Guard::Kind::exists) continue;
        std::optional<std::string> value;
        if (g.kind == Guard::Kind::key_is) value = TRY(key_now(g.name));
        else if (auto it = head_->xattrs.find(g.name); it != head_->xattrs.end()) value = it->second;
        if ((value == g.value) == (g.kind == Guard::Kind::xattr_is_not)) return fail(ECANCELED);
    }
    return {};
}

// True: go on.  False: an earlier change in the batch must be durable first.
Result<bool> Change::prepare() {
    uint64_t snap = snap_to_save();
    if (snap == 0) {
        if (head_) head_->snap = std::max(head_->snap, snaps_.sequence);
        return true;
    }
    if (batch_.touched.contains(key_)) return false;
    TRY(save_for_snapshot(snap));
    return true;
}

void Change::stamp() {
    if (head_) head_->mtime_ns = now_ns();
}

Result<Change::Outcome> Change::mutate(const Mutation& mutation, const FileResult* made) {
    TRY(load());
    const auto& effects = mutation.effects();
    auto creates = [](const Effect& e) { return e.kind == Effect::Kind::create; };
    TRY(judge(mutation.guards(), std::any_of(effects.begin(), effects.end(), creates)));
    if (effects.empty()) return Outcome::done;
    if (!TRY(prepare())) return Outcome::later;
    for (const Effect& e : effects) TRY(apply(e));
    stamp();
    return settle(false, made);
}

Result<Change::Outcome> Change::transfer(const std::vector<const Transfer*>& writes, const FileResult* made) {
    TRY(load());
    if (!TRY(prepare())) return Outcome::later;
    for (const Transfer* t : writes) {
        bool is_whole = head_ && t->offset == 0 && t->bytes.size() >= head_->size;
        if (is_whole) TRY(write_full(t->bytes));
        else TRY(write(t->offset, t->bytes));
    }
    auto outcome = settle(true, made);
    // Overwriting inside leaves the header as it was: no batch is needed at all.
    if (outcome.ok() && *outcome == Outcome::done && head_ != before_) stamp();
    return outcome;
}

Status Change::apply(const Effect& e) {
    switch (e.kind) {
        case Effect::Kind::create: return make_object();
        case Effect::Kind::set_xattr:
            TRY(make_object());
            head_->xattrs[e.name] = e.value;
            if (head_->xattrs.size() > kObjectXattrsMax) return fail(EINVAL, "an object has at most 16 xattrs");
            return {};
        case Effect::Kind::remove_xattr:
            if (!head_) return fail(ENOENT);
            head_->xattrs.erase(e.name);
            return {};
        case Effect::Kind::set_keys:
            TRY(make_object());
            for (const auto& [name, value] : e.keys) key_edits_.push_back({head_->body, name, value});
            return {};
        case Effect::Kind::remove_keys:
            if (!head_) return fail(ENOENT);
            for (const auto& [name, value] : e.keys) key_edits_.push_back({head_->body, name, std::nullopt});
            return {};
        case Effect::Kind::clear_keys: return head_ ? clear_keys() : Status(fail(ENOENT));
        case Effect::Kind::write: return write(e.offset, e.bytes);
        case Effect::Kind::write_full: return write_full(e.bytes);
        case Effect::Kind::truncate: return head_ ? truncate(e.offset) : Status(fail(ENOENT));
        case Effect::Kind::zero: return head_ ? zero(e.offset, e.length) : Status(fail(ENOENT));
        case Effect::Kind::remove: return head_ ? remove_object() : Status(fail(ENOENT));
    }
    return fail(EINVAL);
}

Status Change::make_object() {
    if (head_) return {};
    head_ = Head{.body = ground_.new_body(batch_), .snap = snaps_.sequence};
    return {};
}

Status Change::remove_object() {
    drop_bytes();
    dead_bodies_.push_back(head_->body);
    is_removed_ = true;
    head_.reset();
    return {};
}

// A new body and the old one dead: as fast for a million keys as for one.  What bytes hang on moves along.
Status Change::clear_keys() {
    uint64_t old = head_->body;
    if (head_->has(Head::in_row)) {
        TRY(row());
        is_row_changed_ = true;
    }
    if (head_->has(Head::summed) && batch_.touched.contains(key_)) {
        head_->flags = static_cast<uint8_t>(head_->flags & ~Head::summed);  // its rows may be in the batch only
    } else if (head_->has(Head::summed)) {
        std::string prefix = sums_key(old, 0).substr(0, 9);
        TRY(ground_.rows.scan(ground_.rows.bytes(), prefix, prefix, nullptr,
                              [&](std::string_view key, std::string_view value) -> Result<bool> {
                                  if (key.size() != 13) return fail(EIO, "damaged key");
                                  uint32_t number = 0;
                                  for (char c : key.substr(9)) number = number << 8 | static_cast<uint8_t>(c);
                                  sums_.emplace_back(number, value);
                                  return true;
                              }));
    }
    dead_bodies_.push_back(old);
    head_->body = ground_.new_body(batch_);
    return {};
}

void Change::merge_unsummed() {
    Head head = *before_;
    head.flags = static_cast<uint8_t>(head.flags & ~Head::summed);
    batch_.writes.Put(ground_.rows.objects(), key_, encode_head(head));
    batch_.touched.insert(key_);
    ground_.heads[key_] = std::move(head);
}

void Change::merge() {
    auto& writes = batch_.writes;
    Rows& rows = ground_.rows;
    for (const auto& [key, value] : saved_objects_) writes.Put(rows.objects(), key, value);
    for (const auto& [key, value] : saved_keys_) writes.Put(rows.omap(), key, value);
    for (const auto& [key, value] : saved_bytes_) writes.Put(rows.bytes(), key, value);
    for (KeyEdit& edit : key_edits_) {
        std::string key = body_key(edit.body, edit.name);
        if (edit.value) writes.Put(rows.omap(), key, *edit.value);
        else writes.Delete(rows.omap(), key);
        batch_.keys[std::move(key)] = std::move(edit.value);
    }
    for (const auto& key : removed_byte_rows_) writes.Delete(rows.bytes(), key);
    if (head_ && head_->has(Head::in_row) && is_row_changed_) {
        writes.Put(rows.bytes(), bytes_key(head_->body), *row_);
        batch_.bytes[head_->body] = std::move(*row_);
    }
    if (head_ && head_->has(Head::in_file))
        for (const auto& [number, value] : sums_) writes.Put(rows.bytes(), sums_key(head_->body, number), value);
    for (uint64_t body : dead_bodies_) writes.Put(rows.other(), number_key(kDeadBodyKey, body), "");
    for (uint64_t file : freed_files_) writes.Put(rows.other(), number_key(kFreeFileKey, file), "");
    if (used_file_ != 0) writes.Delete(rows.other(), number_key(kFreeFileKey, used_file_));
    if (head_ != before_) {
        if (head_) writes.Put(rows.objects(), key_, encode_head(*head_));
        else writes.Delete(rows.objects(), key_);
    }
    batch_.dead_bodies.insert(batch_.dead_bodies.end(), dead_bodies_.begin(), dead_bodies_.end());
    batch_.freed_files.insert(batch_.freed_files.end(), freed_files_.begin(), freed_files_.end());
    if (is_removed_ && before_) batch_.removed.push_back(object_);
    batch_.touched.insert(key_);
    ground_.heads[key_] = std::move(head_);
}

}  // namespace meshfs::local
