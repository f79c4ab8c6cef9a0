#include "fs/vfs/check/group_pass.h"

#include <algorithm>

#include "fs/base/wire.h"
#include "fs/data/extents.h"
#include "fs/meta/lease.h"
#include "fs/vfs/check/file_map.h"

namespace meshfs::check {
namespace {

// Slots that living sessions may have reserved beyond the highest that is in use, when `about` is made anew.
constexpr uint32_t kSlotsReservedMax = 1u << 16;

// A value as a finding shows it.
std::string slot_text(Slot slot) { return "slot " + hex(raw(slot)); }

}  // namespace

Status GroupPass::run() {
    Query query(object_);
    query.xattrs().range("", "z").range("", "");
    Answer answer = TRY(scene_.store.ask(query));
    // What its holder has not written is written when it is asked for; who died has nothing to write.
    constexpr int kTriesMax = 20;
    for (int tries = 0; tries < kTriesMax; ++tries) {
        auto lease = decode_lease(answer.xattrs[kLeaseXattr]);
        bool may_lack = lease.ok() && (lease->flags & Lease::kept) != 0 && (lease->flags & Lease::write_through) == 0 &&
                        !lease->is_exclusive_of(scene_.core.session_id());
        if (!may_lack) break;
        auto holder = scene_.core.look_at(lease->session);
        if (holder.ok() && *holder != SessionState::alive) break;
        ask_back(scene_.core, object_, *lease);
        scene_.core.clock.sleep_ns(50 * kNsPerMs);
        answer = TRY(scene_.store.ask(query));
    }
    judge_frame(answer);
    lanes_before_ = answer.ranges.at(0).entries;
    bool are_all_lanes = !answer.ranges.at(0).more, is_one_page = !answer.ranges.at(1).more;
    TRY(read_pages(std::move(answer)));
    has_changed = !is_one_page && (!are_all_lanes || lanes_before_ != lanes_after_);
    judge_rest();
    return {};
}

Status GroupPass::read_pages(Answer first) {
    RangeAnswer page = std::move(first.ranges.at(1));
    for (;;) {
        for (const auto& [key, value] : page.entries) TRY(take(key, value));
        TRY(judge_numbers());
        if (!page.more) return {};
        Query query(object_);
        query.range(page.entries.back().first, "");
        Answer answer = TRY(scene_.store.ask(std::move(query)));
        page = std::move(answer.ranges.at(0));
    }
}

Status GroupPass::take(const std::string& key, const std::string& value) {
    switch (key[0]) {
        case 'd':
        case 'p':
        case 'r':
            if (role_.is_header) header.emplace(key, value);
            else
                suspect(key, "belongs to a directory's first group only", "it is taken away",
                        [this, key, value] { return take_away(scene_, object_, key, value); });
            return {};
        case 'i': take_slot(key, value); return {};
        case 'm': take_sum(key, value); return {};
        case 'n': return take_name(key, value);
        case 'u': return take_unlinked(key, value);
        case 'z':
            lanes_after_.emplace_back(key, value);
            if (auto lane = decode_lane(value); !lane.ok()) suspect_damage(key, value, lane.error());
            return {};
        default: return {};  // `q`: hints; what a repair took away; what a later version adds
    }
}

// --- lease and `about`

void GroupPass::judge_frame(const Answer& first) {
    auto xattr = [&](const char* name) -> std::string {
        auto found = first.xattrs.find(name);
        return found == first.xattrs.end() ? std::string() : found->second;
    };
    auto as_read = [](const std::string& value) { return value.empty() ? std::nullopt : std::optional(value); };
    lease_value = xattr(kLeaseXattr);
    about_value = xattr(kAboutXattr);
    if (auto decoded = decode_lease(lease_value); decoded.ok()) {
        lease = *decoded;
    } else {
        suspect(kLeaseXattr, "cannot be read: " + decoded.error().detail() + "; nothing in this group can change",
                "it is written anew, as free", [this, before = as_read(lease_value)] {
                    return mend_xattr(scene_, object_, kLeaseXattr, before, encode(free_lease(new_epoch(scene_))));
                });
    }
    if (lease && lease->kind == Lease::Kind::breaking)
        suspect(kLeaseXattr, "is being taken since epoch " + std::to_string(lease->epoch) + ", by nobody",
                "it is freed", [this] {
                    return mend_xattr(scene_, object_, kLeaseXattr, lease_value,
                                      encode(free_lease(lease->epoch + 1)));
                });
    std::string wrong;
    if (auto decoded = decode_about(about_value); !decoded.ok()) {
        wrong = "cannot be read: " + decoded.error().detail() + "; nothing in this group can change";
    } else {
        about = *decoded;
        if (about->group != role_.group) wrong = "says it is group " + hex(raw(about->group));
        else if (about->directory != role_.directory)
            wrong = "says it belongs to directory " + hex(raw(about->directory));
        else if (about->first != role_.first) wrong = "says its first name is \"" + printable(about->first) + "\"";
    }
    if (wrong.empty()) return;
    suspect(kAboutXattr, wrong, "it is written as the directory's range map says",
            [this, before = as_read(about_value)] {
                return mend_xattr(scene_, object_, kAboutXattr, before, encode(sound_about()));
            });
}

// A header's own map is in it.
std::string GroupPass::end_by_map() const {
    if (role_.end) return *role_.end;
    auto range = header.lower_bound("r");
    return range == header.end() ? std::string() : std::string(name_of_key(range->first));
}

// As the walk knows it; slots from behind all that are in use.
About GroupPass::sound_about() const {
    About sound{.group = role_.group, .directory = role_.directory, .first = role_.first, .end = end_by_map()};
    uint64_t next = uint64_t{std::max(slots_end_, kFirstSlotOfRoot)} + kSlotsReservedMax;
    sound.next_slot = Slot{static_cast<uint32_t>(std::min<uint64_t>(next, uint64_t{kSlotMax} + 1))};
    if (about && about->group == role_.group) sound.next_slot = std::max(sound.next_slot, about->next_slot);
    return sound;
}

// --- slots and names

void GroupPass::take_slot(const std::string& key, const std::string& value) {
    auto slot = slot_of_key(key);
    if (!slot.ok()) return suspect_damage(key, value, slot.error());
    slots_end_ = std::max(slots_end_, raw(*slot) + 1);
    SlotSeen& seen = slots_[raw(*slot)];
    auto record = decode_slot(value);
    if (!record.ok()) {
        seen.state = SlotSeen::State::damaged;
    } else if (record->kind == SlotRecord::Kind::name) {
        seen.state = SlotSeen::State::name;
        seen.name_hash = std::hash<std::string>{}(record->name);
    } else if (record->kind == SlotRecord::Kind::moved) {
        seen.state = SlotSeen::State::moved;
        seen.to = record->to;
    }
}

Status GroupPass::take_name(const std::string& key, const std::string& value) {
    std::string name(name_of_key(key));
    ++names;
    ++counted_.names;
    auto dentry = decode_dentry(value);
    if (!dentry.ok()) {
        damaged_names_.insert(std::hash<std::string>{}(name));
        suspect_damage(key, value, dentry.error(), name);
        return {};
    }
    if (!check_name(name).ok() || name == "." || name == "..")
        suspect(
            key, "is no name a file can have", "it is taken away",
            [this, key, value] { return take_away(scene_, object_, key, value); }, name);
    if (about && !about->covers(name)) suspect(key, "is outside of the range of its group", "", nullptr, name);
    judge_slots_of(name, value, *dentry);
    if (!TRY(scene_.is_given(place_of(dentry->ino).group)))
        suspect(key, "has number " + hex(raw(dentry->ino)) + ", which was never given out", "", nullptr, name);
    switch (dentry->kind) {
        case Dentry::Kind::file:
            ++files;
            counted_.bytes += static_cast<int64_t>(dentry->inode.map.bytes);
            TRY(judge_file(name, value, dentry->inode));
            break;
        case Dentry::Kind::linked: linked.push_back(dentry->ino); break;
        case Dentry::Kind::directory:
            ++counted_.subdirectories;
            if (raw(place_of(dentry->ino).slot) != 0) {
                suspect(
                    key, "is a directory with the number of a file", "it is taken away",
                    [this, key, value] { return take_away(scene_, object_, key, value); }, name);
                return {};
            }
            children.push_back({dentry->ino, name, dentry->anchor});
            return {};  // whether its number leads here is what its `p` says
    }
    if (place_of(dentry->ino) != Place{role_.group, dentry->anchor})
        foreign_.push_back({name, dentry->ino, dentry->anchor});
    return {};
}

void GroupPass::judge_slots_of(const std::string& name, const std::string& value, const Dentry& dentry) {
    auto write = [this, name, value](Slot slot, SlotRecord record) {
        return [this, name, value, slot, record] {
            return mend_keys(scene_, object_, {{name_key(name), value}}, {slot_key(slot)},
                             {{slot_key(slot), encode(record)}});
        };
    };
    SlotSeen& seen = slots_[raw(dentry.slot)];
    if (seen.state == SlotSeen::State::name && seen.name_hash == std::hash<std::string>{}(name)) {
        seen.ino = dentry.ino;
    } else {
        suspect(name_key(name), slot_text(dentry.slot) + " does not lead back to it", "the slot is written",
                write(dentry.slot, SlotRecord{.name = name}), name);
        seen = {.state = SlotSeen::State::name, .name_hash = std::hash<std::string>{}(name), .ino = dentry.ino};
    }
    slots_end_ = std::max({slots_end_, raw(dentry.slot) + 1, raw(dentry.anchor) + 1});
    if (dentry.anchor == dentry.slot || slot_leads_to(dentry.anchor, dentry.slot)) return;
    SlotRecord moved{
        .kind = SlotRecord::Kind::moved, .name = name, .to = dentry.slot, .gone_at = scene_.core.now().seconds};
    suspect(name_key(name), slot_text(dentry.anchor) + ", by which its number finds it, does not lead to it",
            "the slot is written", write(dentry.anchor, moved), name);
    slots_[raw(dentry.anchor)] = {.state = SlotSeen::State::moved, .to = dentry.slot};
}

bool GroupPass::slot_leads_to(Slot from, Slot slot) const {
    auto found = slots_.find(raw(from));
    return found != slots_.end() && found->second.state == SlotSeen::State::moved && found->second.to == slot;
}

Status GroupPass::judge_file(const std::string& name, const std::string& value, const Inode& inode) {
    if (inode.links != 1)
        suspect(
            name_key(name), "counts " + std::to_string(inode.links) + " links and has one name", "it counts one",
            [this, name, value]() -> Status {
                Dentry dentry = TRY(decode_dentry(value));
                dentry.inode.links = 1;
                return mend_keys(scene_, object_, {{name_key(name), value}}, {}, {{name_key(name), encode(dentry)}});
            },
            name);
    for (std::string& wrong : TRY(wrong_in_map(scene_, inode)))
        suspect(name_key(name), std::move(wrong), "", nullptr, name);
    for (const BlobUse& use : blobs_of(inode)) blobs.push_back(use);
    return {};
}

// --- at the end

void GroupPass::take_sum(const std::string& key, const std::string& value) {
    auto sum = decode_sum(value);
    if (sum.ok()) {
        summed_ += *sum;
        return;
    }
    has_damaged_sums_ = true;
    suspect_damage(key, value, sum.error());
}

void GroupPass::judge_rest() {
    for (const auto& [number, seen] : slots_) {
        const Slot slot{number};
        const char* wrong =
            seen.state == SlotSeen::State::damaged ? "cannot be read"
            : seen.state == SlotSeen::State::name && seen.ino == Ino{} && !damaged_names_.contains(seen.name_hash)
                ? "leads to a name that is not there, or is in another slot"
                : nullptr;
        if (wrong == nullptr) continue;
        suspect(slot_key(slot), wrong, "it is taken away; no name needs it", [this, slot]() -> Status {
            auto view = TRY(read_group_now(scene_.core, object_, {.keys = {slot_key(slot)}}));
            const std::string* value = view.key(slot_key(slot));
            return value == nullptr ? Status() : take_away(scene_, object_, slot_key(slot), *value);
        });
    }
    if (about && about->directory == role_.directory && about->end != end_by_map())
        suspect(kAboutXattr,
                "says its names end at \"" + printable(about->end) + "\", the range map says \"" +
                    printable(end_by_map()) + "\"",
                "it is written as the map says",
                [this] { return mend_xattr(scene_, object_, kAboutXattr, about_value, encode(sound_about())); });
    if (about && raw(about->next_slot) < slots_end_ && about->group == role_.group)
        suspect(kAboutXattr, "would give out slots again that are in use", "it goes on behind them",
                [this] { return mend_xattr(scene_, object_, kAboutXattr, about_value, encode(sound_about())); });
    if (has_changed || !damaged_names_.empty() || has_damaged_sums_) return;
    Sum missing = counted_;
    missing += {.names = -summed_.names, .subdirectories = -summed_.subdirectories, .bytes = -summed_.bytes};
    if (missing.names == 0 && missing.subdirectories == 0 && missing.bytes == 0) return;
    // Whatever others do meanwhile: they add to both sides, so the difference stays what it is.
    suspect(kSumKey,
            "sums are wrong: there are " + std::to_string(missing.names) + " more names, " +
                std::to_string(missing.subdirectories) + " more subdirectories, " + std::to_string(missing.bytes) +
                " more bytes than they say",
            "the difference is added", [this, missing] {
                return change_group(scene_.core, {.object = object_}, {}, [&](GroupChange& change) -> Status {
                    change.add(missing);
                    return {};
                });
            });
}

// --- what is told

void GroupPass::suspect(const std::string& key, std::string what, std::string repair, std::function<Status()> mend,
                        const std::string& name) {
    Finding finding{.object = object_.name,
                    .key = printable(key),
                    .path = role_.path,
                    .what = std::move(what),
                    .repair = std::move(repair)};
    if (!name.empty()) finding.path += (finding.path == "/" ? "" : "/") + printable(name);
    suspects.push_back({std::move(finding), std::move(mend)});
}

void GroupPass::suspect_damage(const std::string& key, const std::string& value, const Error& why,
                               const std::string& name) {
    suspect(
        key, "cannot be read: " + why.detail(), "it is taken away, with its bytes kept under ?" + printable(key),
        [this, key, value] { return take_away(scene_, object_, key, value); }, name);
}

}  // namespace meshfs::check
