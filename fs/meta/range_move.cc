#include "fs/meta/range_move.h"

namespace meshfs {
namespace {

constexpr size_t kAtOnceMax = 1024;  // names, whose anchors one query asks for

class Mover {
public:
    Mover(JointChange& change, const GroupView& from, Place to, Time now)
        : change_(change), from_(from), leaving_(change.at(from)), to_(to), now_(now) {}

    Status move(const Key* first, const Key* end) {
        Wanted wanted;
        for (const Key* name = first; name != end; ++name)
            if (auto dentry = decode_dentry(name->second); dentry.ok() && dentry->anchor != dentry->slot)
                wanted.keys.push_back(slot_key(dentry->anchor));
        std::optional<GroupView> anchors;
        if (!wanted.keys.empty()) anchors.emplace(TRY(change_.read(from_.object, std::move(wanted))));
        for (const Key* name = first; name != end; ++name) move_one(name->first, name->second, anchors);
        return {};
    }

    RangeMove result() {
        leaving_.delta.mtime = arriving_.delta.mtime = {};
        return {.arriving = std::move(arriving_), .next_slot = to_.slot};
    }

private:
    void move_one(const std::string& key, const std::string& value, const std::optional<GroupView>& anchors) {
        auto dentry = decode_dentry(value);
        if (!dentry.ok()) {
            arriving_.set.emplace_back(key, value);
            leaving_.removed.push_back(key);
            return;
        }
        const std::string name(name_of_key(key));
        std::optional<SlotRecord> anchor;  // a damaged one is as none: it gets this name
        if (anchors && dentry->anchor != dentry->slot)
            if (auto record = anchors->record(decode_slot, slot_key(dentry->anchor)); record.ok()) anchor = *record;
        ops::leave_name(leaving_, name, *dentry, anchor, to_, now_);
        if (dentry->kind == Dentry::Kind::file) change_.move_away(dentry->ino, to_);
        dentry->slot = dentry->anchor = to_.slot;
        ops::add_name(arriving_, name, *dentry, now_);
        to_.slot = Slot{raw(to_.slot) + 1};
    }

    JointChange& change_;
    const GroupView& from_;
    ops::NameEffects& leaving_;
    ops::NameEffects arriving_;
    Place to_;  // of the next name
    const Time now_;
};

}  // namespace

Result<RangeMove> move_names(JointChange& change, const GroupView& from, const std::vector<Key>& names, Place to, Time now) {
    Mover mover(change, from, to, now);
    change.name_goes(from.group(), to.group);
    for (size_t first = 0; first < names.size(); first += kAtOnceMax)
        TRY(mover.move(names.data() + first, names.data() + std::min(first + kAtOnceMax, names.size())));
    return mover.result();
}

}  // namespace meshfs
