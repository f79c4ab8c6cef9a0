// What is said between who wants an object's lease and who has it.  A message is the object's name, which is all that a recall
// without an asker says, or that and a record behind a zero byte.
#pragma once

#include "fs/base/wire.h"
#include "fs/meta/session.h"

namespace meshfs {

inline constexpr uint8_t kRecallVersion = 1;

inline std::string encode_recall_message(const Recall& recall) {
    if (recall.asker == kNobody) return recall.object;
    Encoder e;
    e.u32(raw(recall.asker)).u64(recall.epoch).u8(recall.is_to_read ? 1 : 0);
    return recall.object + std::string(1, '\0') + seal_record(kRecallVersion, e.data());
}

// One with another record behind its name is taken for a recall without an asker.
inline Recall decode_recall_message(std::string_view message) {
    Recall recall{.object = std::string(message.substr(0, message.find('\0')))};
    if (recall.object.size() == message.size()) return recall;
    auto record = open_record(message.substr(recall.object.size() + 1));
    if (!record.ok() || record->version != kRecallVersion) return recall;
    Decoder d(record->payload);
    const SessionId asker{d.u32()};
    const uint64_t epoch = d.u64();
    const bool is_to_read = d.u8() != 0;
    if (d.ok()) recall.asker = asker, recall.epoch = epoch, recall.is_to_read = is_to_read;
    return recall;
}

// written: from this epoch on all is in the store that had been answered before it was asked; 0: look again.
inline Buffer encode_recall_answer(uint64_t written) {
    return Buffer::copy_of(seal_record(kRecallVersion, Encoder().u64(written).data()));
}
inline Result<uint64_t> decode_recall_answer(std::string_view answer) {
    auto record = TRY(open_record(answer));
    if (record.version != kRecallVersion) return fail(EIO);
    Decoder d(record.payload);
    const uint64_t written = d.u64();
    return d.ok() ? Result<uint64_t>(written) : fail(EIO);
}

}  // namespace meshfs
