// What the operations of one mount share.
#pragma once

#include <algorithm>
#include <memory>

#include "fs/meta/alone.h"
#include "fs/meta/births.h"
#include "fs/meta/format.h"
#include "fs/meta/held_groups.h"
#include "fs/meta/hints.h"
#include "fs/meta/intent.h"
#include "fs/meta/lease.h"
#include "fs/meta/lock_watches.h"
#include "fs/meta/look_ahead.h"
#include "fs/meta/meta.h"
#include "fs/meta/numbers.h"
#include "fs/meta/open_files.h"
#include "fs/meta/purges.h"
#include "fs/meta/reach.h"
#include "fs/meta/rooms.h"
#include "fs/meta/session.h"
#include "fs/store/store.h"

namespace meshfs {

class MetaCore {
public:
    MetaCore(Store& store, Clock& clock, MetaOptions options, VolumeInfo info);
    ~MetaCore();

    HeldGroups held;  // safe by itself

    // Constant after construction.
    Store& store;  // through `held`
    Clock& clock;
    const MetaOptions options;
    const VolumeInfo volume;

    // Safe by themselves.
    Lanes lanes;
    SlotReserve slots;
    InoHints hints;
    RangeMaps maps;
    RangeSums sums;
    UnlinkedQueue unlinked;
    OpenFiles open_files;
    Purges purges;
    LockWatches lock_watches;
    OwnKeys own_keys{held};
    Reaches reaches{own_keys};
    Births births{own_keys};

    Holders holders;
    Recalled recalled;
    Rooms rooms;
    Intents intents;

    // Null in a read-only mount.
    std::unique_ptr<Numbers> numbers;
    std::unique_ptr<Session> session;
    std::unique_ptr<LookAhead> look_ahead;  // null where nothing is read ahead
    std::unique_ptr<Alone> alone;           // null where that is all the same

    uint32_t slots_at_once() const {
        return static_cast<uint32_t>(std::clamp<size_t>(options.split_names / 8, 1, SlotReserve::kAtOnceMax));
    }
    SessionId session_id() const { return numbers ? numbers->session() : kNobody; }
    // Returns when nobody has that object, or it is dead or gone: recalls a living holder, finishes what a dead one
    // began, waits for an operation of this mount.
    Status wait_for_free(const ObjectName& object);
    Result<SessionState> look_at(SessionId other);
    // EROFS in a read-only mount, ESHUTDOWN in one that was declared dead.
    Status check_may_change() const;
    Time now() { return clock.now(); }
};

}  // namespace meshfs
