#include "fs/meta/ops/inode_home.h"

#include <algorithm>

#include "fs/base/log.h"
#include "fs/base/wire.h"

namespace meshfs::ops {
namespace {

constexpr int kRoundsMax = 64;
constexpr int kHopsMax = 16;

// Follows a number from slot to slot.  ENOENT: what was read contradicts itself, a race.
class Search {
public:
    Search(MetaCore& core, Ino ino) : core_(core), ino_(ino), at_(place_of(ino)) {}

    Result<Home> run() {
        for (int hop = 0; hop < kHopsMax; ++hop) {
            auto view = read_group(core_, group_object(at_.group),
                                   {.keys = {slot_key(at_.slot), unlinked_key(ino_)}});
            if (!view.ok() && view.code() != ENOENT) return view.error();
            if (view.ok() && view->key(unlinked_key(ino_)) != nullptr) return unlinked(view->object);
            std::optional<SlotRecord> slot;
            if (view.ok()) slot = TRY(view->record(decode_slot, slot_key(at_.slot)));
            if (slot && slot->kind == SlotRecord::Kind::name) return by_name(*view, slot->name);
            if (slot && slot->kind == SlotRecord::Kind::moved) {
                at_.slot = slot->to;
                continue;
            }
            // It left this slot: the away record knows where to by now, the slot at first.
            if (!asked_) {
                AwayRecord away = TRY(ask_away_record());
                if (away.is_linked) return linked();
                if (away.moves > 0) {
                    at_ = {away.group, away.slot};
                    continue;
                }
            }
            if (slot && slot->kind == SlotRecord::Kind::linked) return linked();
            if (!slot || slot->kind != SlotRecord::Kind::away) return fail(ESTALE);  // purged
            at_ = {slot->to_group, slot->to};
        }
        return fail(ENOENT);
    }

private:
    // Once a search; moves 0: there is none.
    Result<AwayRecord> ask_away_record() {
        asked_ = true;
        Place born = place_of(ino_);
        ObjectName object = away_object(born.group, born.slot);
        std::string key = slot_key(born.slot);
        auto answer = core_.store.ask(std::move(Query(object).keys({key})));
        if (!answer.ok() && answer.code() != ENOENT) return answer.error();
        if (!answer.ok() || !answer->keys.contains(key)) return AwayRecord{};
        return decode_at(decode_away, object, key, answer->keys.at(key));
    }

    Result<Home> by_name(const GroupView& group, const std::string& name) {
        auto view = TRY(read_group(core_, group.object, {.keys = {name_key(name)}}));
        auto dentry = TRY(view.record(decode_dentry, name_key(name)));
        if (!dentry || dentry->ino != ino_) return fail(ENOENT);
        Home home{.object = view.object, .key = name_key(name), .group = view.group(),
                  .directory = view.about.directory, .name = name};
        if (dentry->kind == Dentry::Kind::linked) {
            home.kind = Home::Kind::linked;
            home.object = linked_object(ino_);
            home.key = kInodeKey;
        }
        return home;
    }

    Home unlinked(const ObjectName& object) {
        return {.kind = Home::Kind::unlinked, .object = object, .key = unlinked_key(ino_)};
    }

    // Dead: its last name has gone since, and the away record says where u<ino> is.
    Result<Home> linked() {
        ObjectName object = linked_object(ino_);
        GroupView view = TRY(read_group(core_, object, {}));
        if (view.is_dead()) return fail(ENOENT);
        return Home{.kind = Home::Kind::linked, .object = object, .key = kInodeKey};
    }

    MetaCore& core_;
    const Ino ino_;
    Place at_;
    bool asked_ = false;
};

// Counts and times without a damaged record are a little wrong; without its inode the directory were lost.
Sum sum_of(const ObjectName& object, const std::vector<Key>& entries) {
    Sum sum;
    for (const auto& [key, value] : entries) {
        auto part = decode_at(decode_sum, object, key, value);
        if (part.ok()) sum += *part;
        else log_error("a directory's counts are wrong; `meshfs check --repair` rights them", {{"why", part.error().detail()}});
    }
    return sum;
}

// All sums of one group, of which the first page has been read.
Result<Sum> sum_of_group(MetaCore& core, const GroupView& view, const RangeAnswer& first) {
    Sum sum = sum_of(view.object, first.entries);
    RangeAnswer page = first;
    while (page.more) {
        Query query(view.object);
        query.range(page.entries.back().first, kSumKey);
        Answer answer = TRY(core.store.ask(std::move(query)));
        page = std::move(answer.ranges.at(0));
        sum += sum_of(view.object, page.entries);
    }
    return sum;
}

// Of the ranges beside the header, each read by itself: late by as long as it takes.
Result<Sum> sum_of_ranges(MetaCore& core, Ino directory) {
    if (auto kept = core.sums.find(directory, core.clock.boot_ns())) return *kept;
    RangeMap map = TRY(read_range_map(core, directory));
    Sum sum;
    for (const auto& [first, group] : map) {
        auto view = read_group_now(core, group_object(group), {.ranges = {{"", kSumKey, kRangeEntriesMax, 1u << 20}}});
        if (view.code() == ENOENT) continue;  // merged meanwhile
        if (!view.ok()) return view.error();
        if (view->is_dead() || view->about.directory != directory) continue;
        sum += TRY(sum_of_group(core, *view, view->answer.ranges.at(0)));
    }
    core.sums.put(directory, sum, core.clock.boot_ns());
    return sum;
}

// A directory's inode of what its header has, the sums of all ranges among it.
Inode whole_directory(const About& about, bool is_dead, InodeRecord record, Ino parent, const Sum& sum) {
    Inode inode = std::move(record.inode);
    if (sum.mtime > record.mtime_set) inode.mtime = std::max(inode.mtime, sum.mtime);
    inode.ctime = std::max(inode.ctime, sum.mtime);
    inode.parent = parent;
    if (about.end.empty()) inode.from.group = about.group;
    inode.names = sum.names > 0 ? static_cast<uint64_t>(sum.names) : 0;
    auto subdirectories = std::clamp<int64_t>(sum.subdirectories, 0, UINT32_MAX - 2);
    inode.links = is_dead ? 0 : 2 + static_cast<uint32_t>(subdirectories);
    return inode;
}

// False: ask.
bool add_sums(const Mirror& copy, Sum& sum) {
    bool is_whole = true;
    bool are_known = copy.visit(kSumKey, [&](const std::string&, const std::string& value) {
        auto part = decode_sum(value);
        if (part.ok()) sum += *part;
        else is_whole = false;
    });
    return are_known && is_whole;
}

// A directory all of whose groups this mount has for itself, in their copies.
std::optional<Inode> look_at_directory(MetaCore& core, Ino directory) {
    const Place place = place_of(directory);
    if (raw(place.slot) != 0) return {};
    About about;
    InodeRecord record;
    Ino parent{};
    Sum sum;
    std::vector<GroupId> ranges;
    bool is_known = core.held.peek(group_object(place.group), [&](const Mirror& copy) {
        if (copy.about() == nullptr) return false;
        about = *copy.about();
        auto inode = known(copy, decode_inode, kInodeKey);
        auto at = known(copy, decode_place, kPlaceKey);
        if (!inode || !at || !inode->inode.is_directory()) return false;
        record = std::move(*inode);
        parent = at->parent;
        bool is_whole = true;
        bool has_map = about.end.empty() || copy.visit("r", [&](const std::string&, const std::string& value) {
            auto range = decode_range(value);
            if (range.ok()) ranges.push_back(range->group);
            else is_whole = false;
        });
        return has_map && is_whole && add_sums(copy, sum);
    });
    auto add_range = [&](GroupId group) {
        return core.held.peek(group_object(group), [&](const Mirror& copy) {
            return copy.about() != nullptr && copy.about()->directory == directory && add_sums(copy, sum);
        });
    };
    if (!is_known || !std::all_of(ranges.begin(), ranges.end(), add_range)) return {};
    return whole_directory(about, false, std::move(record), parent, sum);
}

}  // namespace

std::optional<Home> guess_home(MetaCore& core, Ino ino) {
    auto hint = core.hints.find(ino);
    if (!hint) return {};
    return Home{.object = group_object(hint->group), .key = name_key(hint->name), .group = hint->group,
                .name = hint->name};
}

Result<Home> find_home(MetaCore& core, Ino ino) {
    Place place = place_of(ino);
    if (raw(place.slot) == 0)
        return Home{.kind = Home::Kind::header, .object = group_object(place.group), .key = kInodeKey};
    for (int round = 0; round < kRoundsMax; ++round) {
        auto home = Search(core, ino).run();
        if (home.code() != ENOENT) return home;
        if (round > 1) core.clock.sleep_ns(kNsPerMs << std::min(round, 4));
    }
    return fail(EIO, "records of number " + hex(raw(ino)) + " contradict each other");
}

Result<Dentry> dentry_at(const Home& home, Ino ino, const GroupView& view) {
    auto dentry = TRY(view.record(decode_dentry, home.key));
    if (!dentry || dentry->ino != ino || dentry->kind != Dentry::Kind::file) return fail(ENOENT);
    dentry->inode.from.group = view.group();
    return std::move(*dentry);
}

Result<Inode> inode_at(const Home& home, Ino ino, const GroupView& view) {
    switch (home.kind) {
        case Home::Kind::dentry: return TRY(dentry_at(home, ino, view)).inode;
        case Home::Kind::unlinked: {
            auto unlinked = TRY(view.record(decode_unlinked, home.key));
            if (!unlinked || unlinked->inode.ino != ino) return fail(ENOENT);
            return std::move(unlinked->inode);
        }
        case Home::Kind::linked:
        case Home::Kind::header: {
            auto record = TRY(view.record(decode_inode, home.key));
            if (!record || record->inode.ino != ino || view.is_dead()) return fail(ENOENT);
            return std::move(record->inode);
        }
    }
    return fail(EIO);
}

Wanted wanted_for_directory() {
    return {.keys = {kInodeKey, kPlaceKey}, .ranges = {{"", kSumKey, kRangeEntriesMax, 1u << 20}}};
}

Result<Inode> directory_inode(MetaCore& core, const GroupView& header) {
    auto record = TRY(header.record(decode_inode, kInodeKey));
    if (!record) return damaged(header.object, kInodeKey, fail(EIO, "there is none"));
    auto place = TRY(header.record(decode_place, kPlaceKey));
    if (!place) return damaged(header.object, kPlaceKey, fail(EIO, "there is none"));
    Sum sum = TRY(sum_of_group(core, header, header.answer.ranges.at(0)));
    if (!header.about.end.empty() && !header.is_dead()) sum += TRY(sum_of_ranges(core, header.about.directory));
    if (!record->inode.is_directory()) return damaged(header.object, kInodeKey, fail(EIO, "not a directory"));
    return whole_directory(header.about, header.is_dead(), std::move(*record), place->parent, sum);
}

Result<Sum> read_sum(MetaCore& core, const ObjectName& group) {
    auto view = TRY(read_group_now(core, group, {.ranges = {{"", kSumKey, kRangeEntriesMax, 1u << 20}}}));
    return sum_of_group(core, view, view.answer.ranges.at(0));
}

Result<uint64_t> count_names(MetaCore& core, const ObjectName& group) {
    Sum sum = TRY(read_sum(core, group));
    return static_cast<uint64_t>(std::max<int64_t>(sum.names, 0));
}

std::optional<Inode> look_at(MetaCore& core, const Home& home, Ino ino) {
    if (home.kind != Home::Kind::dentry) return {};
    std::optional<Inode> found;
    core.held.peek(home.object, [&](const Mirror& copy) {
        auto dentry = known(copy, decode_dentry, home.key);
        if (!dentry || dentry->ino != ino || dentry->kind != Dentry::Kind::file) return false;
        found = std::move(dentry->inode);
        found->from.group = home.group;
        return true;
    });
    return found;
}

Result<Inode> read_directory(MetaCore& core, Ino directory) {
    if (auto inode = look_at_directory(core, directory)) return std::move(*inode);
    return directory_inode(core, TRY(read_header(core, directory, wanted_for_directory())));
}

}  // namespace meshfs::ops
