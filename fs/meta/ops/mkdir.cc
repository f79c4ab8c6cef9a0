// mkdir: first the child's own group, made exclusively, then its name in the parent.
//
// In this order a name always leads to an inode.  The child's `p` says in which slot the name will be before
// it is, so a crash between the two leaves a group of which gc can tell that it never had one:
// ops/nameless.cc.
#include <algorithm>

#include "fs/meta/ops/names.h"
#include "fs/meta/ops/new_inode.h"
#include "fs/meta/ops/ops.h"

namespace meshfs::ops {
namespace {

// The place the name will have: no other mutation than the one that names the child writes that slot first.
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

// The name, in that slot.  ERESTART: the range was split, and another group has it now.
Status add_directory(MetaCore& core, const CreateRequest& request, const std::string& key, const Inode& inode,
                     Place place, std::optional<GroupId>& whole) {
    return change_group(
        core, {.directory = request.directory, .name = request.name, .request_id = request.request_id},
        {.keys = {key}}, [&](GroupChange& change) -> Status {
            if (change.key(key) != nullptr) return fail(EEXIST);
            if (change.view().group() != place.group) return fail(ERESTART);
            whole = change.view().about.if_whole();
            Dentry dentry{.kind = Dentry::Kind::directory,
                          .ino = inode.ino,
                          .type = S_IFDIR,
                          .slot = place.slot,
                          .anchor = place.slot};
            NameEffects effects;
            add_name(effects, request.name, dentry, inode.ctime);
            effects.add_to(change);
            return {};
        });
}

Status name_directory(MetaCore& core, const CreateRequest& request, const std::string& key,
                      Inode& inode, Place place) {
    for (;;) {
        auto status = add_directory(core, request, key, inode, place, inode.from.names);
        if (status.code() != ERESTART) return status;
        place = TRY(reserve_place(core, request, key));
        TRY(change_group(core, {.object = group_object(place_of(inode.ino).group)}, {.keys = {kPlaceKey}},
                         [&](GroupChange& change) -> Status {
                             change.set(kPlaceKey, encode(PlaceRecord{request.directory, place}));
                             return {};
                         }));
        // In the store before the name is, which may be written at once: else gc takes it for one that never had a name.
        TRY(core.held.commit());
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
    const GroupId group = TRY(core.births.next(*core.session, *core.numbers));
    inode.ino = ino_of({group, Slot{0}});
    ObjectName header = group_object(group);
    // Nobody can know its number before its name: it is born in this mount's hands, if groups are held at all.
    const Lease lease = core.held.wants(header, 1).value_or(free_lease(1));
    TRY(make_header(core, inode, {request.directory, place}, lease));

    auto status = name_directory(core, request, key, inode, place);
    // Nobody knows it.  Where the name may yet come to be it stays, for gc.
    bool is_refused = status.code() == EEXIST || status.code() == ENOENT || status.code() == ESTALE;
    if (is_refused &&
        core.store.apply(std::move(Mutation(header).xattr_is(kLeaseXattr, encode(lease)).remove())).ok())
        core.births.settled(group);
    TRY(status);
    core.births.settled(group);
    inode.links = 2;
    inode.parent = request.directory;
    inode.from.group = group;
    return inode;
}

}  // namespace meshfs::ops
