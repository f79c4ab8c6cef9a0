#include "fs/meta/group.h"

#include <algorithm>

#include "fs/base/wire.h"
#include "fs/meta/intent.h"

namespace meshfs {
namespace {

// A race is looked at again this often before its loser says the tree is damaged.
constexpr int kRoundsMax = 64;
// A header that has not that name, and a map that knows of no range beside it: races look so once or twice.
constexpr int kContradictionsMax = 4;
// A read that the store gave up on (`soft`) is asked again this often.
constexpr int kTimeoutsMax = 3;

Result<GroupView> view_of(const ObjectName& object, Answer answer) {
    GroupView view;
    view.object = object;
    auto lease = answer.xattrs.find(kLeaseXattr);
    if (lease == answer.xattrs.end()) return damaged(object, kLeaseXattr, fail(EIO, "there is no lease"));
    view.lease_value = lease->second;
    view.lease = TRY(decode_at(decode_lease, object, kLeaseXattr, view.lease_value));
    auto about = answer.xattrs.find(kAboutXattr);
    if (about != answer.xattrs.end()) {
        view.about_value = about->second;
        view.about = TRY(decode_at(decode_about, object, kAboutXattr, view.about_value));
    } else if (object.name.starts_with("g.")) {
        return damaged(object, kAboutXattr, fail(EIO, "there is none"));
    }
    view.answer = std::move(answer);
    return view;
}

}  // namespace

Result<GroupView> read_group_now(MetaCore& core, const ObjectName& object, const Wanted& wanted) {
    Query query(object);
    query.xattrs();
    if (!wanted.keys.empty()) query.keys(wanted.keys);
    for (const auto& r : wanted.ranges) query.range(r.after, r.prefix, r.entries_max, r.bytes_max);
    for (int timeouts = 0;; ++timeouts) {
        auto answer = core.store.ask(query);
        if (answer.ok()) return view_of(object, std::move(answer).value());
        bool again = answer.code() == EAGAIN || (answer.code() == ETIMEDOUT && timeouts < kTimeoutsMax);
        if (!again) return answer.error();
        core.clock.sleep_ns(kNsPerMs << std::min(timeouts, 6));
    }
}

Result<GroupView> read_group(MetaCore& core, const ObjectName& object, const Wanted& wanted) {
    Reading reading;
    for (int64_t since = 0;;) {
        GroupView view = TRY(read_group_now(core, object, wanted));
        bool is_in_use = view.lease.kind == Lease::Kind::exclusive && (view.lease.flags & Lease::write_through) == 0 &&
                         !view.lease.is_kept_by(core.session_id());
        if (!is_in_use || reading.may_read(view.lease)) return view;
        // A mount that only reads judges nobody: what a silent one had not written, nobody has seen.  Nobody else can have an
        // embedded store: who had the group is dead.
        bool is_left = !core.session && core.store.is_exclusive();
        if (!core.session && (view.lease.flags & Lease::kept) != 0) {
            if (since == 0) since = core.clock.boot_ns();
            is_left |= core.clock.boot_ns() - since > core.volume.lease_seconds * kNsPerSecond;
        }
        // What is in the store is whole, but for an operation that was begun, and who only reads must not finish that.
        if (is_left) {
            if (!TRY(is_half_done(core, object, view.lease))) return view;
            return fail(EBUSY, "object " + object.name + " is half changed by a mount that died; mount the volume once, not "
                                                         "read-only, and it is finished");
        }
        TRY(reading.wait(core, object, view.lease));
    }
}

Result<GroupView> read_header(MetaCore& core, Ino directory, const Wanted& wanted) {
    Place place = place_of(directory);
    if (raw(place.slot) != 0) return fail(ENOTDIR);
    auto view = read_group(core, group_object(place.group), wanted);
    if (view.code() == ENOENT) return fail(ESTALE);
    return view;
}

Result<RangeMap> read_range_map(MetaCore& core, Ino directory, std::vector<GroupId>* merged) {
    RangeMap map;
    bool more = true;
    for (std::string after, after_merged; more;) {
        Wanted wanted{.ranges = {{after, "r", kRangeEntriesMax, 4u << 20}}};
        if (merged != nullptr) wanted.ranges.push_back({after_merged, "o", kRangeEntriesMax, 4u << 20});
        GroupView view = TRY(read_header(core, directory, wanted));
        for (const auto& [key, value] : view.answer.ranges.at(0).entries) {
            RangeRecord range = TRY(decode_at(decode_range, view.object, key, value));
            map[std::string(name_of_key(key))] = range.group;
            after = key;
        }
        more = view.answer.ranges.at(0).more;
        if (merged == nullptr) continue;
        for (const auto& [key, value] : view.answer.ranges.at(1).entries) {
            merged->push_back(TRY(decode_at(group_of_merged_key, view.object, key, key)));
            after_merged = key;
        }
        more |= view.answer.ranges.at(1).more;
    }
    core.maps.put(directory, map);
    return map;
}

Result<GroupView> read_range(MetaCore& core, Ino directory, std::string_view name, const Wanted& wanted) {
    Place header = place_of(directory);
    if (raw(header.slot) != 0) return fail(ENOTDIR);
    for (int round = 0; round < kRoundsMax; ++round) {
        GroupId group = core.maps.find(directory, name).value_or(header.group);
        auto view = read_group(core, group_object(group), wanted);
        bool is_header = group == header.group;
        if (!view.ok() && view.code() != ENOENT) return view;
        if (view.ok() && !view->is_dead() && view->about.directory == directory && view->about.covers(name))
            return view;
        if (is_header) {
            if (!view.ok()) return fail(ESTALE);
            if (view->is_dead()) return fail(ENOENT);
            if (view->about.directory != directory)
                return damaged(view->object, kAboutXattr, fail(EIO, "of another directory"));
        }
        // The map is stale, or was never read.
        RangeMap map = TRY(read_range_map(core, directory));
        if (is_header && !view->about.covers(name) && map.empty() && round >= kContradictionsMax)
            return damaged(group_object(header.group), "r", fail(EIO, "no range has this name"));
        if (round > 2) core.clock.sleep_ns(kNsPerMs << std::min(round, 6));
    }
    return fail(EIO, "ranges of directory " + hex(raw(directory)) + " disagree with its map");
}

Status check_name(std::string_view name) {
    if (name.size() > kNameMax) return fail(ENAMETOOLONG);
    if (name.empty() || name.find('/') != name.npos || name.find('\0') != name.npos) return fail(EINVAL);
    return {};
}

}  // namespace meshfs
