#include "fs/vfs/check/across.h"

#include "fs/base/wire.h"
#include "fs/meta/ops/ops.h"
#include "fs/vfs/check/file_map.h"

namespace meshfs::check {
namespace {

struct LinkedView {
    std::optional<std::string> value;  // of `d`, as read
    Result<InodeRecord> record = fail(ENOENT);
    bool is_dead = false;
};

Result<LinkedView> read_linked(Scene& scene, Ino ino) {
    LinkedView view;
    auto group = read_group_now(scene.core, linked_object(ino), {.keys = {kInodeKey}});
    if (group.code() == ENOENT) return view;
    if (group.code() == EIO) return LinkedView{.record = group.error()};
    if (!group.ok()) return group.error();
    view.is_dead = group->is_dead();
    if (const std::string* value = group->key(kInodeKey)) view.value = *value, view.record = decode_inode(*value);
    return view;
}

// What is wrong with h.<ino> besides how many links it counts.
std::string wrong_in_linked(const LinkedView& view, Ino ino) {
    if (view.record.code() == ENOENT) return "is missing, and names lead to it";
    if (!view.record.ok()) return "cannot be read: " + view.record.error().detail();
    if (view.is_dead) return "is removed, and names lead to it";
    if (view.record->inode.ino != ino) return "is the inode of number " + hex(raw(view.record->inode.ino));
    return {};
}

Suspect wrong_links(Scene& scene, Ino ino, const LinkedView& view, uint64_t names) {
    Suspect suspect{.finding = {.object = linked_object(ino).name,
                                .key = kInodeKey,
                                .path = path_of(scene, ino),
                                .what = "counts " + std::to_string(view.record->inode.links) + " links and has " +
                                        std::to_string(names) + " names",
                                .repair = "it counts the names"},
                    .mend = nullptr};
    suspect.mend = [&scene, ino, view, names] {
        InodeRecord record = *view.record;
        record.inode.links = static_cast<uint32_t>(names);
        return mend_keys(scene, linked_object(ino), {{kInodeKey, view.value}}, {}, {{kInodeKey, encode(record)}});
    };
    return suspect;
}

Status tell_owners(Scene& scene, Report& report, const Walk::Recount& recount) {
    for (const auto& [blob, owners] : recount.owners) {
        std::vector<Ino> mapping;
        for (Ino ino : owners) {
            auto inode = ops::get(scene.core, ino);
            if (!inode.ok() && inode.code() != ESTALE && inode.code() != EIO) return inode.error();
            if (!inode.ok()) continue;
            for (const BlobUse& use : blobs_of(*inode))
                if (use.blob == blob) mapping.push_back(ino);
        }
        if (mapping.size() < 2) continue;  // one file, met twice because it moved
        std::string others;
        for (size_t i = 1; i < mapping.size(); ++i) others += (i > 1 ? ", " : "") + path_of(scene, mapping[i]);
        report.tell({.object = "b." + hex(raw(blob)),
                     .path = path_of(scene, mapping[0]),
                     .what = "blob is mapped by other files, too: " + others,
                     .repair = ""});
    }
    return {};
}

}  // namespace

std::string path_of(Scene& scene, Ino ino) {
    std::string path;
    for (int depth = 0; depth < 4096 && ino != kRootIno; ++depth) {
        auto name = ops::name_of(scene.core, ino);
        if (!name.ok()) return path.empty() ? path : "..." + path;
        path = "/" + printable(name->second) + path;
        ino = name->first;
    }
    return path.empty() ? "/" : path;
}

Status check_volume_objects(Scene& scene, Report& report, const CheckOptions&) {
    Suspects told;
    auto volume = scene.store.ask(std::move(Query(volume_object()).xattrs()));
    if (!volume.ok() && volume.code() != ENOENT) return volume.error();
    auto record =
        volume.ok() ? decode_volume(volume->xattrs[kVolumeXattr]) : Result<VolumeRecord>(fail(EIO, "there is none"));
    if (!record.ok())
        report.tell({.object = volume_object().name,
                     .key = kVolumeXattr,
                     .what = "cannot be read: " + record.error().detail() + "; nobody can mount",
                     .repair = ""});
    else if (record->state != VolumeRecord::State::ready)
        report.tell({.object = volume_object().name,
                     .key = kVolumeXattr,
                     .what = "says that making the volume did not end",
                     .repair = ""});
    auto move = scene.store.ask(std::move(Query(volume_move_object()).xattrs()));
    if (!move.ok() && move.code() != ENOENT) return move.error();
    std::string value = move.ok() ? move->xattrs[kLeaseXattr] : std::string();
    if (auto lease = decode_lease(value); !lease.ok()) {
        Finding finding{.object = volume_move_object().name,
                        .key = kLeaseXattr,
                        .what = (move.ok() ? "cannot be read: " + lease.error().detail() : "is missing") +
                                "; no directory can move",
                        .repair = "it is written anew, as free"};
        report.settle({{std::move(finding),
                        [&scene, value, is_there = move.ok()] {
                            std::string free = encode(free_lease(new_epoch(scene)));
                            if (is_there)
                                return mend_xattr(scene, volume_move_object(), kLeaseXattr,
                                                  value.empty() ? std::nullopt : std::optional(value), free);
                            Mutation m(volume_move_object());
                            m.absent().create().set_xattr(kLeaseXattr, free);
                            return scene.store.apply(std::move(m));
                        }}},
                      told);
    }
    for (unsigned i = 0; i < kRegistryObjects; ++i) {
        auto answer = scene.store.ask(std::move(Query(registry_object(i)).exists()));
        if (answer.ok()) continue;
        if (answer.code() != ENOENT) return answer.error();
        Finding finding{.object = registry_object(i).name,
                        .what = "is missing; sessions cannot be registered",
                        .repair = "it is made"};
        report.settle({{std::move(finding),
                        [&scene, i] { return scene.store.apply(std::move(Mutation(registry_object(i)).create())); }}},
                      told);
    }
    return {};
}

Status check_across(Scene& scene, Report& report, Walk& walk, const CheckOptions& options) {
    Walk::Seen& seen = walk.seen();
    std::set<Ino> miscounted;
    for (const auto& [ino, names] : seen.linked) {
        LinkedView view = TRY(read_linked(scene, ino));
        std::string wrong = wrong_in_linked(view, ino);
        if (!wrong.empty()) {
            report.tell(
                {.object = linked_object(ino).name, .path = path_of(scene, ino), .what = wrong, .repair = ""});
            continue;
        }
        if (view.record->inode.links != names) miscounted.insert(ino);
        for (std::string& sentence : TRY(wrong_in_map(scene, view.record->inode)))
            report.tell({.object = linked_object(ino).name,
                         .key = kInodeKey,
                         .path = path_of(scene, ino),
                         .what = std::move(sentence),
                         .repair = ""});
        for (const BlobUse& use : blobs_of(view.record->inode)) {
            if (!use.is_pack && !seen.mapped.add(raw(use.blob))) seen.mapped_twice.insert(use.blob);
            if (options.deep) seen.blobs.push_back(use);
        }
        if (options.deep)
            for (const BlobUse& use : TRY(freed_of_linked(scene, ino))) seen.blobs.push_back(use);
    }
    if (miscounted.empty() && seen.mapped_twice.empty()) return {};
    Walk::Recount recount = TRY(walk.recount(seen.mapped_twice, miscounted));
    Suspects told;
    for (Ino ino : miscounted) {
        LinkedView view = TRY(read_linked(scene, ino));
        uint64_t names = recount.linked[ino];
        if (!wrong_in_linked(view, ino).empty() || view.record->inode.links == names) continue;
        if (options.live && names != seen.linked[ino]) continue;  // names come and go
        report.settle({wrong_links(scene, ino, view, names)}, told);
    }
    for (auto& [blob, owners] : recount.owners)
        for (const auto& [ino, names] : seen.linked) {
            auto view = TRY(read_linked(scene, ino));
            if (!view.record.ok()) continue;
            for (const BlobUse& use : blobs_of(view.record->inode))
                if (use.blob == blob) owners.insert(ino);
        }
    return tell_owners(scene, report, recount);
}

}  // namespace meshfs::check
