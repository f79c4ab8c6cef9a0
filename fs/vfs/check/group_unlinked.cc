// Of a group: that numbers of what was born elsewhere lead here, and that what is unlinked has no name.
#include "fs/base/wire.h"
#include "fs/meta/ops/inode_home.h"
#include "fs/meta/ops/ops.h"
#include "fs/vfs/check/file_map.h"
#include "fs/vfs/check/group_pass.h"

namespace meshfs::check {
namespace {

std::string where(const ops::Home& home) { return "object " + home.object.name + ", key " + printable(home.key); }

}  // namespace

// One query asks for the away records of a page that are in one object; only for a number whose record does not lead
// here is the whole way gone.
Status GroupPass::judge_numbers() {
    std::map<ObjectName, std::vector<std::string>> asked;
    for (const Foreign& f : foreign_) {
        Place born = place_of(f.ino);
        asked[away_object(born.group, born.slot)].push_back(slot_key(born.slot));
    }
    std::map<ObjectName, Answer> answers;
    for (auto& [object, keys] : asked) {
        auto answer = scene_.store.ask(std::move(Query(object).keys(std::move(keys))));
        if (answer.ok()) answers.emplace(object, std::move(*answer));
        else if (answer.code() != ENOENT) return answer.error();
    }
    for (const Foreign& f : foreign_) {
        Place born = place_of(f.ino);
        ObjectName object = away_object(born.group, born.slot);
        const std::string key = slot_key(born.slot);
        const auto& keys = answers[object].keys;
        auto found = keys.find(key);
        std::optional<std::string> value = found == keys.end() ? std::nullopt : std::optional(found->second);
        auto record = value ? decode_away(*value) : Result<AwayRecord>(fail(ENOENT));
        if (record.ok() && !record->is_linked && record->group == role_.group && record->slot == f.anchor) continue;
        auto home = ops::find_home(scene_.core, f.ino);
        if (home.code() == EBUSY) continue;  // half done by one that died, which was told
        if (!home.ok() && home.code() != ESTALE && home.code() != EIO) return home.error();
        bool is_here = home.ok() && (home->kind == ops::Home::Kind::linked ||
                                     (home->object == object_ && home->key == name_key(f.name)));
        if (is_here) continue;
        AwayRecord sound{.group = role_.group, .slot = f.anchor, .moves = record.ok() ? record->moves + 1 : 1};
        suspect(
            name_key(f.name),
            "has number " + hex(raw(f.ino)) + ", which leads to " +
                (home.ok() ? where(*home) : "nothing (" + home.error().text() + ")"),
            "the away record in object " + object.name + " is written",
            [this, object, key, value, sound] {
                Mutation m(object);
                m.create().key_is(key, value).set_keys({{key, encode(sound)}});
                Status done = scene_.store.apply(std::move(m));
                return done.code() == ECANCELED ? Status(fail(ECANCELED, "it changed meanwhile")) : done;
            },
            f.name);
    }
    foreign_.clear();
    return {};
}

Status GroupPass::take_unlinked(const std::string& key, const std::string& value) {
    auto number = ino_of_unlinked_key(key);
    auto record = number.ok() ? decode_unlinked(value) : Result<UnlinkedRecord>(number.error());
    if (!record.ok()) {
        suspect_damage(key, value, record.error());
        return {};
    }
    bool is_freed = record->kind == UnlinkedRecord::Kind::extents;
    if (record->inode.ino != *number || is_freed != (key.size() == 17)) {
        suspect(key, "has the inode of another number, or is of another kind than its key", "it is taken away",
                [this, key, value] { return take_away(scene_, object_, key, value); });
        return {};
    }
    if (record->kind == UnlinkedRecord::Kind::directory) dead.push_back(*number);
    for (BlobUse use : blobs_of(record->inode)) {
        use.is_freed = is_freed;
        blobs.push_back(use);
    }
    if (record->kind == UnlinkedRecord::Kind::linked)
        for (const BlobUse& use : TRY(freed_of_linked(scene_, *number))) blobs.push_back(use);
    return is_freed ? judge_freed(key, value, *record) : judge_unlinked(key, value, *record);
}

// Purging what has a name would destroy it: the record has to go, not the name.
Status GroupPass::judge_unlinked(const std::string& key, const std::string& value, const UnlinkedRecord& record) {
    Place at = place_of(record.inode.ino);
    if (raw(at.slot) == 0) return {};  // a removed directory: its name would lead to a header that is dead
    if (at.group != role_.group) {
        ObjectName object = away_object(at.group, at.slot);
        auto answer = scene_.store.ask(std::move(Query(object).keys({slot_key(at.slot)})));
        if (!answer.ok() && answer.code() != ENOENT) return answer.error();
        if (!answer.ok() || answer->keys.empty()) return {};
        auto away = decode_away(answer->keys.begin()->second);
        if (!away.ok() || away->is_linked || away->group != role_.group) return {};
        at = {away->group, away->slot};
    }
    auto slot = slots_.find(raw(at.slot));
    if (slot != slots_.end() && slot->second.state == SlotSeen::State::moved)
        slot = slots_.find(raw(slot->second.to));
    if (slot == slots_.end() || slot->second.ino != record.inode.ino) return {};
    suspect(key, "says that number " + hex(raw(record.inode.ino)) + " is unlinked, and it has a name in this group",
            "it is taken away", [this, key, value] { return take_away(scene_, object_, key, value); });
    return {};
}

Status GroupPass::judge_freed(const std::string& key, const std::string& value, const UnlinkedRecord& record) {
    auto inode = ops::get(scene_.core, record.inode.ino);
    if (inode.code() == EBUSY || inode.code() == ESTALE || inode.code() == EIO || inode.code() == ENOENT)
        return {};  // told where that is
    if (!inode.ok()) return inode.error();
    if (!do_overlap(record.inode.map.extents, inode->map.extents)) return {};
    suspect(key, "frees bytes that file " + hex(raw(record.inode.ino)) + " still maps", "it is taken away",
            [this, key, value] { return take_away(scene_, object_, key, value); });
    return {};
}

}  // namespace meshfs::check
