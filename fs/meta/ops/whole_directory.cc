#include "fs/meta/ops/whole_directory.h"

#include <algorithm>

namespace meshfs::ops {

Result<std::vector<Exclusive::Wish>> objects_of_directory(MetaCore& core, Ino directory) {
    auto header = read_header(core, directory, {});
    if (header.code() == ESTALE || (header.ok() && header->is_dead())) return fail(ERESTART);
    if (!header.ok()) return header.error();
    std::vector<Exclusive::Wish> objects{{header->object, header->lease}};
    if (header->about.end.empty()) return objects;
    for (const auto& [first, group] : TRY(read_range_map(core, directory)))
        objects.push_back({group_object(group), std::nullopt});
    return objects;
}

Result<std::vector<GroupView>> read_empty_directory(JointChange& change, Ino directory,
                                                    const std::vector<Exclusive::Wish>& objects) {
    std::vector<GroupView> groups;
    for (const auto& wish : objects) {
        Wanted wanted{.keys = {kInodeKey, kPlaceKey}, .ranges = {{"", "n", 1, 1}}};
        groups.push_back(TRY(change.read(wish.object, std::move(wanted))));
        const GroupView& group = groups.back();
        if (group.about.directory != directory) return fail(ERESTART);
        if (!group.answer.ranges.at(0).entries.empty()) return fail(ENOTEMPTY);
    }
    // Ranges that lie end to end, from the first name to none, are all there are.
    std::vector<const About*> ranges;
    for (const GroupView& group : groups) ranges.push_back(&group.about);
    std::sort(ranges.begin(), ranges.end(), [](auto* a, auto* b) { return a->first < b->first; });
    bool is_whole = ranges.front()->first.empty() && ranges.back()->end.empty();
    for (size_t i = 1; i < ranges.size(); ++i) is_whole &= ranges[i - 1]->end == ranges[i]->first;
    return is_whole ? Result(std::move(groups)) : fail(ERESTART);
}

Result<Inode> kill_directory(JointChange& change, const std::vector<GroupView>& groups) {
    const GroupView& header = groups.front();
    auto record = TRY(header.record(decode_inode, kInodeKey));
    if (!record) return damaged(header.object, kInodeKey, fail(EIO, "there is none"));
    for (const GroupView& group : groups) change.kill(group);
    record->inode.links = 0;
    return std::move(record->inode);
}

}  // namespace meshfs::ops
