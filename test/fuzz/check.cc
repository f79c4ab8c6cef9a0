// A volume whose records are any bytes: check judges it, repairs it, and judges it again, and comes to an end.
// Input: records, each u8 object, u8 key, u8 length, that many bytes; the high bit of `object` seals them as a
// record.
#include "fs/vfs/check/check.h"

#include "fs/base/wire.h"
#include "fs/meta/format.h"
#include "fs/store/memory_store.h"
#include "fs/vfs/check/object_name.h"

namespace {

using namespace meshfs;

// What a volume of two directories and a file has, and what it points to.
const ObjectName kObjects[] = {group_object(kRootGroup),
                               group_object(GroupId{1}),
                               group_object(GroupId{2}),
                               away_object(GroupId{1}, Slot{1}),
                               linked_object(Ino{1 << 24 | 1}),
                               session_object(SessionId{1}),
                               registry_object(1),
                               volume_move_object(),
                               {Pool{1}, "b.100000001.0"}};

std::string key_of(uint8_t number) {
    switch (number % 16) {
        case 0: return name_key("a");
        case 1: return name_key("b");
        case 2: return slot_key(Slot{16});
        case 3: return slot_key(Slot{17});
        case 4: return kInodeKey;
        case 5: return kPlaceKey;
        case 6: return kSumKey;
        case 7: return unlinked_key(Ino{1 << 24 | 1});
        case 8: return freed_key(Ino{1 << 24 | 1}, 1);
        case 9: return range_key("b");
        case 10: return lane_key(SessionId{1}, 0);
        case 11: return registry_key(SessionId{1});
        case 12: return "x" + key_u64(1) + key_u32(0);
        case 13: return kLeaseXattr;
        case 14: return kAboutXattr;
        default: return kStateXattr;
    }
}

void put(Store& store, const ObjectName& object, uint8_t number, std::string value) {
    if (value.empty() || value.size() > kObjectXattrMax) return;
    Mutation m(object);
    if (number % 16 >= 13) m.set_xattr(key_of(number), std::move(value));
    else m.set_keys({{key_of(number), std::move(value)}});
    (void)store.apply(std::move(m));
}

// A directory with a file, so that what is damaged is reached.
void begin(Store& store) {
    Inode directory{.ino = ino_of({GroupId{1}, Slot{0}}), .mode = S_IFDIR | 0755};
    Inode file{.ino = ino_of({kRootGroup, Slot{17}}), .mode = S_IFREG | 0644};
    file.map = {.size = 9, .extents = {{.length = 9, .blob = BlobId{uint64_t{1} << 32 | 1}, .flags = Extent::whole}}};
    Mutation root(group_object(kRootGroup));
    root.set_keys(
        {{name_key("a"), encode(Dentry{.kind = Dentry::Kind::directory,
                                       .ino = directory.ino,
                                       .type = S_IFDIR,
                                       .slot = Slot{16},
                                       .anchor = Slot{16},
                                       .inode = {}})},
         {slot_key(Slot{16}), encode(SlotRecord{.name = "a"})},
         {name_key("b"),
          encode(Dentry{.ino = file.ino, .type = S_IFREG, .slot = Slot{17}, .anchor = Slot{17}, .inode = file})},
         {slot_key(Slot{17}), encode(SlotRecord{.name = "b"})}});
    (void)store.apply(std::move(root));
    Mutation header(group_object(GroupId{1}));
    header.create().set_xattr(kLeaseXattr, encode(free_lease(1)));
    header.set_xattr(kAboutXattr, encode(About{.group = GroupId{1}, .directory = directory.ino}));
    header.set_keys({{kInodeKey, encode(InodeRecord{.inode = directory})},
                     {kPlaceKey, encode(PlaceRecord{.parent = kRootIno, .dentry = {kRootGroup, Slot{16}}})}});
    (void)store.apply(std::move(header));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view in(reinterpret_cast<const char*>(data), size);
    (void)check::parse_object_name(in);
    MemoryStore store;
    ManualClock clock;
    if (!format_volume(store, clock, {.lease_seconds = 1}).ok()) return 0;
    begin(store);
    while (in.size() >= 3) {
        auto object = static_cast<uint8_t>(in[0]), key = static_cast<uint8_t>(in[1]),
             length = static_cast<uint8_t>(in[2]);
        std::string value(in.substr(3, length));
        in.remove_prefix(std::min<size_t>(in.size(), 3u + length));
        if ((object & 0x80) != 0) value = seal_record(1, value);
        put(store, kObjects[(object & 0x7f) % std::size(kObjects)], key, std::move(value));
    }
    auto meta = Meta::open(store, clock, {.host = "fuzz", .background = false});
    if (meta.ok()) {
        for (bool repair : {false, true, false}) {
            CheckOptions options;
            options.repair = repair;
            options.deep = true;
            options.threads = 1;
            (void)check_volume(**meta, options);
        }
        (void)(*meta)->close();
    }
    store.stop();
    return 0;
}
