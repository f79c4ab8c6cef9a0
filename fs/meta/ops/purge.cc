// purge: what became of unlinked files, removed directories and freed extents.
//
// A file without a name cannot be opened any more, only stay open.  So once every session has answered that it has it
// not, or ended or died, nobody ever will: its bytes go, then its record.  Extents and directories are not open: on
// shared stores they are kept for 2T, for readers that are late; so is what had several names, for late steps of its
// intents.  Each step may be done again.
#include <algorithm>
#include <set>

#include "fs/base/log.h"
#include "fs/base/wire.h"
#include "fs/meta/ops/inode_home.h"
#include "fs/meta/ops/ops.h"
#include "fs/meta/patience.h"
#include "fs/meta/registry.h"
#include "fs/store/io_batch.h"

namespace meshfs::ops {
namespace {

using Item = UnlinkedQueue::Item;

constexpr size_t kAskedMax = 1024;   // numbers in one question
constexpr size_t kKeysMax = 256;    // records in one query
constexpr int64_t kPauseMaxNs = 3600 * kNsPerSecond;

std::string numbers_text(const std::vector<Ino>& numbers) {
    Encoder e;
    for (Ino ino : numbers) e.u64(raw(ino));
    return e.take();
}

std::vector<Ino> numbers_in(std::string_view text) {
    std::vector<Ino> numbers;
    for (Decoder d(text); !d.at_end();) {
        Ino ino{d.u64()};
        if (d.ok()) numbers.push_back(ino);
    }
    return numbers;
}

// Looks at what is due, and clears what may go.
class Clearing {
public:
    Clearing(MetaCore& core) : core_(core), now_(core.clock.boot_ns()), lease_ns_(core.volume.lease_seconds * kNsPerSecond) {}

    // What fails is tried again later, and does not keep the rest.  The first error.
    Status run(std::vector<Item> items) {
        std::map<ObjectName, std::vector<Item>> by_object;
        for (Item& item : items) {
            if (item.since_ns == 0) item.since_ns = now_;
            if (item.object.name.empty()) {
                auto home = find_home(core_, TRY(ino_of_unlinked_key(item.key)));
                if (!home.ok() && home.code() != ESTALE) note_error(home.error(), {item});
                if (!home.ok() || home->kind != Home::Kind::unlinked) continue;
                item.object = home->object;
            }
            auto& of_object = by_object[item.object];
            of_object.push_back(item);
            if (of_object.size() == kKeysMax) look_at(item.object, std::exchange(of_object, {}));
        }
        for (const auto& [object, of_object] : by_object) look_at(object, of_object);
        ask();
        return first_error_;
    }

private:
    void note_error(const Error& error, const std::vector<Item>& items) {
        if (first_error_.ok()) first_error_ = error;
        for (const Item& item : items) again(item, now_ + lease_ns_ / 3);
    }

    void look_at(const ObjectName& object, const std::vector<Item>& items) {
        if (items.empty()) return;
        auto status = look(object, items);
        if (!status.ok()) note_error(status.error(), items);
    }

    Status look(const ObjectName& object, const std::vector<Item>& items) {
        std::vector<std::string> keys;
        for (const Item& item : items) keys.push_back(item.key);
        auto answer = ask_patiently(core_.store, core_.clock, Query(object).keys(keys));
        if (answer.code() == ENOENT) return {};
        if (!answer.ok()) return answer.error();
        for (const Item& item : items) {
            auto found = answer->keys.find(item.key);
            if (found == answer->keys.end()) continue;  // purged, or it has a name again
            auto record = decode_at(decode_unlinked, object, item.key, found->second);
            if (record.ok()) TRY(sort(item, std::move(record->inode), record->kind));
            else log_error("what is deleted cannot be purged", {{"error", record.error().text()}});
        }
        return {};
    }

    Status sort(const Item& item, Inode inode, UnlinkedRecord::Kind kind) {
        switch (kind) {
            case UnlinkedRecord::Kind::linked:
                // Until then a late step that made h.<ino> must find it there, dead.
                if (waits(item) || !TRY(remove_linked(item, inode.ino))) return {};
                [[fallthrough]];
            case UnlinkedRecord::Kind::file:
                if (!core_.open_files.keeps(inode.ino)) files_.emplace_back(item, std::move(inode));
                return {};
            case UnlinkedRecord::Kind::directory:
                if (waits(item)) return {};
                return remove_directory(item, inode.ino);
            case UnlinkedRecord::Kind::extents:
                if (!waits(item)) clear(item, std::move(inode));
                return {};
        }
        return {};
    }

    // Late readers and steps of other mounts have had their time?
    bool waits(const Item& item) {
        if (core_.store.is_exclusive() || now_ - item.since_ns >= 2 * lease_ns_) return false;
        again(item, item.since_ns + 2 * lease_ns_);
        return true;
    }

    void again(Item item, int64_t due_ns) {
        item.due_ns = due_ns;
        core_.unlinked.push(std::move(item));
    }

    void clear(const Item& item, Inode inode, bool is_found_again = false) {
        core_.purges.put_cleared({.inode = std::move(inode), .token = Purges::token_of({item.object, item.key}),
                                  .since_ns = item.since_ns, .is_found_again = is_found_again});
    }

    // Who answers that it has a file open tells nobody when it closes it, but purges it then; so does its death, found
    // when it is asked again, ever less often.
    void ask() {
        if (files_.empty()) return;
        std::vector<Ino> numbers;
        for (const auto& [item, inode] : files_) numbers.push_back(inode.ino);
        auto answers = core_.session->ask_everybody(numbers_text(numbers));
        if (!answers.ok()) {
            for (const auto& [item, inode] : files_) again(item, now_ + lease_ns_ / 3);
            if (answers.code() != EAGAIN && first_error_.ok()) first_error_ = answers.error();
            return;
        }
        std::set<Ino> open;
        for (const auto& [session, text] : *answers)
            for (Ino ino : numbers_in(text)) open.insert(ino);
        std::map<ObjectName, std::vector<std::pair<Item, Inode>>> closed;
        for (auto& [item, inode] : files_) {
            if (open.contains(inode.ino)) again(item, now_ + std::clamp(now_ - item.since_ns, lease_ns_, kPauseMaxNs));
            else closed[item.object].emplace_back(item, std::move(inode));
        }
        for (auto& [object, of_object] : closed) clear_if_nameless(object, std::move(of_object));
    }

    // Who had it open when the record was read may have given it a name, and closed it before he was asked; maybe in
    // a group he holds, which is asked back to see that.
    void clear_if_nameless(const ObjectName& object, std::vector<std::pair<Item, Inode>> files) {
        std::vector<std::string> keys;
        for (const auto& [item, inode] : files) keys.push_back(item.key);
        auto now = read_group(core_, object, {.keys = keys});
        if (now.code() == ENOENT) return;
        for (auto& [item, inode] : files) {
            if (!now.ok()) {
                note_error(now.error(), {item});
                continue;
            }
            auto record = now->record(decode_unlinked, item.key);  // as who had it open last left it
            if (!record.ok()) log_error("what is deleted cannot be purged", {{"error", record.error().text()}});
            else if (*record) clear(item, std::move((*record)->inode));
        }
    }

    // The dead h.<ino> goes, after the extents that were freed from it while it lived.  False: not yet, it is looked at
    // again.
    Result<bool> remove_linked(const Item& item, Ino ino) {
        const ObjectName object = linked_object(ino);
        auto view = read_group_now(core_, object, {.ranges = {{"", "u", kRangeEntriesMax, 1u << 20}}});
        if (view.code() == ENOENT) return true;
        if (!view.ok()) return view.error();
        if (!view->is_dead()) return damaged(item.object, item.key, fail(EIO, "object " + object.name + " is in use"));
        const auto& left = view->answer.ranges.at(0).entries;
        bool is_clear = true;
        for (const auto& [key, value] : left) {
            auto record = decode_at(decode_unlinked, object, key, value);
            if (record.ok()) clear({.object = object, .key = key, .since_ns = item.since_ns}, std::move(record->inode), true);
            else log_error("what is deleted cannot be purged", {{"error", record.error().text()}});
            is_clear &= record.ok();
        }
        if (!left.empty()) {
            again(item, is_clear ? now_ : now_ + std::clamp(now_ - item.since_ns, lease_ns_, kPauseMaxNs));
            return false;
        }
        if (TRY(is_made_by_an_intent(object))) {
            again(item, now_ + lease_ns_ / 3);
            return false;
        }
        auto removed = apply_patiently(core_.store, core_.clock,
                                       std::move(Mutation(object).xattr_is(kLeaseXattr, view->lease_value).remove()));
        if (!removed.ok() && removed.code() != ENOENT) return removed.error();
        return true;
    }

    // The intent that made h.<ino> was done, but may still be in the object of its session: were that one dead, who
    // finishes its intents would make h.<ino> anew after this.  Looked for once a run: no new intent makes what is dead.
    Result<bool> is_made_by_an_intent(const ObjectName& object) {
        if (!made_) {
            tend_intents(core_);
            std::set<std::string> made;
            for (const auto& [session, record] : TRY(read_registry(core_.store, core_.clock))) {
                bool is_own = session == core_.session_id();
                if (!is_own && TRY(core_.look_at(session)) != SessionState::alive) TRY(finish_intents(core_, session));
                made.merge(TRY(made_by_intents(core_, session)));
            }
            made_ = std::move(made);
        }
        return made_->contains(object.name);
    }

    // All its groups, the header last: it has the map.  Files that were unlinked in them go first.
    Status remove_directory(const Item& item, Ino directory) {
        std::vector<ObjectName> groups;
        std::vector<GroupId> merged;
        auto map = read_range_map(core_, directory, &merged);
        if (!map.ok() && map.code() != ESTALE) return map.error();
        if (map.ok())
            for (const auto& [first, group] : *map) groups.push_back(group_object(group));
        for (GroupId group : merged) groups.push_back(group_object(group));
        groups.push_back(group_object(place_of(directory).group));
        for (const ObjectName& group : groups) {
            auto view = read_group_now(core_, group, {.ranges = {{"", "u", kRangeEntriesMax, 1u << 20}}});
            if (view.code() == ENOENT) continue;
            if (!view.ok()) return view.error();
            if (!view->is_dead()) return {};
            const auto& left = view->answer.ranges.at(0).entries;
            // What was unlinked in it was so before it was removed itself: who is late with it has had his time, too.
            for (const auto& [key, value] : left)
                core_.unlinked.push({.object = group, .key = key, .since_ns = item.since_ns});
            if (!left.empty()) {
                again(item, now_ + std::clamp((now_ - item.since_ns) / 8, lease_ns_ / 10, kPauseMaxNs));
                return {};
            }
            Mutation m(group);
            m.xattr_is(kLeaseXattr, view->lease_value).remove();
            auto removed = apply_patiently(core_.store, core_.clock, m);
            if (!removed.ok() && removed.code() != ENOENT) return removed;
        }
        core_.maps.forget(directory);
        core_.purges.put_removed({.place = {item.object, item.key}, .had_locks = true});  // a directory may be locked, too
        return {};
    }

    MetaCore& core_;
    const int64_t now_, lease_ns_;
    std::vector<std::pair<Item, Inode>> files_;
    std::optional<std::set<std::string>> made_;  // by intents that are there
    Status first_error_;
};

// The records of what is removed go, those of one object in one mutation.
Status forget_removed(MetaCore& core) {
    std::map<ObjectName, std::vector<std::string>> by_object;
    IoBatch locks(core.store);
    for (auto& [place, had_locks] : core.purges.take_removed()) {
        auto& [object, key] = place;
        if (had_locks && key.size() == unlinked_key(Ino{}).size() && !core.store.is_exclusive())
            locks.add(std::move(Mutation(locks_object(TRY(ino_of_unlinked_key(key)))).remove()), {ENOENT});
        by_object[object].push_back(std::move(key));
    }
    (void)locks.wait();  // what stays is a few bytes
    Status first_error;
    for (const auto& removed : by_object) {
        const ObjectName& object = removed.first;  // no bindings: clang 14 lets no lambda have them
        const std::vector<std::string>& keys = removed.second;
        auto status = change_group(core, {.object = object, .may_be_dead = true}, {}, [&](GroupChange& change) -> Status {
            for (const auto& key : keys) change.remove(key);
            return {};
        });
        if (status.ok() || status.code() == ESTALE) continue;
        for (const auto& key : keys) core.purges.put_removed({.place = {object, key}});
        if (first_error.ok()) first_error = status;
    }
    return first_error;
}

}  // namespace

std::string answer_which_are_open(MetaCore& core, std::string_view question) {
    std::vector<Ino> open;
    for (Ino ino : numbers_in(question))
        if (core.open_files.keeps(ino)) open.push_back(ino);
    return numbers_text(open);
}

Result<std::vector<Purgeable>> purgeable(MetaCore& core, size_t max) {
    TRY(core.check_may_change());
    (void)forget_removed(core);  // an error of it keeps nothing else, and is told when there is nothing else
    for (;;) {
        auto cleared = core.purges.take_cleared(max);
        if (!cleared.empty()) return cleared;
        auto items = core.unlinked.take(kAskedMax, core.clock.boot_ns());
        if (items.empty()) {
            TRY(forget_removed(core));
            return cleared;
        }
        // Bytes go only after the name they had is gone for ever.
        if (auto committed = core.held.commit(); !committed.ok()) {
            for (auto& item : items) core.unlinked.push(std::move(item));
            return committed.error();
        }
        TRY(Clearing(core).run(std::move(items)));
    }
}

Status purged(MetaCore& core, const Purgeable& item) {
    return core.purges.put_removed(item) ? forget_removed(core) : Status();
}

// Not at once, or who cannot remove it would do nothing else.
void purge_later(MetaCore& core, const Purgeable& item) {
    if (item.is_found_again) return;
    auto [object, key] = Purges::place_of_token(item.token);
    const int64_t due_ns = core.clock.boot_ns() + core.volume.lease_seconds * kNsPerSecond / 3;
    core.unlinked.push({.object = std::move(object), .key = std::move(key), .since_ns = item.since_ns, .due_ns = due_ns});
}

Status end_purges(MetaCore& core) { return forget_removed(core); }

}  // namespace meshfs::ops
