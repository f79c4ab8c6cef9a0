// merge: a range with few names left goes to the one before it.
//
// With X on the directory's header and on both groups, one intent has it all: the earlier group gets the names, under
// new slots, and the end of the range; the later one loses them, its slots lead to the new ones, and it is dead; the
// range map no longer has it.  Away records lead numbers on.  Whoever comes with an old map finds the group dead and
// reads the map anew.  A crash before the intent changes nothing; after it any visitor finishes it.
//
// The dead group stays as long as its directory, which has it on record (`o`), and goes with it (purge.cc).  It is
// needed for what nobody could tell to go elsewhere: cookies; lanes, by which a mount learns what became of a change
// whose answer was lost; places that directories know their names by, which are many objects; and u<ino> of what was
// unlinked here, which stays here, open or not, as it does in a directory that was removed.  Of what is kept the slots
// are nearly all, and slots of names that are gone are kept in living groups as well.
//
// When: the later of two has at most a sixteenth of the names at which a group splits, so that a merge moves little,
// and emptying a large directory does not move its names about; both together have at most half of them, so that as
// many must come before the group is split again, and seven of eight must go before its halves are merged.
#include "fs/meta/merge.h"

#include "fs/base/log.h"
#include "fs/base/wire.h"
#include "fs/meta/ops/inode_home.h"
#include "fs/meta/range_move.h"

namespace meshfs {
namespace {

constexpr size_t kMovedMax = 1000;  // names
constexpr size_t kMovedBytesMax = 2u << 20;
constexpr int kInARowMax = 64;

size_t moved_max(const MetaCore& core) { return std::clamp<size_t>(core.options.split_names / 16, 1, kMovedMax); }
// Groups of two names, as simulations have, are merged as well.
size_t both_max(const MetaCore& core) {
    return std::min(core.options.split_names, std::max<size_t>(core.options.split_names / 2, 2));
}


struct Pair {
    Ino directory{};
    GroupId earlier{}, later{};
};

// As they look, whoever has them.  None: they have too many names, or there is no other range.
Result<std::optional<Pair>> find_pair(MetaCore& core, const ObjectName& object) {
    GroupView view = TRY(read_group_now(core, object, {}));
    if (view.is_dead() || view.about.is_whole()) return std::optional<Pair>();
    const uint64_t names = TRY(ops::count_names(core, object));
    if (names > both_max(core)) return std::optional<Pair>();
    RangeMap map = TRY(read_range_map(core, view.about.directory));
    map[""] = place_of(view.about.directory).group;
    auto own = map.find(view.about.first);
    if (own == map.end() || own->second != view.group()) return std::optional<Pair>();
    if (names <= moved_max(core) && own != map.begin()) {
        const GroupId before = std::prev(own)->second;
        if (names + TRY(ops::count_names(core, group_object(before))) <= both_max(core))
            return std::optional(Pair{view.about.directory, before, view.group()});
    }
    if (auto next = std::next(own); next != map.end()) {
        const uint64_t its = TRY(ops::count_names(core, group_object(next->second)));
        if (its <= moved_max(core) && names + its <= both_max(core))
            return std::optional(Pair{view.about.directory, view.group(), next->second});
    }
    return std::optional<Pair>();
}

class Merge {
public:
    Merge(MetaCore& core, const Pair& pair) : core_(core), pair_(pair) {}

    // False: they are not what they were, or have too much in them.
    Result<bool> once() {
        const ObjectName header_object = group_object(place_of(pair_.directory).group);
        const ObjectName earlier_object = group_object(pair_.earlier), later_object = group_object(pair_.later);
        std::vector<Exclusive::Wish> wishes;
        for (const ObjectName& object : {header_object, earlier_object, later_object}) {
            auto view = read_group_now(core_, object, {});
            if (view.code() == ENOENT || (view.ok() && view->is_dead())) return false;
            if (!view.ok()) return view.error();
            wishes.push_back({object, view->lease});
        }
        JointChange change = TRY(JointChange::begin(core_, std::move(wishes)));
        const GroupView later = TRY(change.read(
            later_object, {.ranges = {{"", "n", std::min(moved_max(core_) + 1, kRangeEntriesMax), kMovedBytesMax}}}));
        const GroupView earlier = TRY(change.read(earlier_object, {}));
        const std::string in_map = range_key(later.about.first);
        const GroupView header = TRY(change.read(header_object, {.keys = {in_map}}));
        if (!TRY(are_neighbours(earlier, later, header.record(decode_range, in_map)))) return false;
        const RangeAnswer& names = later.answer.ranges.at(0);
        const Slot slot{std::max(raw(earlier.about.next_slot), pair_.earlier == kRootGroup ? kFirstSlotOfRoot : kFirstSlot)};
        const bool fits = !names.more && names.entries.size() <= moved_max(core_) &&
                          names.entries.size() + TRY(ops::count_names(core_, earlier_object)) <= both_max(core_) &&
                          raw(slot) + names.entries.size() <= kSlotMax;
        if (!fits || TRY(has_unnamed(later_object))) return false;

        RangeMove moved = TRY(move_names(change, later, names.entries, {pair_.earlier, slot}, core_.now()));
        moved.arriving.delta.mtime = TRY(ops::read_sum(core_, later_object)).mtime;
        ops::NameEffects& arriving = change.at(earlier);
        arriving.set = std::move(moved.arriving.set);
        arriving.delta = moved.arriving.delta;
        About about = earlier.about;
        about.end = later.about.end;
        about.next_slot = moved.next_slot;
        change.set_about(earlier, std::move(about));
        ops::NameEffects& map = change.at(header);
        map.removed.push_back(in_map);
        map.set.emplace_back(merged_key(pair_.later), encode(RangeRecord{pair_.earlier}));
        change.kill(later);
        TRY(change.commit());
        core_.maps.forget(pair_.directory);
        log_debug("two ranges of a directory were merged", {{"directory", hex(raw(pair_.directory))}, {"at", later.about.first}});
        return true;
    }

private:
    Result<bool> are_neighbours(const GroupView& earlier, const GroupView& later,
                                const Result<std::optional<RangeRecord>>& in_map) const {
        if (!in_map.ok()) return in_map.error();
        return earlier.about.directory == pair_.directory && later.about.directory == pair_.directory &&
               !later.about.first.empty() && earlier.about.end == later.about.first && *in_map &&
               (*in_map)->group == pair_.later;
    }

    // A file of O_TMPFILE may get its first name yet, and that takes X on the group it was born in.  It keeps the
    // group until it has one or is closed.
    Result<bool> has_unnamed(const ObjectName& group) {
        for (std::string after;;) {
            GroupView view = TRY(read_group_now(core_, group, {.ranges = {{after, "u", kRangeEntriesMax, 4u << 20}}}));
            const RangeAnswer& page = view.answer.ranges.at(0);
            for (const auto& [key, value] : page.entries) {
                auto record = decode_unlinked(value);
                if (record.ok() && record->kind == UnlinkedRecord::Kind::file && !record->open.empty()) return true;
                after = key;
            }
            if (!page.more) return false;
        }
    }

    MetaCore& core_;
    const Pair pair_;
};

}  // namespace

bool is_time_to_merge(const MetaCore& core, const About& about, const Sum& delta, const Sum& sum) {
    const auto step = static_cast<int64_t>(std::min<size_t>(core.slots_at_once(), moved_max(core)));
    return delta.names < 0 && !about.is_whole() && sum.names % step == 0;
}

void merge_if_small(MetaCore& core, const ObjectName& group) {
    ObjectName object = group;
    for (int i = 0; i < kInARowMax; ++i) {
        auto pair = find_pair(core, object);
        if (pair.code() == ENOENT || pair.code() == ESTALE || (pair.ok() && !*pair)) return;  // ENOENT, ESTALE: raced
        auto merged = pair.ok() ? joint_change(core, [&] { return Merge(core, **pair).once(); }) : Result<bool>(pair.error());
        if (!merged.ok())
            log_warning("ranges of a directory could not be merged",
                        {{"object", object.name}, {"error", merged.error().text()}});
        if (!merged.ok() || !*merged) return;
        object = group_object((*pair)->earlier);
    }
}

}  // namespace meshfs
