// What the operations of one mount share.
#pragma once

#include <memory>

#include "fs/meta/format.h"
#include "fs/meta/hints.h"
#include "fs/meta/meta.h"
#include "fs/meta/numbers.h"
#include "fs/store/store.h"

namespace meshfs {

class Session;    // session.h: state, beats, registry, mailbox, death of others
class Leases;     // lease.h: taking X, waiting for others, takeover
class OpenInos;   // purge.h: which numbers are open in this mount

class MetaCore {
public:
    MetaCore(Store& store, Clock& clock, MetaOptions options, VolumeInfo info);
    ~MetaCore();

    // Constant after construction.
    Store& store;
    Clock& clock;
    const MetaOptions options;
    const VolumeInfo volume;

    // Safe by themselves.
    Lanes lanes;
    SlotReserve slots;
    InoHints hints;
    RangeMaps maps;

    // In the order they are made; null in a read-only mount: numbers, session.
    std::unique_ptr<Numbers> numbers;
    std::unique_ptr<Session> session;
    std::unique_ptr<Leases> leases;
    std::unique_ptr<OpenInos> opens;

    SessionId session_id() const { return numbers ? numbers->session() : kNobody; }
    // EROFS in a read-only mount.
    Status check_may_change() const;
    Time now() { return clock.now(); }
};

}  // namespace meshfs
