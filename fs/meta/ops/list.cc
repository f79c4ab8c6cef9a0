// list: names in byte order, a page of up to 1,024 a read.
//
// A cookie is the place of a dentry: i<slot> there has its name, even after unlink, rename, split or merge, so what is not
// touched comes exactly once.  A damaged record is an entry without an inode; the listing goes on.
#include <algorithm>

#include "fs/base/log.h"
#include "fs/meta/group.h"
#include "fs/meta/ops/ops.h"

namespace meshfs::ops {
namespace {

uint64_t cookie_of(GroupId group, Slot slot) { return raw(group) << kSlotBits | raw(slot); }

// The name a cookie stands for.  ENOENT: it is older than an hour, or never was one.
Result<std::string> name_at(MetaCore& core, uint64_t cookie) {
    GroupId group{cookie >> kSlotBits};
    Slot slot{static_cast<uint32_t>(cookie & kSlotMax)};
    if (raw(group) > kGroupIdMax) return fail(EINVAL);
    auto view = TRY(read_group(core, group_object(group), {.keys = {slot_key(slot)}}));
    auto record = TRY(view.record(decode_slot, slot_key(slot)));
    if (!record) return fail(ENOENT);
    return record->name;
}

class Listing {
public:
    Listing(MetaCore& core, const ListRequest& request) : core_(core), r_(request) {}

    Result<ListPage> run() {
        std::string after = r_.after_name;
        if (after.empty() && r_.after_cookie > 3) after = TRY(name_at(core_, r_.after_cookie));
        size_t entries_max = std::clamp<size_t>(r_.entries_max, 1, kRangeEntriesMax);
        std::string position = after;  // where the next unread range begins
        for (;;) {
            Wanted wanted{.ranges = {{name_key(after), "n", entries_max - page_.entries.size(), 4u << 20}}};
            auto view = read_range(core_, r_.directory, position, wanted);
            if (view.code() == ENOENT) return std::move(page_);  // removed: nothing is in it
            if (!view.ok()) return view.error();
            const RangeAnswer& range = view->answer.ranges.at(0);
            for (const auto& [key, value] : range.entries) add(*view, key, value);
            // The next range may have become part of this one by then.
            if (!range.entries.empty()) after = name_of_key(range.entries.back().first);
            bool is_last = view->about.end.empty();
            page_.more = range.more || !is_last;
            if (range.more || is_last || page_.entries.size() >= entries_max) return std::move(page_);
            position = view->about.end;
        }
    }

private:
    void add(const GroupView& view, const std::string& key, const std::string& value) {
        DirectoryEntry entry{.name = std::string(name_of_key(key))};
        if (!check_name(entry.name).ok() || entry.name == "." || entry.name == "..") {
            // The kernel would refuse the whole listing for it.
            log_error("a name that no file can have is not listed", {{"object", view.object.name}, {"key", printable(key)}});
            return;
        }
        auto dentry = decode_at(decode_dentry, view.object, key, value);
        if (!dentry.ok()) {
            log_error("a name cannot be listed", {{"why", dentry.error().detail()}});
            entry.cookie = page_.entries.empty() ? 3 : page_.entries.back().cookie;
            page_.entries.push_back(std::move(entry));
            return;
        }
        entry.ino = dentry->ino;
        entry.type = dentry->type;
        entry.cookie = cookie_of(view.group(), dentry->slot);
        if (r_.with_inodes && dentry->kind == Dentry::Kind::file) {
            core_.hints.put(dentry->ino, view.group(), entry.name);
            entry.inode = std::move(dentry->inode);
            entry.inode->from = {view.group(), view.about.if_whole()};
        }
        page_.entries.push_back(std::move(entry));
    }

    MetaCore& core_;
    const ListRequest& r_;
    ListPage page_;
};

}  // namespace

Result<ListPage> list(MetaCore& core, const ListRequest& request) { return Listing(core, request).run(); }

}  // namespace meshfs::ops
