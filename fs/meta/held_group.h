// One group that HeldGroups has, or is about to take or to let go of.  For held_groups*.cc.
#pragma once

#include <algorithm>

#include "fs/meta/held_groups.h"
#include "fs/meta/intent.h"

namespace meshfs {

// What commit and whoever waited for a batch are told, once.
inline Status lost_to_another() { return fail(EIO, "another mount took over what this one had not written"); }

// What became of a batch: it is not in, and never will be.
inline bool is_lost_for_good(int code) { return code == ECANCELED || code == ENOENT || code == EEXIST || code == ESHUTDOWN; }

inline bool is_group(const ObjectName& object) { return object.pool == kMetaPool && object.name.starts_with("g."); }

inline bool has(const Mutation& mutation, Effect::Kind kind) {
    return std::any_of(mutation.effects().begin(), mutation.effects().end(), [&](auto& e) { return e.kind == kind; });
}

inline std::optional<Lease> lease_given(const Mutation& mutation) {
    for (const Effect& effect : mutation.effects())
        if (effect.kind == Effect::Kind::set_xattr && effect.name == kLeaseXattr)
            if (auto lease = decode_lease(effect.value); lease.ok()) return *lease;
    return {};
}

// All but `object` belongs to its mutex.
struct HeldGroups::Held {
    enum class State : uint8_t { changing, held, gone };  // changing: its lease; everybody waits

    ObjectName object;
    Mutex mutex;
    CondVar changed;
    State state = State::changing;
    Lease lease;
    uint64_t first_epoch = 0;   // of this tenure
    bool is_unborn = false;     // not in the store
    bool is_under_way = false;  // a batch of it
    bool was_sent = false;      // its birth, once: unborn still, it may be there
    bool is_lost = false;       // gone, with what was not written
    // Of owe(): there is something to pay; somebody does it; the lease is about to change, so no more is owed.
    bool owes = false, is_paying = false, is_wanted = false;
    int64_t pay_by = 0;         // by boot_ns(), once it is wanted
    unsigned fills = 0, misses = 0;
    bool keeps_no_names = false;  // the kernel: somebody else wants the group, or it is about to be split
    bool is_to_list = false;    // what is asked for next brings its names along
    std::optional<uint8_t> next_flags;  // of the lease, once the next batch is written
    bool is_dying = false;      // its next batch makes it dead, and here it is already
    HeldPtr named_in;           // of what is dying, until it is no longer named in the store
    std::vector<HeldPtr> dying;  // what this one's next batch takes the names of
    size_t to_announce = 0;     // in HeldGroups::to_announce_
    bool is_in_doubt = false;   // a batch was sent, and nobody knows whether the store has it: nor its lease
    Mirror mirror;
    Status error;               // of the last batch
    int64_t used = 0, written_at = 0;
    int64_t taken_at = 0;
    unsigned uses = 0;          // of this tenure
    size_t counted = 0;         // of the mirror's bytes, in HeldGroups::bytes_

    void hold(const Lease& now, int64_t boot_ns) {
        lease = now;
        taken_at = boot_ns;
        uses = 0;
        first_epoch = now.epoch;
        mirror.set_lease(encode(now));
        state = State::held;
    }
    // A lease this object had since it is held.
    bool is_of_tenure(const std::optional<std::string>& value) const {
        if (!value) return false;
        auto other = decode_lease(*value);
        return other.ok() && other->is_kept_by(lease.session) && other->epoch >= first_epoch;
    }
    void use(int64_t boot_ns) {
        used = boot_ns;
        ++uses;
    }
    bool is_written() const { return !is_unborn && !is_under_way && !is_dying && !mirror.is_dirty(); }
    size_t unwritten() const { return is_unborn ? mirror.bytes() : mirror.dirty_bytes(); }
    bool may_forget() const {
        return state == State::held && fills == 0 && is_written();
    }
    // What the mirror has more or less than when it was last counted.
    uint64_t count() {
        uint64_t more = mirror.bytes() - counted;  // modulo 2^64: may be less
        counted = mirror.bytes();
        return more;
    }
};

// The copy of one that an operation has.
struct HeldGroups::Lent {
    Lease lease;  // X of this session
    Mirror mirror;
    bool is_going = false;  // its step is under way: nothing is answered from it any more
};

// What one group writes at once.
struct HeldGroups::Batch {
    HeldPtr held;
    Mirror::Changes changes;
    bool is_birth = false;
    Lease before, next;  // before: not of a birth
    std::vector<HeldPtr> dying;
    size_t to_announce = 0;      // as Held has it
};

// What was said of several batches before they were sent.  They are sent until they are in, as they are.
struct HeldGroups::Announced {
    Intent intent;
    std::vector<std::string> keys;  // of it; none: it was not tried to write it
    bool is_written = false;
    bool may_be_written = false;    // nobody has heard of a try
    std::vector<Batch> left;
};

}  // namespace meshfs
