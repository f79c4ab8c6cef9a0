#include "test/sim/invariants.h"

#include <map>
#include <set>

#include "fs/base/wire.h"
#include "fs/meta/format.h"

namespace meshfs::sim {
namespace {

struct Group {
    Lease lease;
    About about;
    std::map<std::string, std::string> keys;
    std::map<std::string, Dentry> names;
    std::map<Slot, SlotRecord> slots;
};

class Checker {
public:
    explicit Checker(MemoryCluster& cluster) : cluster_(cluster), client_(cluster.add_client()) {}

    std::vector<std::string> run() {
        for (const auto& name : cluster_.names(kMetaPool))
            if (name.starts_with("g.")) load(name);
        if (!groups_.contains(kRootGroup)) broken("there is no root");
        walk(kRootGroup, kRootIno);
        for (const auto& [ino, count] : linked_) check_linked(ino, count);
        for (const auto* ids : {&reached_, &merged_})
            for (GroupId id : *ids)
                for (const auto& [key, value] : groups_.at(id).keys) check_unlinked(id, key, value);
        check_nameless();
        return std::move(broken_);
    }
    uint64_t merged() const { return merged_.size(); }

private:
    void broken(const std::string& what) { broken_.push_back(what); }
    static std::string text(GroupId id) { return "group " + hex(raw(id)); }

    // Nothing if the object is missing.
    std::optional<Answer> read(const ObjectName& object) {
        auto answer = cluster_.query(client_, Query(object).xattrs());
        if (!answer.ok()) return std::nullopt;
        std::string after;
        bool more = true;
        while (more) {
            auto page = cluster_.query(client_, Query(object).range(after, ""));
            if (!page.ok()) break;
            more = page->ranges[0].more;
            for (auto& [name, value] : page->ranges[0].entries) {
                after = name;
                answer->keys.emplace(name, value);
            }
        }
        return std::move(*answer);
    }

    template <class Decode>
    auto decode(Decode how, const std::string& where, const std::string& value) {
        auto result = how(value);
        if (!result.ok()) broken(where + " cannot be read: " + result.error().text());
        return result;
    }

    void load(const std::string& name) {
        auto answer = read({kMetaPool, name});
        if (!answer) return;
        auto number = parse_hex(std::string_view(name).substr(2));
        if (!number.ok()) return broken(name + " is no name of a group");
        Group group;
        auto lease = decode(decode_lease, name + " lease", answer->xattrs[kLeaseXattr]);
        auto about = decode(decode_about, name + " about", answer->xattrs[kAboutXattr]);
        if (!lease.ok() || !about.ok()) return;
        group.lease = *lease;
        group.about = *about;
        if (raw(about->group) != *number) broken(name + " says it is " + text(about->group));
        for (const auto& [key, value] : answer->keys) {
            const std::string where = name + " key " + key;
            if (key[0] == 'n') {
                auto dentry = decode(decode_dentry, where, value);
                if (dentry.ok()) group.names.emplace(key.substr(1), std::move(*dentry));
            } else if (key[0] == 'i') {
                auto slot = slot_of_key(key);
                auto record = decode(decode_slot, where, value);
                if (slot.ok() && record.ok()) group.slots.emplace(*slot, std::move(*record));
            }
        }
        group.keys = std::move(answer->keys);
        groups_.emplace(GroupId{*number}, std::move(group));
    }

    // All groups of a directory, then what they lead to.
    void walk(GroupId header, Ino directory) {
        std::vector<GroupId> ranges{header};
        auto found = groups_.find(header);
        if (found == groups_.end()) return broken(text(header) + " of directory " + hex(raw(directory)) + " is missing");
        for (const auto& [key, value] : found->second.keys) {
            if (key[0] == 'o') check_merged(header, key);
            if (key[0] != 'r') continue;
            auto range = decode(decode_range, text(header) + " key " + key, value);
            if (range.ok() && range->group != header) ranges.push_back(range->group);
        }
        std::map<std::string, std::string> parts;
        for (GroupId id : ranges) {
            auto group = groups_.find(id);
            if (group == groups_.end()) {
                broken(text(id) + ", a range of directory " + hex(raw(directory)) + ", is missing");
                continue;
            }
            if (!reached_.insert(id).second) {
                broken(text(id) + " is reached twice");
                return;
            }
            check_group(id, group->second, directory);
            parts.emplace(group->second.about.first, group->second.about.end);
        }
        std::string expected;
        for (const auto& [first, end] : parts) {
            if (first != expected) broken("ranges of directory " + hex(raw(directory)) + " leave a gap before " + first);
            expected = end;
        }
        if (!expected.empty()) broken("ranges of directory " + hex(raw(directory)) + " end at " + expected);
    }

    // Slots, lanes and what is unlinked stay in it, as long as its directory.
    void check_merged(GroupId header, const std::string& key) {
        auto id = decode(group_of_merged_key, text(header), key);
        if (!id.ok()) return;
        auto group = groups_.find(*id);
        if (group == groups_.end()) return broken(text(*id) + ", which was merged, is missing");
        if (group->second.lease.kind != Lease::Kind::dead) broken(text(*id) + " was merged and is not dead");
        if (!group->second.names.empty()) broken(text(*id) + " was merged and has names");
        merged_.insert(*id);
    }

    void check_group(GroupId id, const Group& group, Ino directory) {
        if (group.about.directory != directory) broken(text(id) + " belongs to another directory");
        if (group.lease.kind == Lease::Kind::dead) broken(text(id) + " is dead and has a name");
        bool is_left = group.lease.kind == Lease::Kind::exclusive && (group.lease.flags & Lease::kept) == 0;
        if (is_left) broken(text(id) + " is still held after all is quiet");
        for (const auto& [name, dentry] : group.names) check_name(id, group, name, dentry);
        for (const auto& [slot, record] : group.slots) {
            if (record.kind != SlotRecord::Kind::name) continue;
            auto dentry = group.names.find(record.name);
            if (dentry == group.names.end() || dentry->second.slot != slot)
                broken(text(id) + " slot " + hex(raw(slot)) + " leads to name " + record.name + " that is not there");
        }
        check_sums(id, group);
    }

    void check_name(GroupId id, const Group& group, const std::string& name, const Dentry& dentry) {
        const std::string what = text(id) + " name " + name;
        if (!group.about.covers(name)) broken(what + " is outside of its range");
        auto slot = group.slots.find(dentry.slot);
        if (slot == group.slots.end() || slot->second.kind != SlotRecord::Kind::name || slot->second.name != name)
            broken(what + ": slot " + hex(raw(dentry.slot)) + " does not lead back");
        if (dentry.anchor != dentry.slot) {
            auto anchor = group.slots.find(dentry.anchor);
            if (anchor == group.slots.end() || anchor->second.kind != SlotRecord::Kind::moved || anchor->second.to != dentry.slot)
                broken(what + ": anchor " + hex(raw(dentry.anchor)) + " does not lead to its slot");
        }
        if (dentry.kind != Dentry::Kind::directory) check_hops(what, {id, dentry.anchor}, dentry);
        switch (dentry.kind) {
            case Dentry::Kind::file:
                if (dentry.inode.links != 1) broken(what + " has links " + std::to_string(dentry.inode.links));
                if (!met_.insert(dentry.ino).second) broken(what + ": number " + hex(raw(dentry.ino)) + " is met twice");
                break;
            case Dentry::Kind::linked: ++linked_[dentry.ino]; break;
            case Dentry::Kind::directory: check_directory(what, id, dentry); break;
        }
    }

    // A number is found at its birthplace, or where the away record there says.
    void check_hops(const std::string& what, Place at, const Dentry& dentry) {
        const Place born = place_of(dentry.ino);
        auto answer = read(away_object(born.group, born.slot));
        const std::string key = slot_key(born.slot);
        AwayRecord away{.group = born.group, .slot = born.slot};
        if (answer && answer->keys.contains(key)) {
            auto record = decode(decode_away, what + " away", answer->keys[key]);
            if (!record.ok()) return;
            away = *record;
        }
        const bool is_linked = dentry.kind == Dentry::Kind::linked;
        if (away.is_linked != is_linked || (!is_linked && (away.group != at.group || away.slot != at.slot)))
            broken(what + ": number " + hex(raw(dentry.ino)) + " leads elsewhere");
    }

    void check_directory(const std::string& what, GroupId id, const Dentry& dentry) {
        if (!met_.insert(dentry.ino).second) return broken(what + ": directory " + hex(raw(dentry.ino)) + " is met twice");
        GroupId header = place_of(dentry.ino).group;
        auto found = groups_.find(header);
        if (found == groups_.end()) return broken(what + " leads to no group");
        auto place = found->second.keys.find(kPlaceKey);
        if (place == found->second.keys.end()) {
            broken(what + ": the directory does not know its place");
        } else if (auto record = decode(decode_place, text(header) + " key p", place->second); record.ok()) {
            if (record->parent != groups_.at(id).about.directory)
                broken(what + ": the directory says it is in " + hex(raw(record->parent)));
        }
        walk(header, dentry.ino);
    }

    void check_sums(GroupId id, const Group& group) {
        Sum sum;
        for (const auto& [key, value] : group.keys)
            if (key[0] == 'm')
                if (auto part = decode(decode_sum, text(id) + " key m", value); part.ok()) sum += *part;
        int64_t subdirectories = 0;
        for (const auto& [name, dentry] : group.names) subdirectories += dentry.kind == Dentry::Kind::directory;
        if (sum.names != static_cast<int64_t>(group.names.size()))
            broken(text(id) + " has " + std::to_string(group.names.size()) + " names and counts " + std::to_string(sum.names));
        if (sum.subdirectories != subdirectories)
            broken(text(id) + " has " + std::to_string(subdirectories) + " subdirectories and counts " +
                   std::to_string(sum.subdirectories));
    }

    void check_linked(Ino ino, uint32_t count) {
        if (met_.contains(ino)) broken("number " + hex(raw(ino)) + " is met as a file and as a linked one");
        auto answer = read(linked_object(ino));
        if (!answer || !answer->keys.contains(kInodeKey)) return broken("h." + hex(raw(ino)) + " is missing");
        auto record = decode(decode_inode, "h." + hex(raw(ino)), answer->keys[kInodeKey]);
        if (record.ok() && record->inode.links != count)
            broken("h." + hex(raw(ino)) + " has links " + std::to_string(record->inode.links) + " and " + std::to_string(count) + " names");
    }

    // After gc: what is being made has no name yet, and is on record with a mount that lives.
    void check_nameless() {
        std::set<GroupId> being_made;
        for (const auto& name : cluster_.names(kMetaPool)) {
            if (!name.starts_with("s.")) continue;
            auto session = read({kMetaPool, name});
            if (!session) continue;
            auto state = decode(decode_state, name + " state", session->xattrs[kStateXattr]);
            if (!state.ok() || state->state != SessionState::alive) continue;
            for (const auto& [key, value] : session->keys) {
                if (key[0] != 'g') continue;
                auto first = group_of_births_key(key);
                auto record = decode(decode_births, name + " key g", value);
                for (uint64_t i = 0; first.ok() && record.ok() && i < record->count; ++i)
                    being_made.insert(GroupId{raw(*first) + i});
            }
        }
        for (const auto& [id, group] : groups_)
            if (group.lease.kind != Lease::Kind::dead && !reached_.contains(id) && !being_made.contains(id))
                broken(text(id) + " of directory " + hex(raw(group.about.directory)) + " has no name");
    }

    void check_unlinked(GroupId id, const std::string& key, const std::string& value) {
        if (key[0] != 'u') return;
        auto record = decode(decode_unlinked, text(id) + " key u", value);
        if (!record.ok() || record->kind == UnlinkedRecord::Kind::extents) return;
        if (met_.contains(record->inode.ino) || linked_.contains(record->inode.ino))
            broken("number " + hex(raw(record->inode.ino)) + " is unlinked and has a name");
    }

    MemoryCluster& cluster_;
    const ClientId client_;
    std::map<GroupId, Group> groups_;
    std::set<GroupId> reached_, merged_;
    std::set<Ino> met_;
    std::map<Ino, uint32_t> linked_;  // how many names
    std::vector<std::string> broken_;
};

}  // namespace

std::vector<std::string> broken_invariants(MemoryCluster& cluster, uint64_t& merged) {
    Checker checker(cluster);
    auto broken = checker.run();
    merged = checker.merged();
    return broken;
}

}  // namespace meshfs::sim
