// split: a group with too many names gives the upper half of its range to a new one.
//
// The new group is made whole first, under X, while its number is known to nobody; then, with X on the directory's
// header and on the group, one intent frees it, puts it into the range map and cuts the old range.  The slots in the old
// group lead to the new ones, for cookies and places; the away records of the numbers do, too.  Other operations wait
// while X is held, then find the range anew.  A crash before the intent leaves a group without a name, which gc removes.
#include "fs/meta/split.h"

#include <deque>

#include "fs/base/log.h"
#include "fs/base/wire.h"
#include "fs/meta/ops/inode_home.h"
#include "fs/meta/patience.h"
#include "fs/meta/range_move.h"

namespace meshfs {
namespace {

constexpr size_t kMovedMax = 5000;        // names; what the intent says of them fits in it
constexpr size_t kChunkBytes = 2u << 20;  // of a mutation that fills the new group

class Split {
public:
    Split(MetaCore& core, ObjectName object) : core_(core), object_(std::move(object)) {}

    Status once() {
        auto found = read_group_now(core_, object_, {});
        if (found.code() == ENOENT || (found.ok() && found->is_dead())) return {};
        if (!found.ok()) return found.error();
        const Ino directory = found->about.directory;
        const ObjectName header_object = group_object(place_of(directory).group);
        change_.emplace(TRY(JointChange::begin(core_, {{object_, found->lease}, {header_object, {}}})));
        GroupView group = TRY(change_->read(object_, {})), header = TRY(change_->read(header_object, {}));
        if (group.about.directory != directory || header.about.directory != directory) return fail(ERESTART);
        if (TRY(read_upper_half()) == 0) return {};

        about_ = {.group = TRY(core_.births.next(*core_.session, *core_.numbers)),
                  .directory = directory,
                  .first = std::string(name_of_key(upper_.front().first)),
                  .end = group.about.end};
        RangeMove moved = TRY(move_names(*change_, group, upper_, {about_.group, about_.next_slot}, core_.now()));
        about_.next_slot = moved.next_slot;
        TRY(make_group(std::move(moved.arriving)));
        change_->free_new_group(group_object(about_.group), exclusive_lease(core_.session_id(), 1));
        change_->at(header).set.emplace_back(range_key(about_.first), encode(RangeRecord{about_.group}));
        About rest = group.about;
        rest.end = about_.first;
        change_->set_about(group, std::move(rest));
        TRY(change_->commit());
        core_.births.settled(about_.group);
        core_.maps.forget(directory);
        log_debug("a directory's range was split", {{"directory", hex(raw(directory))}, {"at", about_.first}});
        return {};
    }

private:
    // 0: there are not too many (any more).
    Result<size_t> read_upper_half() {
        size_t names = 0;
        std::deque<Key> upper;
        for (std::string after;;) {
            auto view = TRY(read_group_now(core_, object_, {.ranges = {{after, "n", kRangeEntriesMax, 4u << 20}}}));
            const RangeAnswer& range = view.answer.ranges.at(0);
            for (const auto& entry : range.entries) {
                after = entry.first;
                upper.push_back(entry);
                ++names;
                while (upper.size() > std::min(names / 2, kMovedMax)) upper.pop_front();
            }
            if (!range.more) break;
        }
        upper_.assign(std::make_move_iterator(upper.begin()), std::make_move_iterator(upper.end()));
        return names > core_.options.split_names ? upper_.size() : 0;
    }

    Status make_group(ops::NameEffects names) {
        const ObjectName object = group_object(about_.group);
        const std::string lease = encode(exclusive_lease(core_.session_id(), 1));
        std::vector<Key> records = std::move(names.set);
        records.emplace_back(kSumKey, encode(names.delta));
        Mutation first(object);
        first.absent().create().set_xattr(kLeaseXattr, lease).set_xattr(kAboutXattr, encode(about_));
        auto made = apply_patiently(core_.store, core_.clock, first);
        if (!made.ok() && made.code() != EEXIST) return made;  // EEXIST: an earlier try, the number is nobody else's
        std::vector<Key> chunk;
        size_t bytes = 0;
        for (size_t i = 0; i < records.size(); ++i) {
            bytes += records[i].first.size() + records[i].second.size();
            chunk.push_back(std::move(records[i]));
            if (bytes < kChunkBytes && i + 1 < records.size()) continue;
            TRY(apply_patiently(core_.store, core_.clock,
                                std::move(Mutation(object).xattr_is(kLeaseXattr, lease).set_keys(std::move(chunk)))));
            chunk.clear(), bytes = 0;
        }
        return {};
    }

    MetaCore& core_;
    const ObjectName object_;
    std::optional<JointChange> change_;
    std::vector<Key> upper_;  // n<name> of what moves
    About about_;             // of the new group
};

}  // namespace

void split_if_large(MetaCore& core, const ObjectName& object) {
    auto names = ops::count_names(core, object);
    if (names.ok() && *names > core.options.split_names / 2) core.held.keep_no_names(object);
    if (!names.ok() || *names <= core.options.split_names) return;
    auto status = joint_change(core, [&] { return Split(core, object).once(); });
    if (!status.ok()) log_warning("a directory's range could not be split", {{"object", object.name}, {"error", status.error().text()}});
}

}  // namespace meshfs
