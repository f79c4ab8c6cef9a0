// owe: may a file that was written and closed stay unpublished for a while?  From memory alone, at the moment its group agrees.
#include "fs/meta/ops/ops.h"

namespace meshfs::ops {
namespace {

template <class Record>
std::optional<Record> known(const Mirror& group, const ObjectName& object, Result<Record> (*decode)(std::string_view),
                            const std::string& key) {
    auto answer = group.answer(std::move(Query(object).keys({key})));
    auto value = answer ? answer->keys.find(key) : std::map<std::string, std::string>::iterator();
    if (!answer || value == answer->keys.end()) return {};
    auto record = decode(value->second);
    return record.ok() ? std::optional<Record>(std::move(*record)) : std::nullopt;
}

}  // namespace

bool owe(MetaCore& core, Ino ino, uint64_t content_version) {
    const Place born = place_of(ino);
    const ObjectName object = group_object(born.group);
    return core.held.owe(born.group, [&](const Mirror& group) {
        constexpr int kMovesMax = 16;
        Slot slot = born.slot;
        for (int moves = 0; moves < kMovesMax; ++moves) {
            auto at = known(group, object, decode_slot, slot_key(slot));
            if (at && at->kind == SlotRecord::Kind::moved) {
                slot = at->to;
                continue;
            }
            if (!at || at->kind != SlotRecord::Kind::name) return false;
            auto dentry = known(group, object, decode_dentry, name_key(at->name));
            return dentry && dentry->kind == Dentry::Kind::file && dentry->ino == ino && dentry->inode.writer == kNobody &&
                   dentry->inode.content_version == content_version;
        }
        return false;
    });
}

}  // namespace meshfs::ops
