// mkdir: first the child's own group, made exclusively, then its name in the parent.
//
// In this order a name always leads to an inode.  A crash between the two leaves a group without a name, which gc
// proves dead and removes; so does a mkdir that finds the name taken.
#include <algorithm>

#include "fs/meta/ops/names.h"
#include "fs/meta/ops/new_inode.h"
#include "fs/meta/ops/ops.h"

namespace meshfs::ops {
namespace {

// The place the name will have, unless its range is split meanwhile: `p` of the child says it.
Result<Place> reserve_place(MetaCore& core, const CreateRequest& request, const std::string& key) {
    auto view = TRY(read_range(core, request.directory, request.name, {.keys = {key}}));
    if (view.key(key) != nullptr) return fail(EEXIST);
    if (auto slot = core.slots.take(view.group())) return Place{view.group(), *slot};
    Place place;
    TRY(change_group(core, {.directory = request.directory, .name = request.name}, {.keys = {key}},
                     [&](GroupChange& change) -> Status {
        if (change.key(key) != nullptr) return fail(EEXIST);
        place = {change.view().group(), TRY(change.new_slot())};
        return {};
    }));
    return place;
}

Status make_header(MetaCore& core, const Inode& inode, const PlaceRecord& place, const Lease& lease) {
    GroupId group = place_of(inode.ino).group;
    Mutation m(group_object(group));
    m.absent().create();
    m.set_xattr(kLeaseXattr, encode(lease));
    m.set_xattr(kAboutXattr, encode(About{.group = group, .directory = inode.ino}));
    m.set_keys({{kInodeKey, encode(InodeRecord{.inode = inode})}, {kPlaceKey, encode(place)}});
    for (int tries = 0;; ++tries) {
        auto status = core.store.apply(m);
        if (status.code() == EEXIST && tries > 0) return {};  // ours: the number is nobody else's
        if (status.code() != ETIMEDOUT && status.code() != EAGAIN) return status;
        core.clock.sleep_ns(kNsPerMs << std::min(tries, 6));
    }
}

}  // namespace

Result<Inode> mkdir(MetaCore& core, const CreateRequest& request) {
    if (request.name == "." || request.name == "..") return fail(EEXIST);
    TRY(check_name(request.name));
    TRY(core.check_may_change());
    Inode inode = TRY(new_inode(request, core.now()));
    if (!inode.is_directory()) return fail(EINVAL);
    std::string key = name_key(request.name);
    Place place = TRY(reserve_place(core, request, key));
    inode.ino = ino_of({TRY(core.numbers->next_group()), Slot{0}});
    ObjectName header = group_object(place_of(inode.ino).group);
    // Nobody can know its number before its name: it is born in this mount's hands, if groups are held at all.
    const Lease lease = core.held.wants(header, 1).value_or(free_lease(1));
    TRY(make_header(core, inode, {request.directory, place}, lease));

    Place named;
    auto status = change_group(
        core, {.directory = request.directory, .name = request.name, .request_id = request.request_id},
        {.keys = {key}}, [&](GroupChange& change) -> Status {
            if (change.key(key) != nullptr) return fail(EEXIST);
            named.group = change.view().group();
            named.slot = named.group == place.group ? place.slot : TRY(change.new_slot());
            Dentry dentry{.kind = Dentry::Kind::directory, .ino = inode.ino, .type = S_IFDIR, .slot = named.slot,
                          .anchor = named.slot};
            NameEffects effects;
            add_name(effects, request.name, dentry, inode.ctime);
            effects.add_to(change);
            return {};
        });
    if (!status.ok()) {
        // Nobody knows it.  What a crash here leaves is gc's; so is it where the name may yet come to be.
        bool is_decided = status.code() == EEXIST || status.code() == ENOENT || status.code() == ESTALE;
        if (is_decided) (void)core.store.apply(std::move(Mutation(header).xattr_is(kLeaseXattr, encode(lease)).remove()));
        return status.error();
    }
    if (named != place)
        TRY(change_group(core, {.object = header}, {.keys = {kPlaceKey}}, [&](GroupChange& change) -> Status {
            change.set(kPlaceKey, encode(PlaceRecord{request.directory, named}));
            return {};
        }));
    inode.links = 2;
    inode.parent = request.directory;
    return inode;
}

}  // namespace meshfs::ops
