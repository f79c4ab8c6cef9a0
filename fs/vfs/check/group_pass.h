// One group, from its first key to its last: every record decodes, names and slots lead to each other, sums are what
// there is, what is unlinked has no name.
#pragma once

#include <map>
#include <set>
#include <unordered_map>

#include "fs/vfs/check/scene.h"

namespace meshfs::check {

// What the walk knows of a group before it is read.
struct GroupRole {
    GroupId group{};
    Ino directory{};
    bool is_header = false;
    std::string first;               // by the range map
    std::optional<std::string> end;  // none: not known yet (a header's, before its map is read)
    std::string path;                // of the directory, printable
};

class GroupPass {
public:
    GroupPass(Scene& scene, GroupRole role)
        : scene_(scene), role_(std::move(role)), object_(group_object(role_.group)) {}
    // ENOENT: there is no such object.  Other errors: the store's.
    Status run();
    GroupId group() const { return role_.group; }

    Suspects suspects;
    std::optional<Lease> lease;  // none: it does not decode
    std::string lease_value;
    std::optional<About> about;  // the same
    std::string about_value;
    std::map<std::string, std::string> header;  // `d`, `p` and all `r` (the last keys of the map), as read
    struct Child {
        Ino ino{};
        std::string name;
        Slot anchor{};
    };
    std::vector<Child> children;  // directories
    std::vector<Ino> linked;      // of names that lead to h.<ino>
    std::vector<Ino> dead;        // directories in `u`
    std::vector<BlobUse> blobs;
    uint64_t names = 0, files = 0;
    bool is_gone = false;      // nothing of it is to be walked; set by who judges
    bool has_changed = false;  // between the first page and the last: its sums were not judged

private:
    struct SlotSeen {
        enum class State : uint8_t { damaged, name, moved, other } state = State::other;
        Slot to{};             // moved
        size_t name_hash = 0;  // name
        Ino ino{};             // of the name that it leads to, once that was met
    };
    struct Foreign {  // a name whose number was born elsewhere
        std::string name;
        Ino ino{};
        Slot anchor{};
    };
    Status read_pages(Answer first);
    Status take(const std::string& key, const std::string& value);
    void judge_frame(const Answer& first);
    void take_slot(const std::string& key, const std::string& value);
    Status take_name(const std::string& key, const std::string& value);
    void judge_slots_of(const std::string& name, const std::string& value, const Dentry& dentry);
    Status judge_file(const std::string& name, const std::string& value, const Inode& inode);
    Status judge_numbers();  // of `foreign_`
    Status take_unlinked(const std::string& key, const std::string& value);
    Status judge_unlinked(const std::string& key, const std::string& value, const UnlinkedRecord& record);
    Status judge_freed(const std::string& key, const std::string& value, const UnlinkedRecord& record);
    void take_sum(const std::string& key, const std::string& value);
    void judge_rest();
    bool slot_leads_to(Slot from, Slot slot) const;

    void suspect(const std::string& key, std::string what, std::string repair, std::function<Status()> mend,
                 const std::string& name = {});
    void suspect_damage(const std::string& key, const std::string& value, const Error& why,
                        const std::string& name = {});
    std::string end_by_map() const;
    About sound_about() const;

    Scene& scene_;
    const GroupRole role_;
    const ObjectName object_;
    std::unordered_map<uint32_t, SlotSeen> slots_;
    std::vector<Foreign> foreign_;  // of the page in work
    uint32_t slots_end_ = 0;        // behind the highest slot met
    std::vector<Key> lanes_before_, lanes_after_;
    std::set<size_t> damaged_names_;  // hashes of their names
    bool has_damaged_sums_ = false;
    Sum counted_, summed_;
};

}  // namespace meshfs::check
