// Intents: how an operation over several objects happens wholly or not at all.
//
// Under X on every object an operation writes what it will do into its own session object, guarded on the session
// being alive: that write is the commit.  Then each step is one mutation of one object, guarded on the very lease that
// the operation holds there, and passes that lease on.  If the mount dies, any visitor finishes its intents, in order,
// before it takes a lease from it.  For a second visitor, a late copy or a lost answer the guard fails, which means
// done.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "fs/base/mutex.h"
#include "fs/meta/format.h"
#include "fs/meta/lease.h"

namespace meshfs {

class MetaCore;
class Session;

struct IntentStep {
    // In the order in which steps are done; those of one kind may be done at once.
    enum class Kind : uint8_t {
        make = 1,   // the object is made, free; guard: it is absent
        away = 2,   // keys that no lease covers; guard: `read` is still so
        leased = 3  // guard: the lease is `held`; it becomes `next`
    };
    Kind kind = Kind::leased;
    ObjectName object;
    Lease held, next;
    std::optional<std::string> about;  // leased: the new value
    std::vector<std::pair<std::string, std::optional<std::string>>> read;
    std::vector<Key> set;
    std::vector<std::string> removed;
    bool operator==(const IntentStep&) const = default;
};
using Intent = std::vector<IntentStep>;

// As the records behind x<number><part>, each within the limit of a value.
std::vector<std::string> encode_intent(const Intent& intent);
Result<Intent> decode_intent(const std::vector<std::string_view>& parts);
std::string intent_key(uint64_t number, uint32_t part);  // of s.<session>

// Own intents that are not over.  Threads: any.
class Intents {
public:
    ~Intents();  // what is open is left to visitors

    // The number of a new one; rises.
    uint64_t next_number();
    // All steps of it are in: its keys ride away on a later write.
    void done(std::vector<std::string> keys);
    std::vector<std::string> take_done();

    // Nobody knows whether it was written: the session's tick takes it back, and only then lets go of its objects.
    struct Unsettled {
        std::vector<std::string> keys;
        Exclusive held;
    };
    // Written, and its steps do not get through: tick goes on with them.
    struct Unfinished {
        Intent intent;
        std::vector<std::string> keys;
        Exclusive held;
    };
    void keep(Unsettled unsettled);
    void keep(Unfinished unfinished);
    // The session is dead: they are for visitors, and who waits here for their objects finds that out.
    void give_up();
    bool are_open();  // unsettled or unfinished ones
    std::vector<Unsettled> take_unsettled();
    std::vector<Unfinished> take_unfinished();

private:
    Mutex mutex_;
    uint64_t last_ GUARDED_BY(mutex_) = 0;
    std::vector<std::string> done_ GUARDED_BY(mutex_);
    std::vector<Unsettled> unsettled_ GUARDED_BY(mutex_);
    std::vector<Unfinished> unfinished_ GUARDED_BY(mutex_);
};

// Commits and does all steps.  ESHUTDOWN: this session is dead, nobody will do it; ETIMEDOUT: it happens or not, the
// store does not say; others: nothing happened, except that EIO or ENOSPC of a step after the commit tells that it
// will be there, but is not yet.  Blocks.
Status commit_intent(MetaCore& core, Exclusive held, Intent intent);

// Only the commit: the steps are the caller's, who says done() of `keys` when all are in.  keys: empty, or of an earlier try of
// this very intent.  ETIMEDOUT, EAGAIN: it is there or not.  E2BIG, and others: it is not.
Status write_intent(Session& session, Intents& intents, const Intent& intent, std::vector<std::string>& keys);

// What a dead session left, in order.  An intent that cannot be read is EIO, and nothing of that session is taken over.
Status finish_intents(MetaCore& core, SessionId dead);

// The objects that intents in a session's object make, done or not.
Result<std::set<std::string>> made_by_intents(MetaCore& core, SessionId session);

// Has the session that has `lease` on this object begun an operation that is still to change it?  False as well if
// `lease` is nobody's.
Result<bool> is_half_done(MetaCore& core, const ObjectName& object, const Lease& lease);

// Goes on with what commit_intent() could not end, and removes keys of intents that are over.  Each beat.
void tend_intents(MetaCore& core);

}  // namespace meshfs
