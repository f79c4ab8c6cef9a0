#include "fs/data/pack_scan.h"

namespace meshfs {

Result<PackScan> scan_pack(Store& store, Pool pool, BlobId pack) {
    const ObjectName object = pack_object(pool, pack);
    const uint64_t size = TRY(store.ask(std::move(Query(object).stat()))).size;
    PackScan scan;
    uint64_t at = 0;
    for (uint32_t number = 0; at < size; ++number) {
        Transfer transfer{.direction = Transfer::Direction::read, .object = object, .offset = at};
        Buffer front = transfer.bytes = Buffer::allocate(kSegmentFrontMax);
        const size_t got = TRY(store.transfer(std::move(transfer)));
        auto segment = parse_segment(front.view().substr(0, got), pack, number, at);
        if (segment.ok() && at + segment->length > size)
            segment = fail(EIO, "object " + object.name + " ends within the segment at " + std::to_string(at));
        if (!segment.ok()) {
            scan.damage = segment.error();
            return scan;
        }
        scan.members.insert(scan.members.end(), segment->members.begin(), segment->members.end());
        at += segment->length;
    }
    return scan;
}

}  // namespace meshfs
