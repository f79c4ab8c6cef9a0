#include "fs/vfs/purger.h"

#include <algorithm>
#include <iterator>

#include "fs/base/log.h"
#include "fs/base/wire.h"
#include "fs/vfs/compaction.h"

namespace meshfs {

namespace {
constexpr size_t kItemsMax = 64;

bool has_packed(const Purgeable& item) {
    const auto& extents = item.inode.map.extents;
    return std::any_of(extents.begin(), extents.end(), [](const Extent& e) { return e.kind == Extent::Kind::packed; });
}

}  // namespace

void Purger::DeadMembers::add(const Extent& packed) {
    if (packs.size() >= kPacksMax && !packs.contains(packed.blob)) return;
    auto& of_pack = packs[packed.blob];
    if (members < kMembersMax && of_pack.insert(packed.blob_offset).second) ++members;
}

Result<uint64_t> Purger::purge_all(Meta& meta, Data& data, const std::atomic<bool>* stopping,
                                   std::atomic<uint64_t>* waiting, DeadMembers* dead) {
    uint64_t gone = 0;
    Status first_error;
    std::set<std::string> failed;  // such as come again meanwhile
    for (bool has_new = true, is_over = false; has_new && !is_over;) {
        auto found = meta.purgeable(kItemsMax);
        if (!found) return first_error.ok() ? found.error() : first_error.error();
        const std::vector<Purgeable> items = std::move(*found);
        if (waiting != nullptr) *waiting = items.size();
        has_new = false;
        // A line each, and of all together as few operations as there are packs.
        std::vector<Extent> mapped;
        for (const Purgeable& item : items)
            mapped.insert(mapped.end(), item.inode.map.extents.begin(), item.inode.map.extents.end());
        const Status noted = meta.note_dead_members(mapped);
        for (const Extent& e : mapped)
            if (noted && e.kind == Extent::Kind::packed && dead != nullptr) dead->add(e);
        for (const Purgeable& item : items) {
            if (stopping != nullptr && *stopping) return gone;
            const bool is_new = !failed.contains(item.token);
            has_new |= is_new;
            Status removed = has_packed(item) ? noted : Status();
            if (removed && is_new && !is_over) removed = data.remove(item.inode.ino, item.inode.map);
            if (!removed || !is_new || is_over) {
                if (first_error.ok()) first_error = removed;
                is_over |= removed.code() == ETIMEDOUT || removed.code() == ESHUTDOWN;
                failed.insert(item.token);
                meta.purge_later(item);
                continue;
            }
            // An error of this one is of records, which stay with Meta until they are gone.
            if (Status done = meta.purged(item); !done && first_error.ok()) first_error = done;
            ++gone;
            if (waiting != nullptr && *waiting > 0) --*waiting;
        }
    }
    if (!first_error.ok()) return first_error.error();
    return gone;
}

void Purger::wake() {
    if (is_running_.exchange(true)) return;
    bool posted = thread_.try_post([this] {
        auto gone = purge_all(meta_, data_, &stopping_, &waiting_, &dead_);
        if (gone.code() != ESHUTDOWN) remove_dead_packs();
        if (!gone && gone.code() != ESHUTDOWN)
            log_warning("what is deleted could not be purged; tried again later", {{"error", gone.error().text()}});
        is_running_ = false;
    });
    if (!posted) is_running_ = false;
}

// Such as this mount may still write to, which it knows without asking, are looked at again; others are gc's then.
void Purger::remove_dead_packs() {
    for (auto of_pack = dead_.packs.begin(); of_pack != dead_.packs.end() && !stopping_;) {
        const auto& [pack, members] = *of_pack;
        auto end = remove_if_dead(store_, meta_, pack, members);
        if (!end && end.code() != ESHUTDOWN)
            log_warning("a pack could not be removed; gc will", {{"pack", hex(raw(pack))}, {"error", end.error().text()}});
        bool is_own = session_of(pack) == meta_.session();
        if (end && *end == PackEnd::in_use && is_own) {
            ++of_pack;
            continue;
        }
        dead_.members -= members.size();
        of_pack = dead_.packs.erase(of_pack);
    }
}

void Purger::stop() {
    stopping_ = true;
    thread_.stop();
}

}  // namespace meshfs
