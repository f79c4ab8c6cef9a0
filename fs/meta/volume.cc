// The volume: making one, reading what it is.
//
// The object `volume` is made first, as "making", and says "ready" last: what a crash of format leaves is no
// volume, and the next format takes it over.
#include <algorithm>
#include <array>
#include <random>

#include "fs/base/wire.h"
#include "fs/meta/format.h"
#include "fs/meta/format_volume.h"
#include "fs/meta/meta.h"
#include "fs/store/io_batch.h"

namespace meshfs {
namespace {

struct VolumeView {
    VolumeRecord record;
    std::string value;  // as read: a guard
    NumbersRecord numbers;
    std::string numbers_value;
};

Result<VolumeView> read_volume_object(Store& store) {
    Answer answer = TRY(store.ask(std::move(Query(volume_object()).xattrs())));
    VolumeView view;
    view.value = answer.xattrs[kVolumeXattr];
    view.numbers_value = answer.xattrs[kNumbersXattr];
    view.record = TRY(decode_at(decode_volume, volume_object(), kVolumeXattr, view.value));
    if (view.record.format_version <= kFormatVersion)
        view.numbers = TRY(decode_at(decode_numbers, volume_object(), kNumbersXattr, view.numbers_value));
    return view;
}

std::string random_uuid() {
    std::random_device random;
    std::array<uint8_t, 16> bytes;
    for (auto& b : bytes) b = static_cast<uint8_t>(random());
    bytes[6] = static_cast<uint8_t>((bytes[6] & 0x0f) | 0x40);
    bytes[8] = static_cast<uint8_t>((bytes[8] & 0x3f) | 0x80);
    std::string text;
    for (size_t i = 0; i < bytes.size(); ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) text.push_back('-');
        text.push_back("0123456789abcdef"[bytes[i] >> 4]);
        text.push_back("0123456789abcdef"[bytes[i] & 15]);
    }
    return text;
}

// The root: group 0, the header of the directory that shows as number 1.
// Its epoch is above all that a frozen mount of an earlier volume may still guard on.
Mutation make_root(const FormatOptions& options, Time now, uint64_t epoch) {
    Inode root;
    root.ino = kRootIno;
    root.mode = S_IFDIR | (options.root_mode & 07777);
    root.uid = options.root_uid;
    root.gid = options.root_gid;
    root.links = 2;
    root.atime = root.mtime = root.ctime = root.btime = now;
    About about{.group = kRootGroup, .directory = kRootIno, .next_slot = Slot{kFirstSlotOfRoot}};
    Mutation m(group_object(kRootGroup));
    m.create();
    m.set_xattr(kLeaseXattr, encode(free_lease(epoch)));
    m.set_xattr(kAboutXattr, encode(about));
    m.clear_keys();
    m.set_keys({{kInodeKey, encode(InodeRecord{.inode = root})},
                {kPlaceKey, encode(PlaceRecord{.parent = kRootIno})}});
    return m;
}

Status make_objects(Store& store, const FormatOptions& options, Time now, uint64_t epoch) {
    IoBatch batch(store);
    batch.add(make_root(options, now, epoch));
    for (unsigned i = 0; i < kRegistryObjects; ++i) batch.add(std::move(Mutation(registry_object(i)).create()));
    batch.add(std::move(Mutation(volume_move_object()).set_xattr(kLeaseXattr, encode(free_lease(epoch)))));
    return batch.wait();
}

// "there is a volume, made 2026-11-26 10:34 UTC (5ee1...), in a store of about 1200 objects"
std::string describe_doomed(Store& store, const VolumeRecord& record) {
    char day[32];
    time_t seconds = record.created.seconds;
    tm utc{};
    gmtime_r(&seconds, &utc);
    std::strftime(day, sizeof day, "%F %H:%M UTC", &utc);
    std::string text = "there is a volume, made " + std::string(day) + " (" + record.uuid + ")";
    auto capacity = store.capacity(kMetaPool);
    if (capacity.ok()) text += ", in a store of about " + std::to_string(capacity->objects) + " objects";
    return text;
}

}  // namespace

Status format_volume(Store& store, Clock& clock, const FormatOptions& options) {
    if (options.lease_seconds < 1 || options.lease_seconds > 3600)
        return fail(EINVAL, "lease time must be 1 to 3,600 seconds");
    VolumeView old;
    auto found = read_volume_object(store);
    bool is_there = found.ok();
    if (is_there) {
        old = std::move(found).value();
        if (old.record.format_version > kFormatVersion)
            return fail(EPROTONOSUPPORT, "there is a volume of a newer MeshFS (format " +
                                             std::to_string(old.record.format_version) + ")");
        if (old.record.state == VolumeRecord::State::ready && !options.force)
            return fail(EEXIST, describe_doomed(store, old.record) + "; --force destroys it and all its files");
        if (options.force) TRY(check_nobody_beats(store, clock, static_cast<int>(old.record.lease_seconds)));
    } else if (found.code() != ENOENT) {
        if (found.code() != EIO || !options.force) return found.error();
        return fail(EIO, found.error().detail() + "; its counters cannot be kept, so it is not made anew");
    }
    VolumeRecord record{.format_version = kFormatVersion, .uuid = random_uuid(), .created = clock.now(),
                        .lease_seconds = static_cast<uint32_t>(options.lease_seconds),
                        .data_pool = options.data_pool, .snaps = old.record.snaps};
    std::string making = encode(record);
    Mutation begin(volume_object());
    if (is_there) begin.xattr_is(kVolumeXattr, old.value);
    else begin.absent().create().set_xattr(kNumbersXattr, encode(NumbersRecord{}));
    begin.set_xattr(kVolumeXattr, making);
    auto begun = store.apply(std::move(begin));
    if (begun.code() == EEXIST || begun.code() == ECANCELED) return fail(EEXIST, "somebody else formats it now");
    TRY(begun);
    if (is_there) TRY(remove_everything(store, options.progress));
    TRY(make_objects(store, options, record.created, old.numbers.next_group));
    record.state = VolumeRecord::State::ready;
    auto ended = store.apply(std::move(Mutation(volume_object())
                                           .xattr_is(kVolumeXattr, making)
                                           .set_xattr(kVolumeXattr, encode(record))));
    if (ended.code() == ECANCELED) return fail(EEXIST, "somebody else formats it now");
    return ended;
}

Result<VolumeInfo> read_volume(Store& store) {
    auto view = read_volume_object(store);
    if (view.code() == ENOENT) return fail(ENOENT, "there is no volume; `meshfs format` makes one");
    if (!view.ok()) return view.error();
    const VolumeRecord& record = view->record;
    if (record.format_version > kFormatVersion || record.features_refuse != 0)
        return fail(EPROTONOSUPPORT, "the volume was made by a newer MeshFS (format " +
                                         std::to_string(record.format_version) + ", features " +
                                         hex(record.features_refuse) + "); this one knows format " +
                                         std::to_string(kFormatVersion));
    if (record.state != VolumeRecord::State::ready)
        return fail(ENOENT, "`meshfs format` did not end here; run it again");
    return VolumeInfo{.format_version = record.format_version, .uuid = record.uuid, .created = record.created,
                      .lease_seconds = static_cast<int>(record.lease_seconds),
                      .features_ignore = record.features_ignore, .features_read_only = record.features_read_only,
                      .features_refuse = record.features_refuse, .data_pool = record.data_pool};
}

}  // namespace meshfs
