#include "fs/meta/format.h"

#include <algorithm>

#include "fs/base/wire.h"

namespace meshfs {
namespace {

constexpr uint8_t kRecordVersion = 1;

// The payload of a record of the one version there is.
Result<std::string_view> open_payload(std::string_view value) {
    OpenedRecord record = TRY(open_record(value));
    if (record.version != kRecordVersion)
        return fail(EIO, "record of unknown version " + std::to_string(record.version));
    return record.payload;
}

Status ended(const Decoder& d) {
    if (!d.ok()) return fail(EIO, "record is malformed");
    if (!d.at_end()) return fail(EIO, "record has bytes too many");
    return {};
}

Error malformed(const char* what) { return fail(EIO, std::string("record has ") + what); }

ObjectName in_meta_pool(std::string name) { return {kMetaPool, std::move(name)}; }

// Signed numbers near zero stay short: 0, -1, 1, -2 ...
uint64_t zigzag(int64_t v) { return static_cast<uint64_t>(v) << 1 ^ static_cast<uint64_t>(v >> 63); }
int64_t unzigzag(uint64_t v) { return static_cast<int64_t>(v >> 1 ^ (~(v & 1) + 1)); }

void put_time(Encoder& e, Time t) { e.varint(zigzag(t.seconds)).varint(t.ns); }
Time get_time(Decoder& d) {
    Time t;
    t.seconds = unzigzag(d.varint());
    uint64_t ns = d.varint();
    if (ns > 999'999'999) d.damage();
    t.ns = static_cast<uint32_t>(ns);
    return t;
}
uint32_t get_u32(Decoder& d, uint64_t max = UINT32_MAX) {
    uint64_t v = d.varint();
    if (v > max) d.damage();
    return d.ok() ? static_cast<uint32_t>(v) : 0;
}
Slot get_slot(Decoder& d, uint32_t max = kSlotMax) { return Slot{get_u32(d, max)}; }
GroupId get_group(Decoder& d) {
    uint64_t v = d.varint();
    if (v > kGroupIdMax) d.damage();
    return GroupId{d.ok() ? v : 0};
}
Ino get_ino(Decoder& d) { return Ino{d.varint()}; }

void put_layout(Encoder& e, const Layout& l) { e.varint(l.object_bytes).varint(l.pool); }
Layout get_layout(Decoder& d) {
    Layout l;
    l.object_bytes = get_u32(d);
    l.pool = static_cast<uint16_t>(get_u32(d, UINT16_MAX));
    bool power_of_two = l.object_bytes != 0 && (l.object_bytes & (l.object_bytes - 1)) == 0;
    if (!power_of_two || l.object_bytes < 64 * 1024 || l.object_bytes > (64u << 20)) d.damage();
    return l;
}

// Gaps, not offsets: a list is short, sorted and without overlap by construction.
void put_extents(Encoder& e, const std::vector<Extent>& extents) {
    e.varint(extents.size());
    uint64_t at = 0;
    for (const Extent& x : extents) {
        e.varint(x.offset - at).varint(x.length).varint(x.blob_offset);
        e.u8(static_cast<uint8_t>(x.kind)).u8(x.flags).u64(raw(x.blob));
        if (x.kind == Extent::Kind::packed || x.kind == Extent::Kind::far) e.u32(x.crc);
        at = x.end();
    }
}
std::vector<Extent> get_extents(Decoder& d) {
    uint64_t count = d.varint();
    if (count > kValueMax / 13) d.damage();  // one takes 13 bytes at least
    std::vector<Extent> extents;
    uint64_t at = 0;
    for (uint64_t i = 0; i < count && d.ok(); ++i) {
        Extent x;
        uint64_t gap = d.varint();
        x.length = d.varint();
        x.blob_offset = d.varint();
        uint8_t kind = d.u8();
        x.flags = d.u8();
        x.blob = BlobId{d.u64()};
        if (gap > kFileSizeMax - at || x.length == 0 || x.length > kFileSizeMax - at - gap || kind < 1 || kind > 5)
            d.damage();
        x.offset = at + gap;
        x.kind = static_cast<Extent::Kind>(kind);
        if (x.kind == Extent::Kind::packed || x.kind == Extent::Kind::far) x.crc = d.u32();
        at = x.end();
        if (d.ok()) extents.push_back(x);
    }
    return extents;
}

void put_map(Encoder& e, const FileMap& m) {
    e.varint(m.size).varint(m.bytes);
    put_layout(e, m.layout);
    e.string(m.inline_bytes);
    put_extents(e, m.extents);
}
FileMap get_map(Decoder& d) {
    FileMap m;
    m.size = d.varint();
    if (m.size > kFileSizeMax) d.damage();
    m.bytes = d.varint();
    m.layout = get_layout(d);
    m.inline_bytes = d.string(kInlineMax);
    m.extents = get_extents(d);
    if (!m.inline_bytes.empty() && (!m.extents.empty() || m.inline_bytes.size() > m.size)) d.damage();
    return m;
}

void put_xattrs(Encoder& e, const Xattrs& xattrs) {
    e.varint(xattrs.size());
    for (const auto& [name, value] : xattrs) e.string(name).string(value);
}
Xattrs get_xattrs(Decoder& d) {
    uint64_t count = d.varint();
    if (count > kXattrsBytesMax) d.damage();
    Xattrs xattrs;
    for (uint64_t i = 0; i < count && d.ok(); ++i) {
        std::string name(d.string(kNameMax));
        std::string value(d.string(kXattrsBytesMax));
        if (name.empty() || !xattrs.emplace(std::move(name), std::move(value)).second) d.damage();
    }
    return xattrs;
}

// What is filled in when read (parent, names) is not written.
void put_inode(Encoder& e, const Inode& n) {
    e.varint(raw(n.ino)).varint(n.mode).varint(n.uid).varint(n.gid).varint(n.links).varint(n.rdev);
    for (const Time& t : {n.atime, n.mtime, n.ctime, n.btime}) put_time(e, t);
    e.varint(n.flags).varint(n.content_version).varint(n.write_version).varint(raw(n.writer));
    put_map(e, n.map);
    put_xattrs(e, n.xattrs);
}
Inode get_inode(Decoder& d) {
    Inode n;
    n.ino = get_ino(d);
    n.mode = get_u32(d);
    n.uid = get_u32(d);
    n.gid = get_u32(d);
    n.links = get_u32(d);
    n.rdev = d.varint();
    for (Time* t : {&n.atime, &n.mtime, &n.ctime, &n.btime}) *t = get_time(d);
    n.flags = get_u32(d);
    n.content_version = d.varint();
    n.write_version = d.varint();
    n.writer = SessionId{get_u32(d)};
    n.map = get_map(d);
    n.xattrs = get_xattrs(d);
    return n;
}

std::string seal(Encoder& e) { return seal_record(kRecordVersion, e.data()); }

}  // namespace

ObjectName group_object(GroupId group) { return in_meta_pool("g." + hex(raw(group))); }
ObjectName away_object(GroupId group, Slot slot) {
    return in_meta_pool("i." + hex(raw(group)) + "." + hex(raw(slot) / 65536));
}
ObjectName linked_object(Ino ino) { return in_meta_pool("h." + hex(raw(ino))); }
ObjectName session_object(SessionId session) { return in_meta_pool("s." + hex(raw(session))); }
ObjectName locks_object(Ino ino) { return in_meta_pool("l." + hex(raw(ino))); }
ObjectName dead_members_object(BlobId pack) { return in_meta_pool("k." + hex(raw(pack) % kDeadMembersObjects)); }
ObjectName registry_object(unsigned index) { return in_meta_pool("sessions." + std::to_string(index)); }
ObjectName volume_object() { return in_meta_pool("volume"); }
ObjectName volume_move_object() { return in_meta_pool("volume.move"); }

std::string name_key(std::string_view name) { return "n" + std::string(name); }
std::string slot_key(Slot slot) { return "i" + key_u32(raw(slot)); }
std::string unlinked_key(Ino ino) { return "u" + key_u64(raw(ino)); }
std::string freed_key(Ino ino, uint64_t content_version) {
    return "u" + key_u64(raw(ino)) + key_u64(content_version);
}
std::string lane_key(SessionId session, uint8_t lane) {
    return "z" + key_u32(raw(session)) + static_cast<char>(lane);
}
std::string sum_key(SessionId session, uint8_t lane) {
    return "m" + key_u32(raw(session)) + static_cast<char>(lane);
}
std::string range_key(std::string_view first) { return "r" + std::string(first); }
std::string range_sum_key(GroupId group) { return "q" + key_u64(raw(group)); }
std::string merged_key(GroupId group) { return "o" + key_u64(raw(group)); }

std::string registry_key(SessionId session) { return "s" + key_u32(raw(session)); }
std::string recall_key(const ObjectName& object) { return "r" + object.name; }

std::string reach_key(BlobId first, BlobId last) {
    return "b" + key_u64(raw(first)) + (first == last ? std::string() : key_u64(raw(last)));
}

std::string dead_member_key(BlobId pack, uint32_t offset) { return "p" + key_u64(raw(pack)) + key_u32(offset); }

std::string births_key(GroupId first) { return "g" + key_u64(raw(first)); }

std::string_view name_of_key(std::string_view key) { return key.substr(1); }

namespace {
uint64_t big_endian(std::string_view bytes) {
    uint64_t v = 0;
    for (char c : bytes) v = v << 8 | static_cast<uint8_t>(c);
    return v;
}
}  // namespace

Result<Slot> slot_of_key(std::string_view key) {
    if (key.size() != 5 || key[0] != 'i') return fail(EIO, "not a slot's key");
    uint64_t v = big_endian(key.substr(1));
    if (v > kSlotMax) return fail(EIO, "slot is too large");
    return Slot{static_cast<uint32_t>(v)};
}
Result<Ino> ino_of_unlinked_key(std::string_view key) {
    if ((key.size() != 9 && key.size() != 17) || key[0] != 'u') return fail(EIO, "not the key of an unlinked inode");
    return Ino{big_endian(key.substr(1, 8))};
}

Result<SessionId> session_of_registry_key(std::string_view key) {
    if (key.size() != 5 || key[0] != 's') return fail(EIO, "not the key of a session");
    return SessionId{static_cast<uint32_t>(big_endian(key.substr(1)))};
}

Result<std::pair<BlobId, BlobId>> blobs_of_reach_key(std::string_view key) {
    constexpr uint64_t kBlobsMax = 1024;
    if ((key.size() != 9 && key.size() != 17) || key[0] != 'b') return fail(EIO, "not the key of a reach");
    uint64_t first = big_endian(key.substr(1, 8)), last = key.size() == 9 ? first : big_endian(key.substr(9));
    if (last < first || last - first >= kBlobsMax) return fail(EIO, "reach of too many blobs");
    return std::pair(BlobId{first}, BlobId{last});
}

Result<BlobId> pack_of_dead_member_key(std::string_view key) {
    if (key.size() != 13 || key[0] != 'p') return fail(EIO, "not the key of a pack's member");
    return BlobId{big_endian(key.substr(1, 8))};
}

Result<GroupId> group_of_births_key(std::string_view key) {
    if (key.size() != 9 || key[0] != 'g') return fail(EIO, "not the key of groups that are made");
    uint64_t group = big_endian(key.substr(1));
    if (group > kGroupIdMax) return fail(EIO, "group is too large");
    return GroupId{group};
}

Result<GroupId> group_of_merged_key(std::string_view key) {
    if (key.size() != 9 || key[0] != 'o') return fail(EIO, "not the key of a merged group");
    uint64_t group = big_endian(key.substr(1));
    if (group > kGroupIdMax) return fail(EIO, "group is too large");
    return GroupId{group};
}

std::string encode(const Lease& l) {
    Encoder e;
    e.u8(static_cast<uint8_t>(l.kind)).u32(raw(l.session)).u64(l.epoch).u8(l.flags);
    return seal(e);
}
Result<Lease> decode_lease(std::string_view value) {
    Decoder d(TRY(open_payload(value)));
    Lease l;
    l.kind = static_cast<Lease::Kind>(d.u8());
    l.session = SessionId{d.u32()};
    l.epoch = d.u64();
    l.flags = d.u8();
    TRY(ended(d));
    if (std::string_view("FXSBDZ").find(static_cast<char>(l.kind)) == std::string_view::npos)
        return malformed("an unknown kind of lease");
    if ((l.kind == Lease::Kind::exclusive) != (l.session != kNobody)) return malformed("a lease of the wrong owner");
    return l;
}

std::string encode(const About& a) {
    Encoder e;
    e.varint(raw(a.group)).varint(raw(a.directory)).string(a.first).string(a.end).varint(raw(a.next_slot));
    return seal(e);
}
Result<About> decode_about(std::string_view value) {
    Decoder d(TRY(open_payload(value)));
    About a;
    a.group = get_group(d);
    a.directory = get_ino(d);
    a.first = d.string(kNameMax);
    a.end = d.string(kNameMax);
    a.next_slot = get_slot(d, kSlotMax + 1);
    TRY(ended(d));
    if (!a.end.empty() && a.end <= a.first) return malformed("an empty range");
    return a;
}

std::string encode(const Dentry& n) {
    Encoder e;
    e.u8(static_cast<uint8_t>(n.kind)).varint(raw(n.slot)).varint(raw(n.anchor)).varint(raw(n.ino)).varint(n.type);
    if (n.kind == Dentry::Kind::file) put_inode(e, n.inode);
    return seal(e);
}
Result<Dentry> decode_dentry(std::string_view value) {
    Decoder d(TRY(open_payload(value)));
    Dentry n;
    n.kind = static_cast<Dentry::Kind>(d.u8());
    n.slot = get_slot(d);
    n.anchor = get_slot(d);
    n.ino = get_ino(d);
    n.type = get_u32(d, S_IFMT);
    if (n.kind == Dentry::Kind::file) n.inode = get_inode(d);
    TRY(ended(d));
    if (n.kind < Dentry::Kind::file || n.kind > Dentry::Kind::linked) return malformed("an unknown kind of dentry");
    if ((n.kind == Dentry::Kind::directory) != (n.type == S_IFDIR)) return malformed("a wrong type of file");
    if (n.kind == Dentry::Kind::file && (n.inode.ino != n.ino || (n.inode.mode & S_IFMT) != n.type))
        return malformed("an inode that is not the dentry's");
    return n;
}

std::string encode(const SlotRecord& s) {
    Encoder e;
    e.u8(static_cast<uint8_t>(s.kind)).string(s.name);
    if (s.kind != SlotRecord::Kind::name)
        e.varint(raw(s.to)).varint(raw(s.to_group)).varint(zigzag(s.gone_at));
    return seal(e);
}
Result<SlotRecord> decode_slot(std::string_view value) {
    Decoder d(TRY(open_payload(value)));
    SlotRecord s;
    s.kind = static_cast<SlotRecord::Kind>(d.u8());
    s.name = d.string(kNameMax);
    if (s.kind != SlotRecord::Kind::name) {
        s.to = get_slot(d);
        s.to_group = get_group(d);
        s.gone_at = unzigzag(d.varint());
    }
    TRY(ended(d));
    if (s.kind < SlotRecord::Kind::name || s.kind > SlotRecord::Kind::linked)
        return malformed("an unknown kind of slot");
    return s;
}

std::string encode(const AwayRecord& a) {
    Encoder e;
    e.u8(a.is_linked ? 1 : 0).varint(raw(a.group)).varint(raw(a.slot)).varint(a.moves);
    return seal(e);
}
Result<AwayRecord> decode_away(std::string_view value) {
    Decoder d(TRY(open_payload(value)));
    AwayRecord a;
    uint8_t linked = d.u8();
    a.is_linked = linked == 1;
    a.group = get_group(d);
    a.slot = get_slot(d);
    a.moves = d.varint();
    TRY(ended(d));
    if (linked > 1) return malformed("an unknown kind of place");
    return a;
}

std::string encode(const UnlinkedRecord& u) {
    Encoder e;
    e.u8(static_cast<uint8_t>(u.kind));
    put_time(e, u.since);
    e.varint(u.open.size());
    for (SessionId s : u.open) e.varint(raw(s));
    put_inode(e, u.inode);
    return seal(e);
}
Result<UnlinkedRecord> decode_unlinked(std::string_view value) {
    Decoder d(TRY(open_payload(value)));
    UnlinkedRecord u;
    u.kind = static_cast<UnlinkedRecord::Kind>(d.u8());
    u.since = get_time(d);
    uint64_t count = d.varint();
    if (count > kOpenSessionsMax) d.damage();
    for (uint64_t i = 0; i < count && d.ok(); ++i) u.open.push_back(SessionId{get_u32(d)});
    u.inode = get_inode(d);
    TRY(ended(d));
    if (u.kind < UnlinkedRecord::Kind::file || u.kind > UnlinkedRecord::Kind::linked)
        return malformed("an unknown kind of unlinked inode");
    return u;
}

Sum& Sum::operator+=(const Sum& other) {
    // Hostile sums may not overflow: they wrap as unsigned numbers do.
    auto add = [](int64_t a, int64_t b) { return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b)); };
    names = add(names, other.names);
    subdirectories = add(subdirectories, other.subdirectories);
    bytes = add(bytes, other.bytes);
    mtime = std::max(mtime, other.mtime);
    return *this;
}
std::string encode(const Sum& s) {
    Encoder e;
    e.varint(zigzag(s.names)).varint(zigzag(s.subdirectories)).varint(zigzag(s.bytes));
    put_time(e, s.mtime);
    return seal(e);
}
Result<Sum> decode_sum(std::string_view value) {
    Decoder d(TRY(open_payload(value)));
    Sum s;
    s.names = unzigzag(d.varint());
    s.subdirectories = unzigzag(d.varint());
    s.bytes = unzigzag(d.varint());
    s.mtime = get_time(d);
    TRY(ended(d));
    return s;
}

std::string encode(const LaneRecord& l) {
    Encoder e;
    e.varint(l.number).varint(l.request_id);
    return seal(e);
}
Result<LaneRecord> decode_lane(std::string_view value) {
    Decoder d(TRY(open_payload(value)));
    LaneRecord l;
    l.number = d.varint();
    l.request_id = d.varint();
    TRY(ended(d));
    return l;
}

std::string encode(const InodeRecord& r) {
    Encoder e;
    put_time(e, r.mtime_set);
    put_inode(e, r.inode);
    return seal(e);
}
Result<InodeRecord> decode_inode(std::string_view value) {
    Decoder d(TRY(open_payload(value)));
    InodeRecord r;
    r.mtime_set = get_time(d);
    r.inode = get_inode(d);
    TRY(ended(d));
    return r;
}

std::string encode(const PlaceRecord& p) {
    Encoder e;
    e.varint(raw(p.parent)).varint(raw(p.dentry.group)).varint(raw(p.dentry.slot));
    return seal(e);
}
Result<PlaceRecord> decode_place(std::string_view value) {
    Decoder d(TRY(open_payload(value)));
    PlaceRecord p;
    p.parent = get_ino(d);
    p.dentry.group = get_group(d);
    p.dentry.slot = get_slot(d);
    TRY(ended(d));
    return p;
}

std::string encode(const RangeRecord& r) {
    Encoder e;
    e.varint(raw(r.group));
    return seal(e);
}
Result<RangeRecord> decode_range(std::string_view value) {
    Decoder d(TRY(open_payload(value)));
    RangeRecord r;
    r.group = get_group(d);
    TRY(ended(d));
    return r;
}

std::string encode(const StateRecord& s) {
    Encoder e;
    e.u8(static_cast<uint8_t>(s.state)).u8(static_cast<uint8_t>((s.was_beating ? 1 : 0) | (s.is_fenced ? 2 : 0)));
    return seal(e);
}
Result<StateRecord> decode_state(std::string_view value) {
    Decoder d(TRY(open_payload(value)));
    StateRecord s;
    s.state = static_cast<SessionState>(d.u8());
    uint8_t flags = d.u8();
    s.was_beating = (flags & 1) != 0;
    s.is_fenced = (flags & 2) != 0;
    TRY(ended(d));
    if (s.state < SessionState::alive || s.state > SessionState::dead || flags > 3)
        return malformed("an unknown state of a session");
    return s;
}

std::string encode(const BeatRecord& b) {
    Encoder e;
    e.varint(b.number);
    return seal(e);
}
Result<BeatRecord> decode_beat(std::string_view value) {
    Decoder d(TRY(open_payload(value)));
    BeatRecord b{.number = d.varint()};
    TRY(ended(d));
    return b;
}

std::string encode(const SessionRecord& s) {
    Encoder e;
    e.string(s.host);
    put_time(e, s.started);
    e.string(s.client).string(s.boot_id).varint(s.pid_namespace).varint(s.pid).varint(s.process_started);
    return seal(e);
}
Result<SessionRecord> decode_session(std::string_view value) {
    constexpr size_t kTextMax = 4096;
    Decoder d(TRY(open_payload(value)));
    SessionRecord s;
    s.host = d.string(kTextMax);
    s.started = get_time(d);
    s.client = d.string(kTextMax);
    s.boot_id = d.string(kTextMax);
    s.pid_namespace = d.varint();
    s.pid = get_u32(d);
    s.process_started = d.varint();
    TRY(ended(d));
    return s;
}

std::string encode(const RecallRecord& r) {
    Encoder e;
    e.varint(raw(r.asker));
    return seal(e);
}
Result<RecallRecord> decode_recall(std::string_view value) {
    Decoder d(TRY(open_payload(value)));
    RecallRecord r{.asker = SessionId{get_u32(d)}};
    TRY(ended(d));
    return r;
}

std::string encode(const LocksRecord& r) {
    Encoder e;
    e.varint(raw(r.session)).varint(r.number).varint(r.locks.size());
    for (const FileLock& l : r.locks) {
        e.u8(static_cast<uint8_t>(l.family)).u8(static_cast<uint8_t>(l.type)).varint(raw(l.session));
        e.varint(l.owner).varint(l.pid).varint(l.first).varint(l.last - l.first);
    }
    return seal(e);
}
Result<LocksRecord> decode_locks(std::string_view value) {
    Decoder d(TRY(open_payload(value)));
    LocksRecord r{.session = SessionId{get_u32(d)}, .number = d.varint()};
    uint64_t count = d.varint();
    if (count > kLocksMax) d.damage();
    for (uint64_t i = 0; i < count && d.ok(); ++i) {
        uint8_t family = d.u8(), type = d.u8();
        FileLock l{.family = static_cast<FileLock::Family>(family), .type = static_cast<FileLock::Type>(type)};
        l.session = SessionId{get_u32(d)};
        l.owner = d.varint();
        l.pid = get_u32(d);
        l.first = d.varint();
        uint64_t more = d.varint();
        if (family < 1 || family > 2 || type < 1 || type > 2 || more > UINT64_MAX - l.first) d.damage();
        l.last = l.first + more;
        r.locks.push_back(l);
    }
    TRY(ended(d));
    return r;
}

std::string encode(const ReachRecord& r) {
    Encoder e;
    e.varint(raw(r.home)).u8(r.homes_rise ? 1 : 0).varint(r.first).varint(r.last - r.first);
    return seal(e);
}
Result<ReachRecord> decode_reach(std::string_view value) {
    Decoder d(TRY(open_payload(value)));
    ReachRecord r{.home = get_ino(d)};
    uint8_t rise = d.u8();
    r.homes_rise = rise == 1;
    r.first = d.varint();
    uint64_t more = d.varint();
    if (rise > 1 || more > UINT64_MAX - r.first) d.damage();
    r.last = r.first + more;
    TRY(ended(d));
    return r;
}

std::string encode(const DeadMemberRecord& r) {
    Encoder e;
    e.varint(r.length);
    return seal(e);
}
Result<DeadMemberRecord> decode_dead_member(std::string_view value) {
    Decoder d(TRY(open_payload(value)));
    DeadMemberRecord r{.length = d.varint()};
    TRY(ended(d));
    return r;
}

std::string encode(const BirthsRecord& r) {
    Encoder e;
    e.varint(r.count);
    return seal(e);
}
Result<BirthsRecord> decode_births(std::string_view value) {
    Decoder d(TRY(open_payload(value)));
    BirthsRecord r{.count = d.varint()};
    if (r.count == 0 || r.count > kBirthsMax) d.damage();
    TRY(ended(d));
    return r;
}

std::string encode(const VolumeRecord& v) {
    Encoder e;
    e.varint(v.format_version).varint(v.features_ignore).varint(v.features_read_only).varint(v.features_refuse);
    e.u8(static_cast<uint8_t>(v.state)).string(v.uuid);
    put_time(e, v.created);
    e.varint(v.lease_seconds).string(v.data_pool).varint(v.snaps.sequence).varint(v.snaps.snaps.size());
    for (SnapId s : v.snaps.snaps) e.varint(raw(s));
    return seal_record(kRecordVersion, e.data());
}
Result<VolumeRecord> decode_volume(std::string_view value) {
    OpenedRecord record = TRY(open_record(value));
    Decoder d(record.payload);
    VolumeRecord v;
    v.format_version = get_u32(d);
    v.features_ignore = d.varint();
    v.features_read_only = d.varint();
    v.features_refuse = d.varint();
    if (!d.ok()) return fail(EIO, "record is malformed");
    if (record.version != kRecordVersion) return v;  // a newer one: what follows may be anything
    v.state = static_cast<VolumeRecord::State>(d.u8());
    v.uuid = d.string(64);
    v.created = get_time(d);
    v.lease_seconds = get_u32(d, 3600);
    v.data_pool = d.string(kNameMax);
    v.snaps.sequence = d.varint();
    uint64_t count = d.varint();
    if (count > 1024) d.damage();
    for (uint64_t i = 0; i < count && d.ok(); ++i) v.snaps.snaps.push_back(SnapId{d.varint()});
    TRY(ended(d));
    if (v.state != VolumeRecord::State::making && v.state != VolumeRecord::State::ready)
        return malformed("an unknown state of the volume");
    if (v.lease_seconds == 0) return malformed("no lease time");
    return v;
}

std::string encode(const NumbersRecord& n) {
    Encoder e;
    e.varint(n.next_session).varint(n.next_group);
    return seal(e);
}
Result<NumbersRecord> decode_numbers(std::string_view value) {
    Decoder d(TRY(open_payload(value)));
    NumbersRecord n;
    n.next_session = get_u32(d);
    n.next_group = d.varint();
    TRY(ended(d));
    if (n.next_session == 0 || n.next_group == 0 || n.next_group > kGroupIdMax + 1)
        return malformed("numbers out of range");
    return n;
}

std::string printable(std::string_view bytes) {
    std::string shown;
    for (char c : bytes) {
        auto byte = static_cast<uint8_t>(c);
        if (byte > ' ' && byte < 127 && c != '\\') shown.push_back(c);
        else shown += std::string("\\x") + "0123456789abcdef"[byte >> 4] + "0123456789abcdef"[byte & 15];
    }
    return shown;
}

Error damaged(const ObjectName& object, std::string_view key, const Error& why) {
    return fail(EIO, "damaged record in object " + object.name + ", key " + printable(key.substr(0, 300)) + ": " +
                         why.detail());
}

}  // namespace meshfs
