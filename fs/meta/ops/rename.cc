// rename inside one group: both names as read, one mutation.  Everything else is rename_across.
//
// The moved dentry gets a new slot and its old one points there, so that cookies and numbers keep leading to it; a
// file that is replaced lives on under u<ino>.  A crash leaves nothing half done.
#include "fs/meta/ops/names.h"
#include "fs/meta/ops/ops.h"

namespace meshfs::ops {
namespace {

class Rename {
public:
    Rename(MetaCore& core, const RenameRequest& request)
        : core_(core), r_(request), wanted_{.keys = {name_key(r_.from_name), name_key(r_.to_name)}} {}

    Result<Renamed> run() {
        ChangeTarget target{.directory = r_.from_directory, .name = r_.from_name};
        for (;;) {
            auto status = change_group(core_, target, wanted_, [&](GroupChange& change) { return build(change); });
            if (status.code() == ERESTART) continue;  // an anchor is wanted, too
            if (status.code() == EXDEV) return rename_across(core_, r_);
            TRY(status);
            return finish();
        }
    }

private:
    Status build(GroupChange& change) {
        replaced_.reset();
        partner_.reset();
        const GroupView& view = change.view();
        if (!view.about.covers(r_.to_name)) return fail(EXDEV);
        group_ = view.group();
        auto from = TRY(view.record(decode_dentry, name_key(r_.from_name)));
        auto to = TRY(view.record(decode_dentry, name_key(r_.to_name)));
        if (!from || (r_.exchange && !to)) return fail(ENOENT);
        if (to && r_.no_replace) return fail(EEXIST);
        moved_ = *from;
        if (r_.from_name == r_.to_name) return {};
        if (to && to->ino == from->ino) return {};  // two names of one file: POSIX does nothing
        Time now = core_.now();
        NameEffects effects;
        if (r_.exchange) {
            TRY(exchange(change, effects, *from, *to, now));
        } else {
            if (to) TRY(replace(view, effects, *from, *to, now));
            moved_ = TRY(move(change, effects, *from, r_.from_name, r_.to_name, now, true));
        }
        effects.add_to(change);
        return {};
    }

    Status exchange(GroupChange& change, NameEffects& effects, const Dentry& from, const Dentry& to, Time now) {
        moved_ = TRY(move(change, effects, from, r_.from_name, r_.to_name, now, false));
        partner_ = TRY(move(change, effects, to, r_.to_name, r_.from_name, now, false));
        return {};
    }

    Status replace(const GroupView& view, NameEffects& effects, const Dentry& from, const Dentry& to, Time now) {
        bool is_from_directory = from.kind == Dentry::Kind::directory;
        if (to.kind == Dentry::Kind::directory) return is_from_directory ? fail(EXDEV) : fail(EISDIR);
        if (is_from_directory) return fail(ENOTDIR);
        if (to.kind == Dentry::Kind::linked) return fail(EXDEV);
        replaced_ = Unlinked{drop_file(effects, r_.to_name, to, TRY(read_anchor(view, to, wanted_)), now)};
        effects.removed.clear();  // the name stays, with another behind it
        return {};
    }

    Result<Dentry> move(GroupChange& change, NameEffects& effects, const Dentry& dentry, std::string_view from,
                        std::string_view to, Time now, bool leaves_old) {
        NameMove m{.from = from, .to = to, .leaves_old = leaves_old};
        m.anchor = TRY(read_anchor(change.view(), dentry, wanted_));
        m.new_slot = TRY(change.new_slot());
        return move_name(effects, dentry, m, now);
    }

    Result<Renamed> finish() {
        Renamed renamed{.moved = moved_.inode, .replaced = replaced_};
        core_.hints.put(moved_.ino, group_, r_.to_name);
        if (replaced_) {
            core_.hints.forget(replaced_->inode.ino);
            core_.unlinked.push({group_object(group_), unlinked_key(replaced_->inode.ino)});
        }
        if (moved_.kind != Dentry::Kind::file) renamed.moved = TRY(touch(core_, moved_));
        if (partner_) {
            core_.hints.put(partner_->ino, group_, r_.from_name);
            if (partner_->kind != Dentry::Kind::file) TRY(touch(core_, *partner_));
        }
        return renamed;
    }

    MetaCore& core_;
    const RenameRequest& r_;
    Wanted wanted_;
    GroupId group_{};
    Dentry moved_;
    std::optional<Dentry> partner_;  // of an exchange
    std::optional<Unlinked> replaced_;
};

}  // namespace

Result<Renamed> rename(MetaCore& core, const RenameRequest& request) {
    for (const auto& name : {request.from_name, request.to_name}) {
        if (name == "." || name == "..") return fail(EBUSY);
        TRY(check_name(name));
    }
    if (request.no_replace && request.exchange) return fail(EINVAL);
    TRY(core.check_may_change());
    if (request.from_directory != request.to_directory) return rename_across(core, request);
    return Rename(core, request).run();
}

}  // namespace meshfs::ops
