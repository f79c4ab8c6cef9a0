// Decoders of metadata bear any bytes: as they come, and as the payload of a sealed record.
#include "fs/base/wire.h"
#include "fs/meta/format.h"
#include "fs/meta/intent.h"

namespace {

void decode_all(std::string_view value) {
    using namespace meshfs;
    (void)decode_lease(value), (void)decode_about(value), (void)decode_dentry(value), (void)decode_slot(value);
    (void)decode_away(value), (void)decode_unlinked(value), (void)decode_sum(value), (void)decode_lane(value);
    (void)decode_inode(value), (void)decode_place(value), (void)decode_range(value), (void)decode_volume(value);
    (void)decode_numbers(value), (void)slot_of_key(value), (void)ino_of_unlinked_key(value);
    (void)decode_state(value), (void)decode_beat(value), (void)decode_recall(value);
    (void)decode_session(value), (void)decode_locks(value), (void)session_of_registry_key(value);
    (void)decode_reach(value), (void)blobs_of_reach_key(value);
    (void)decode_births(value), (void)group_of_births_key(value), (void)group_of_merged_key(value);
    (void)decode_dead_member(value), (void)pack_of_dead_member_key(value);
    (void)decode_intent({value});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view bytes(reinterpret_cast<const char*>(data), size);
    decode_all(bytes);
    decode_all(meshfs::seal_record(1, bytes));
    return 0;
}
