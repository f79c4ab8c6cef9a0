#include "fs/meta/format.h"

#include <gtest/gtest.h>

#include "fs/base/wire.h"

namespace meshfs {
namespace {

Inode sample_inode() {
    Inode n;
    n.ino = Ino{0x1234567};
    n.mode = S_IFREG | 0640;
    n.uid = 1000;
    n.gid = UINT32_MAX;
    n.links = 1;
    n.atime = {-5, 999'999'999};
    n.mtime = {INT64_MAX, 1};
    n.ctime = {INT64_MIN, 0};
    n.btime = {1'700'000'000, 5};
    n.flags = kAppendOnly;
    n.content_version = UINT64_MAX;
    n.write_version = 3;
    n.writer = kSeveral;
    n.map.size = kFileSizeMax;
    n.map.bytes = 8192;
    n.map.extents = {{.offset = 4096, .length = 10, .blob_offset = 4096, .blob = BlobId{77}},
                     {.offset = 5000, .length = kFileSizeMax - 5000, .blob = BlobId{78},
                      .kind = Extent::Kind::packed, .flags = Extent::whole, .crc = 42}};
    n.xattrs = {{"user.a", std::string("\0b", 2)}, {"user.empty", ""}};
    return n;
}

// Every prefix and every flipped byte is an error, never a crash or another record.
template <class Decode>
void expect_damage_is_seen(Decode decode, const std::string& value) {
    for (size_t i = 0; i < value.size(); ++i) {
        EXPECT_EQ(decode(std::string_view(value).substr(0, i)).code(), EIO) << i;
        std::string bad = value;
        bad[i] = static_cast<char>(bad[i] ^ 0x10);
        EXPECT_EQ(decode(bad).code(), EIO) << i;
    }
}

// The same with a right checksum: the payload itself is cut and changed.
template <class Decode>
void expect_malice_is_borne(Decode decode, const std::string& value) {
    std::string payload(open_record(value)->payload);
    for (size_t i = 0; i < payload.size(); ++i) {
        (void)decode(seal_record(1, payload.substr(0, i)));
        for (int bit : {1, 0x7f, 0x80, 0xff}) {
            std::string bad = payload;
            bad[i] = static_cast<char>(bad[i] ^ bit);
            (void)decode(seal_record(1, bad));
        }
    }
    EXPECT_EQ(decode(seal_record(1, payload + "x")).code(), EIO);
    EXPECT_EQ(decode(seal_record(200, payload)).code(), EIO);
}

template <class Record, class Decode>
void expect_round_trip(const Record& record, Decode decode) {
    std::string value = encode(record);
    auto decoded = decode(value);
    ASSERT_TRUE(decoded.ok()) << decoded.error().text();
    EXPECT_EQ(*decoded, record);
    EXPECT_EQ(encode(*decoded), value);
    expect_damage_is_seen(decode, value);
    expect_malice_is_borne(decode, value);
}

TEST(Format, RecordsComeBackAsTheyWere) {
    expect_round_trip(exclusive_lease(SessionId{9}, 7), decode_lease);
    expect_round_trip(free_lease(UINT64_MAX), decode_lease);
    expect_round_trip(About{GroupId{kGroupIdMax}, Ino{5}, "a", "b\xff", Slot{kSlotMax + 1}}, decode_about);
    expect_round_trip(SlotRecord{.name = "x"}, decode_slot);
    expect_round_trip(SlotRecord{SlotRecord::Kind::away, "x", Slot{3}, GroupId{4}, -1}, decode_slot);
    expect_round_trip(AwayRecord{false, GroupId{1}, Slot{2}, 3}, decode_away);
    expect_round_trip(Sum{-1, INT64_MAX, INT64_MIN, {5, 6}}, decode_sum);
    expect_round_trip(LaneRecord{UINT64_MAX, 1}, decode_lane);
    expect_round_trip(PlaceRecord{Ino{1}, {GroupId{2}, Slot{3}}}, decode_place);
    expect_round_trip(RangeRecord{GroupId{3}}, decode_range);
}

TEST(Format, SessionsComeBackAsTheyWere) {
    expect_round_trip(StateRecord{}, decode_state);
    expect_round_trip(StateRecord{SessionState::dead, true, true}, decode_state);
    expect_round_trip(BeatRecord{UINT64_MAX}, decode_beat);
    expect_round_trip(SessionRecord{"host", {5, 6}, "10.0.0.1:0/123", "8d5c", 4026531836, 4711, 99}, decode_session);
    expect_round_trip(RecallRecord{SessionId{7}}, decode_recall);
    FileLock all{.family = FileLock::Family::flock, .type = FileLock::Type::write, .session = SessionId{3}};
    FileLock end{.owner = UINT64_MAX, .pid = 9, .first = UINT64_MAX};
    expect_round_trip(LocksRecord{SessionId{1}, 2, {all, end}}, decode_locks);
    EXPECT_LT(encode(LocksRecord{SessionId{UINT32_MAX}, UINT64_MAX, LockList(kLocksMax, end)}).size(), kValueMax);
    EXPECT_EQ(*session_of_registry_key(registry_key(SessionId{0x12345678})), SessionId{0x12345678});
    EXPECT_EQ(session_of_registry_key("s1").code(), EIO);
}

TEST(Format, ReachesComeBackAsTheyWere) {
    expect_round_trip(ReachRecord{Ino{7}, true, 3, UINT64_MAX}, decode_reach);
    for (auto ids : {std::pair(BlobId{9}, BlobId{9}), std::pair(BlobId{9}, BlobId{72})})
        EXPECT_EQ(*blobs_of_reach_key(reach_key(ids.first, ids.second)), ids);
    EXPECT_EQ(blobs_of_reach_key(reach_key(BlobId{9}, BlobId{8})).code(), EIO);
    EXPECT_EQ(blobs_of_reach_key(reach_key(BlobId{1}, BlobId{1 << 20})).code(), EIO);
}

TEST(Format, AMergedGroupIsInItsKey) {
    EXPECT_EQ(*group_of_merged_key(merged_key(GroupId{kGroupIdMax})), GroupId{kGroupIdMax});
    EXPECT_EQ(group_of_merged_key(merged_key(GroupId{kGroupIdMax + 1})).code(), EIO);
    EXPECT_EQ(group_of_merged_key("o").code(), EIO);
}

TEST(Format, BirthsComeBackAsTheyWere) {
    expect_round_trip(BirthsRecord{16}, decode_births);
    EXPECT_EQ(decode_births(encode(BirthsRecord{0})).code(), EIO);
    EXPECT_EQ(decode_births(encode(BirthsRecord{kBirthsMax + 1})).code(), EIO);
    EXPECT_EQ(*group_of_births_key(births_key(GroupId{kGroupIdMax})), GroupId{kGroupIdMax});
    EXPECT_EQ(group_of_births_key(births_key(GroupId{kGroupIdMax + 1})).code(), EIO);
    EXPECT_EQ(group_of_births_key("g").code(), EIO);
}

TEST(Format, InodesComeBackAsTheyWere) {
    Inode n = sample_inode();
    Dentry d{.ino = n.ino, .type = S_IFREG, .slot = Slot{3}, .anchor = Slot{kSlotMax}, .inode = n};
    expect_round_trip(d, decode_dentry);
    expect_round_trip(InodeRecord{n, {1, 2}}, decode_inode);
    expect_round_trip(UnlinkedRecord{UnlinkedRecord::Kind::file, n, {SessionId{1}, SessionId{2}}, {3, 4}},
                      decode_unlinked);
}

TEST(Format, InlineBytesComeBack) {
    Inode n = sample_inode();
    n.map = {.size = 100, .bytes = 5, .inline_bytes = "hello"};
    expect_round_trip(InodeRecord{n, {}}, decode_inode);
}

TEST(Format, ADirectorysDentryHasNoInode) {
    expect_round_trip(Dentry{.kind = Dentry::Kind::directory, .ino = Ino{9}, .type = S_IFDIR, .slot = Slot{1}},
                      decode_dentry);
    Dentry wrong{.kind = Dentry::Kind::directory, .ino = Ino{9}, .type = S_IFREG};
    EXPECT_EQ(decode_dentry(encode(wrong)).code(), EIO);
}

TEST(Format, LeasesHaveAnOwnerOnlyIfExclusive) {
    EXPECT_EQ(decode_lease(encode(exclusive_lease(kNobody, 1))).code(), EIO);
    Lease free = free_lease(1);
    free.session = SessionId{1};
    EXPECT_EQ(decode_lease(encode(free)).code(), EIO);
}

TEST(Format, NewerVolumesTellTheirVersion) {
    VolumeRecord v{.format_version = 9, .lease_seconds = 30, .features_refuse = 4};
    std::string payload(open_record(encode(v))->payload);
    auto newer = decode_volume(seal_record(2, payload.substr(0, 4) + "whatever"));
    ASSERT_TRUE(newer.ok());
    EXPECT_EQ(newer->format_version, 9u);
    EXPECT_EQ(newer->features_refuse, 4u);
}

TEST(Format, ObjectsAndKeysAreNamedInHexAndInOrder) {
    EXPECT_EQ(group_object(GroupId{0x1f}).name, "g.1f");
    EXPECT_EQ(away_object(GroupId{0x1f}, Slot{0x20001}).name, "i.1f.2");
    EXPECT_EQ(registry_object(15).name, "sessions.15");
    EXPECT_LT(slot_key(Slot{0xff}), slot_key(Slot{0x100}));
    EXPECT_EQ(*slot_of_key(slot_key(Slot{0x1234})), Slot{0x1234});
    EXPECT_EQ(*ino_of_unlinked_key(freed_key(Ino{7}, 8)), Ino{7});
    EXPECT_EQ(slot_of_key("i1").code(), EIO);
}

TEST(Format, DamageNamesObjectAndKey) {
    auto error = damaged(group_object(GroupId{1}), name_key("a\n"), fail(EIO, "record is too short"));
    EXPECT_EQ(error.detail(), "damaged record in object g.1, key na\\x0a: record is too short");
}

}  // namespace
}  // namespace meshfs
