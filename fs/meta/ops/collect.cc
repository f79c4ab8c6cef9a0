// gc: walks the tree once for records u<...> that whoever wrote them forgot, and clears away what dead
// sessions left.
//
// It queues what purge looks at again, removes groups of which it is proved that they have no name
// (nameless.cc), and ends sessions that nobody can need: nothing is judged garbage because it was not found.
// Any error of a listing ends it.
#include "fs/meta/ops/collect.h"

#include "fs/meta/intent.h"
#include "fs/meta/merge.h"
#include "fs/meta/ops/ops.h"
#include "fs/meta/patience.h"
#include "fs/meta/registry.h"

namespace meshfs::ops {
namespace {

constexpr int64_t kClockSkewSeconds = 60;  // `since` is another host's clock

// Memory: for each level of the tree one page of subdirectories and the groups of that directory.
class Walk {
public:
    Walk(MetaCore& core, Meta::GcReport& report, const std::function<void(uint64_t)>& progress)
        : core_(core), report_(report), progress_(progress) {}

    Status run() {
        TRY(enter(kRootIno));
        while (!levels_.empty()) {
            Level& level = levels_.back();
            if (!level.subdirectories.empty()) {
                Ino next = level.subdirectories.back();
                level.subdirectories.pop_back();
                TRY(enter(next));
            } else if (level.groups.empty()) {
                levels_.pop_back();
            } else {
                TRY(read_page(level));
            }
        }
        return {};
    }

private:
    struct Level {
        std::vector<GroupId> groups;  // the last is being read
        std::string after;            // of its names
        std::vector<Ino> subdirectories;
    };

    // One that is removed meanwhile has nothing to find: its own record leads purge there.
    // Ranges that shrank while nobody counted are merged; of those that were, only the unlinked are left.
    Status enter(Ino directory) {
        std::vector<GroupId> merged;
        auto map = read_range_map(core_, directory, &merged);
        if (map.ok() && !map->empty()) {
            for (const auto& [first, group] : *map) merge_if_small(core_, group_object(group));
            merged.clear();
            map = read_range_map(core_, directory, &merged);
        }
        if (map.code() == ESTALE) return {};
        if (!map.ok()) return map.error();
        for (GroupId group : merged) TRY(find_unlinked_if_there(group_object(group)));
        Level level;
        for (const auto& [first, group] : *map) level.groups.push_back(group);
        level.groups.push_back(place_of(directory).group);
        levels_.push_back(std::move(level));
        return {};
    }

    Status read_page(Level& level) {
        ObjectName object = group_object(level.groups.back());
        auto view = read_group_now(core_, object, {.ranges = {{level.after, "n", kRangeEntriesMax, 4u << 20}}});
        if (!view.ok() && view.code() != ENOENT) return view.error();
        bool is_gone = !view.ok() || view->is_dead();
        if (!is_gone) {
            if (level.after.empty()) TRY(find_unlinked(object));
            const RangeAnswer& names = view->answer.ranges.at(0);
            for (const auto& [key, value] : names.entries) {
                Dentry dentry = TRY(decode_at(decode_dentry, object, key, value));
                if (dentry.kind == Dentry::Kind::directory) level.subdirectories.push_back(dentry.ino);
                // A file with several names: each leads there, and what is found twice is purged once.
                if (dentry.kind == Dentry::Kind::linked) TRY(find_unlinked_if_there(linked_object(dentry.ino)));
                level.after = key;
            }
            if (names.more) return {};
        }
        level.groups.pop_back();
        level.after.clear();
        ++report_.groups;
        if (progress_) progress_(report_.groups);
        return {};
    }

    Status find_unlinked_if_there(const ObjectName& object) {
        Status found = find_unlinked(object);
        return found.code() == ENOENT ? Status() : found;
    }

    Status find_unlinked(const ObjectName& object) {
        const int64_t lease_seconds = core_.volume.lease_seconds;
        const int64_t long_ago = core_.clock.boot_ns() - 2 * lease_seconds * kNsPerSecond - 1;
        for (std::string after;;) {
            Answer answer = TRY(ask_patiently(core_.store, core_.clock, Query(object).range(after, "u")));
            const RangeAnswer& page = answer.ranges.at(0);
            for (const auto& [key, value] : page.entries) {
                UnlinkedRecord record = TRY(decode_at(decode_unlinked, object, key, value));
                bool is_old = core_.now().seconds - record.since.seconds > 2 * lease_seconds + kClockSkewSeconds;
                core_.unlinked.push({.object = object, .key = key, .since_ns = is_old ? long_ago : 0});
                ++report_.unlinked;
                after = key;
            }
            if (!page.more) return {};
        }
    }

    MetaCore& core_;
    Meta::GcReport& report_;
    const std::function<void(uint64_t)>& progress_;
    std::vector<Level> levels_;
};

// Sessions that have ended or died.  Who does not beat is watched for T; who beats is not waited for.
Result<std::vector<SessionId>> find_finished(MetaCore& core) {
    std::map<SessionId, uint64_t> watched;
    std::vector<SessionId> finished;
    for (const auto& info : TRY(list_sessions(core.store, core.clock, core.session_id())))
        if (!info.own) watched[info.id] = info.beat;
    const int64_t pause_ns = core.volume.lease_seconds * kNsPerSecond / 5;
    while (!watched.empty()) {
        for (const auto& info : TRY(list_sessions(core.store, core.clock, core.session_id()))) {
            auto known = watched.find(info.id);
            if (known != watched.end() && known->second != info.beat) watched.erase(known);
        }
        for (auto at = watched.begin(); at != watched.end();) {
            bool is_over = TRY(core.session->look_at(at->first)) != SessionState::alive;
            if (is_over) finished.push_back(at->first);
            at = is_over ? watched.erase(at) : std::next(at);
        }
        if (!watched.empty()) core.clock.sleep_ns(pause_ns);
    }
    return finished;
}

}  // namespace

Result<bool> clear_session(MetaCore& core, SessionId session) {
    TRY(finish_intents(core, session));
    ObjectName object = session_object(session);
    auto answer =
        ask_patiently(core.store, core.clock, Query(object).xattrs().range("", "b", 1).range("", "g", 1));
    if (!answer.ok() && answer.code() != ENOENT) return answer.error();
    if (answer.ok())
        for (const RangeAnswer& left : answer->ranges)
            if (!left.entries.empty()) return false;
    // The entry first: one without an object would be judged for ever.
    Mutation entry(registry_object(registry_of(session)));
    entry.remove_keys({registry_key(session)});
    TRY(apply_patiently(core.store, core.clock, entry));
    if (answer.ok()) {
        Mutation m(object);
        m.xattr_is(kStateXattr, answer->xattrs[kStateXattr]).remove();
        auto removed = apply_patiently(core.store, core.clock, m);
        if (!removed.ok() && removed.code() != ENOENT) return removed.error();
    }
    return true;
}

Result<Meta::GcReport> collect(MetaCore& core, const std::function<void(uint64_t)>& progress) {
    TRY(core.check_may_change());
    Meta::GcReport report;
    for (SessionId session : TRY(find_finished(core))) {
        TRY(finish_intents(core, session));
        if (TRY(can_write_no_more(core, session))) report.nameless += TRY(remove_nameless(core, session));
        if (TRY(clear_session(core, session))) ++report.sessions;
    }
    TRY(Walk(core, report, progress).run());
    return report;
}

}  // namespace meshfs::ops
