// Order: copies are stored, then each file that has not changed since is told of its copy, in one step with a record that
// frees the old one; purge turns that into a hint, and a pack with no member that lives goes.  A death anywhere leaves files
// in the one pack or in the other, and packs that gc finds by its reach or by hints.
#include "fs/vfs/compaction.h"

#include <algorithm>
#include <utility>

#include "fs/base/log.h"
#include "fs/base/wire.h"

namespace meshfs {
namespace {

constexpr int64_t kBytesPerSecond = 64 << 20;  // moved: others use the store, too

uint64_t stored_bytes(const PackScan& scan) {
    uint64_t bytes = 0;
    for (const PackMember& member : scan.members) bytes += member.stored;
    return bytes;
}

class Compaction {
public:
    Compaction(Store& store, Meta& meta, Data& data, Clock& clock)
        : store_(store), meta_(meta), data_(data), clock_(clock) {}

    // What takes no room comes first: on a full store the rest fails.
    Result<Compacted> run(const std::vector<Meta::DeadMembers>& noted, const std::atomic<bool>& stopping) {
        std::vector<BlobId> half_dead;
        for (auto it = noted.begin(); it != noted.end() && !stopping && !is_over_; ++it)
            if (go_on(look_at(*it)) && is_half_dead_) half_dead.push_back(it->pack);
        for (auto it = half_dead.begin(); it != half_dead.end() && !stopping && !is_over_ && !is_full_; ++it) go_on(move_out_of(*it));
        if (!first_error_.ok()) return first_error_.error();
        return done_;
    }

private:
    using Live = PackMembers::Live;

    // What is wrong with one pack keeps no other; nor does one that a mount has removed meanwhile.
    bool go_on(const Status& of_one) {
        if (of_one.ok() || of_one.code() == ENOENT) return of_one.ok();
        if (first_error_.ok()) first_error_ = of_one;
        is_over_ |= of_one.code() == ESHUTDOWN;
        is_full_ |= of_one.code() == ENOSPC || of_one.code() == EDQUOT;
        return false;
    }

    Status look_at(const Meta::DeadMembers& noted) {
        is_half_dead_ = false;
        const BlobId pack = noted.pack;
        if (TRY(meta_.is_in_reach(pack))) return {};
        auto there = store_.ask(std::move(Query(pack_object(pool_, pack)).stat()));
        if (there.code() == ENOENT) return meta_.forget_dead_members(pack);
        if (!there) return there.error();
        if (noted.bytes * 4 < there->size) return {};  // beside its members a pack has less than those
        auto scan = scan_pack(store_, pool_, pack);
        if (scan.code() == ENOENT) return meta_.forget_dead_members(pack);
        if (!scan.ok()) return scan.error();
        if (!scan->damage.ok()) {
            log_warning("a pack is left as it is", {{"why", scan->damage.error().detail()}});
            return {};
        }
        if (noted.bytes * 2 < stored_bytes(*scan)) return {};
        PackMembers members = TRY(members_of(meta_, pack, *scan));
        if (members.live.empty()) {
            TRY(remove_dead_pack(store_, meta_, pool_, pack));
            ++done_.packs;
        }
        is_half_dead_ = !members.live.empty() && members.live_bytes * 2 <= members.bytes;
        return {};
    }

    Status move_out_of(BlobId pack) {
        auto scan = TRY(scan_pack(store_, pool_, pack));
        return move(pack, TRY(members_of(meta_, pack, scan)).live);
    }

    Status move(BlobId pack, const std::vector<Live>& live) {
        std::vector<Live> some;
        uint64_t room = 0;
        for (const Live& member : live) {
            const uint64_t more = room_in_segment(member.member.stored);
            if (room + more > kSegmentRoom) TRY(move_together(pack, std::exchange(some, {}))), room = 0;
            room += more;
            some.push_back(member);
        }
        return move_together(pack, some);
    }

    Status move_together(BlobId pack, const std::vector<Live>& live) {
        std::vector<ToPack> copies;
        std::vector<Live> copied;
        int64_t bytes = 0;
        for (const Live& one : live) {
            Buffers read = TRY(this->read(pack, one.member));
            if (read.empty()) continue;
            copies.push_back({.ino = one.member.ino, .version = one.version + 1, .bytes = std::move(read)});
            copied.push_back(one);
            bytes += one.member.stored;
        }
        if (copies.empty()) return {};
        auto extents = TRY(data_.store_packed(copies));
        Status first_error;
        for (size_t i = 0; i < copied.size(); ++i) {
            auto moved = tell(pack, extents[i], copied[i]);
            data_.packed(extents[i].blob, !moved.ok());
            if (moved.ok()) ++done_.files;
            else if (moved.code() != ECANCELED && moved.code() != ESTALE && first_error.ok()) first_error = moved;
        }
        clock_.sleep_ns(bytes * kNsPerSecond / kBytesPerSecond);
        return first_error;
    }

    // None: it is damaged, also when it is read once more, and stays where it is.
    Result<Buffers> read(BlobId pack, const PackMember& member) {
        Transfer transfer{.direction = Transfer::Direction::read, .object = pack_object(pool_, pack)};
        transfer.offset = member.offset;
        Buffer bytes = transfer.bytes = Buffer::allocate(member.stored);
        Status sound;
        for (int reads = 0; reads < 2; ++reads) {
            const size_t got = TRY(store_.transfer(transfer));
            sound = check_packed(extent_of(pack, member), {bytes.slice(0, got)});
            if (sound) return Buffers{bytes};
        }
        log_error("a file is damaged", {{"inode", hex(raw(member.ino))}, {"why", sound.error().detail()}});
        return Buffers();
    }

    Status tell(BlobId from, const Extent& to, const Live& one) {
        auto changed = meta_.change(one.member.ino, [&](InodeChange& change) -> Status {
            // Of a session that was declared dead meanwhile others may have removed what it stored.
            if (session_of(to.blob) != meta_.session()) return fail(ECANCELED);
            Inode& inode = change.inode;
            auto& extents = inode.map.extents;
            auto at = std::find_if(extents.begin(), extents.end(), [&](const Extent& e) { return is_of(one.member, from, e); });
            if (inode.content_version != one.version || at == extents.end()) return fail(ECANCELED);
            change.freed = {std::exchange(*at, to)};
            ++inode.content_version;
            return {};
        });
        return changed ? Status() : Status(changed.error());
    }

    Store& store_;
    Meta& meta_;
    Data& data_;
    Clock& clock_;
    const Pool pool_ = Layout().pool;
    bool is_half_dead_ = false;  // what was looked at
    bool is_over_ = false, is_full_ = false;
    Status first_error_;
    Compacted done_;
};

}  // namespace

// ESTALE: it was purged, or never made.
Result<PackMembers> members_of(Meta& meta, BlobId pack, const PackScan& scan, const std::set<uint64_t>& known_dead) {
    PackMembers members;
    for (const PackMember& member : scan.members) {
        members.bytes += member.stored;
        const Extent extent = extent_of(pack, member);
        auto inode = known_dead.contains(member.offset) ? Result<Inode>(fail(ESTALE)) : meta.get(member.ino);
        if (!inode && inode.code() != ESTALE) return inode.error();
        bool is_live = inode && std::any_of(inode->map.extents.begin(), inode->map.extents.end(),
                                            [&](const Extent& e) { return is_of(member, pack, e); });
        if (!is_live) {
            members.dead.push_back(extent);
            continue;
        }
        members.live.push_back({member, inode->content_version});
        members.live_bytes += member.stored;
    }
    return members;
}

Result<PackEnd> remove_if_dead(Store& store, Meta& meta, BlobId pack, const std::set<uint64_t>& known_dead) {
    const Pool pool = Layout().pool;
    if (TRY(meta.is_in_reach(pack))) return PackEnd::in_use;
    const uint64_t dead = TRY(meta.dead_bytes(pack));
    auto there = store.ask(std::move(Query(pack_object(pool, pack)).stat()));
    if (!there && there.code() != ENOENT) return there.error();
    if (there && dead * 2 < there->size) return PackEnd::stays;  // beside its members a pack has less than those
    if (there) {
        auto scan = TRY(scan_pack(store, pool, pack));
        bool may_be_dead = scan.damage.ok() && dead >= stored_bytes(scan);
        if (!may_be_dead || !TRY(members_of(meta, pack, scan, known_dead)).live.empty()) return PackEnd::stays;
    }
    TRY(remove_dead_pack(store, meta, pool, pack));
    return PackEnd::removed;
}

// That they are dead may be in this mount's memory only: were it to die now, they would live again.
Status remove_dead_pack(Store& store, Meta& meta, Pool pool, BlobId pack) {
    TRY(meta.commit());
    Status removed = store.apply(std::move(Mutation(pack_object(pool, pack)).remove()));
    if (!removed && removed.code() != ENOENT) return removed;
    return meta.forget_dead_members(pack);
}

Result<Compacted> compact_packs(Store& store, Meta& meta, Data& data, Clock& clock, const std::atomic<bool>& stopping) {
    return Compaction(store, meta, data, clock).run(TRY(meta.dead_members()), stopping);
}

}  // namespace meshfs
