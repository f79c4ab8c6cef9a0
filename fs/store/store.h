// Objects by name: all that MeshFS asks of a store.
//
// An object has bytes, xattrs and a sorted omap.  A Mutation changes one object, all or nothing; nothing is
// atomic across objects; many calls can be in flight.  The contract is Ceph RADOS' behaviour, corner cases
// included; store_conformance_test.cc has a test for each promise.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fs/base/buffer.h"
#include "fs/base/mutex.h"
#include "fs/base/result.h"
#include "fs/base/types.h"

namespace meshfs {

using Pool = uint16_t;  // 0: metadata; 1 ..: data
inline constexpr Pool kMetaPool = 0;

struct ObjectName {
    Pool pool = kMetaPool;
    std::string name;  // 1 .. 200 bytes of '!' .. '~'
    auto operator<=>(const ObjectName&) const = default;
};

inline constexpr size_t kObjectNameMax = 200;
inline constexpr size_t kKeyMax = 2 * 1024;
inline constexpr size_t kValueMax = 128 * 1024;
inline constexpr size_t kObjectXattrMax = 4 * 1024;
inline constexpr size_t kObjectXattrsMax = 16;
inline constexpr size_t kMutationMax = 8u << 20;
inline constexpr size_t kTransferMax = 4u << 20;
inline constexpr uint64_t kObjectMax = 64u << 20;
inline constexpr size_t kRangeEntriesMax = 1024;
inline constexpr size_t kCallsMax = 16384;                  // in flight; past it EAGAIN
inline constexpr uint64_t kBytesInFlightMax = 1u << 30;

enum class SnapId : uint64_t { head = UINT64_MAX };
// The snapshots that exist when something is written: newest first.
struct SnapContext {
    uint64_t sequence = 0;
    std::vector<SnapId> snaps;
};

using Key = std::pair<std::string, std::string>;  // name, value; no value is empty

struct Guard {
    enum class Kind : uint8_t { absent, exists, xattr_is, xattr_is_not, key_is };
    Kind kind;
    std::string name;
    std::optional<std::string> value;  // none: there is no such xattr or key
};

struct Effect {
    enum class Kind : uint8_t {
        create, set_xattr, remove_xattr, set_keys, remove_keys, clear_keys,
        write, write_full, truncate, zero, remove
    };
    Kind kind;
    std::string name;         // set_xattr, remove_xattr
    std::string value;        // set_xattr
    std::vector<Key> keys;    // set_keys; remove_keys: names only
    uint64_t offset = 0;      // write, zero; truncate: the new size
    uint64_t length = 0;      // zero
    Buffer bytes;             // write, write_full

    bool makes_object() const {
        return kind == Kind::create || kind == Kind::set_xattr || kind == Kind::set_keys || kind == Kind::write ||
               kind == Kind::write_full;
    }
};

// Guards and effects on one object: all or none.  Guards are judged first, effects done in order.
//
// `absent` fails with EEXIST, `exists` with ENOENT, the others with ECANCELED (which one, is not told).  On a
// missing object all guards but `absent` are ENOENT; in a mutation that also has the effect `create`, key
// guards see absent keys instead (xattr guards stay ENOENT).  `create`, `set_*` and `write*` make the object;
// `truncate`, `zero` and `remove` imply `exists`; removing absent keys is fine; after `remove` it is fresh.
class Mutation {
public:
    explicit Mutation(ObjectName object, SnapContext snaps = {})
        : object_(std::move(object)), snaps_(std::move(snaps)) {}

    Mutation& absent() { return guard(Guard::Kind::absent, {}, {}); }
    Mutation& exists() { return guard(Guard::Kind::exists, {}, {}); }
    Mutation& xattr_is(std::string name, std::optional<std::string> value) {
        return guard(Guard::Kind::xattr_is, std::move(name), std::move(value));
    }
    Mutation& xattr_is_not(std::string name, std::optional<std::string> value) {
        return guard(Guard::Kind::xattr_is_not, std::move(name), std::move(value));
    }
    Mutation& key_is(std::string name, std::optional<std::string> value) {
        return guard(Guard::Kind::key_is, std::move(name), std::move(value));
    }

    Mutation& create() { return effect({.kind = Effect::Kind::create}); }
    Mutation& set_xattr(std::string name, std::string value) {
        return effect({.kind = Effect::Kind::set_xattr, .name = std::move(name), .value = std::move(value)});
    }
    Mutation& remove_xattr(std::string name) {
        return effect({.kind = Effect::Kind::remove_xattr, .name = std::move(name)});
    }
    Mutation& set_keys(std::vector<Key> keys) {
        return effect({.kind = Effect::Kind::set_keys, .keys = std::move(keys)});
    }
    Mutation& remove_keys(const std::vector<std::string>& names) {
        Effect e{.kind = Effect::Kind::remove_keys};
        for (const auto& name : names) e.keys.emplace_back(name, std::string());
        return effect(std::move(e));
    }
    Mutation& clear_keys() { return effect({.kind = Effect::Kind::clear_keys}); }
    Mutation& write(uint64_t offset, Buffer bytes) {
        return effect({.kind = Effect::Kind::write, .offset = offset, .bytes = std::move(bytes)});
    }
    Mutation& write_full(Buffer bytes) {
        return effect({.kind = Effect::Kind::write_full, .bytes = std::move(bytes)});
    }
    Mutation& truncate(uint64_t size) { return effect({.kind = Effect::Kind::truncate, .offset = size}); }
    Mutation& zero(uint64_t offset, uint64_t length) {
        return effect({.kind = Effect::Kind::zero, .offset = offset, .length = length});
    }
    Mutation& remove() { return effect({.kind = Effect::Kind::remove}); }

    // For wrappers that rebuild one.
    Mutation& add(Guard g) { return guards_.push_back(std::move(g)), *this; }
    Mutation& add(Effect e) { return effect(std::move(e)); }

    const ObjectName& object() const { return object_; }
    const SnapContext& snaps() const { return snaps_; }
    const std::vector<Guard>& guards() const { return guards_; }
    const std::vector<Effect>& effects() const { return effects_; }
    size_t bytes() const;  // of names, values and data: what kMutationMax bounds
    Status check() const;  // EINVAL if it breaks a limit or sets an empty value; stores call it first

private:
    Mutation& guard(Guard::Kind kind, std::string name, std::optional<std::string> value) {
        guards_.push_back({kind, std::move(name), std::move(value)});
        return *this;
    }
    Mutation& effect(Effect e) {
        effects_.push_back(std::move(e));
        return *this;
    }
    ObjectName object_;
    SnapContext snaps_;
    std::vector<Guard> guards_;
    std::vector<Effect> effects_;
};

// What is read of one object: one moment, one round trip.  A failed guard fails all, with the codes of
// Mutation; a missing object is ENOENT.
class Query {
public:
    explicit Query(ObjectName object, SnapId at = SnapId::head) : object_(std::move(object)), at_(at) {}

    Query& exists() { return guard(Guard::Kind::exists, {}, {}); }
    Query& xattr_is(std::string name, std::optional<std::string> value) {
        return guard(Guard::Kind::xattr_is, std::move(name), std::move(value));
    }
    Query& xattr_is_not(std::string name, std::optional<std::string> value) {
        return guard(Guard::Kind::xattr_is_not, std::move(name), std::move(value));
    }
    Query& key_is(std::string name, std::optional<std::string> value) {
        return guard(Guard::Kind::key_is, std::move(name), std::move(value));
    }

    Query& stat() { return want_stat_ = true, *this; }
    Query& xattrs() { return want_xattrs_ = true, *this; }
    Query& keys(std::vector<std::string> names) { return keys_ = std::move(names), *this; }
    // Keys > after that begin with prefix, in byte order, at most entries_max (<= kRangeEntriesMax) and
    // about bytes_max of names and values, but at least one.  May be asked more than once in one Query.
    Query& range(std::string after, std::string prefix, size_t entries_max = kRangeEntriesMax,
                 size_t bytes_max = 4u << 20) {
        ranges_.push_back({std::move(after), std::move(prefix), entries_max, bytes_max});
        return *this;
    }
    Query& bytes(uint64_t offset, uint64_t length) {
        return byte_ranges_.push_back({offset, length}), *this;
    }

    struct Range {
        std::string after, prefix;
        size_t entries_max, bytes_max;
    };
    const ObjectName& object() const { return object_; }
    SnapId at() const { return at_; }
    const std::vector<Guard>& guards() const { return guards_; }
    bool wants_stat() const { return want_stat_; }
    bool wants_xattrs() const { return want_xattrs_; }
    const std::vector<std::string>& wanted_keys() const { return keys_; }
    const std::vector<Range>& ranges() const { return ranges_; }
    const std::vector<ByteRange>& byte_ranges() const { return byte_ranges_; }
    Status check() const;  // EINVAL

private:
    Query& guard(Guard::Kind kind, std::string name, std::optional<std::string> value) {
        guards_.push_back({kind, std::move(name), std::move(value)});
        return *this;
    }
    ObjectName object_;
    SnapId at_;
    std::vector<Guard> guards_;
    bool want_stat_ = false, want_xattrs_ = false;
    std::vector<std::string> keys_;
    std::vector<Range> ranges_;
    std::vector<ByteRange> byte_ranges_;
};

struct RangeAnswer {
    std::vector<Key> entries;
    bool more = false;  // others with the prefix follow
};

struct Answer {
    uint64_t size = 0;  // stat()
    Time mtime;
    std::map<std::string, std::string> xattrs;
    std::map<std::string, std::string> keys;  // the present ones of those asked for
    std::vector<RangeAnswer> ranges;          // as asked
    std::vector<Buffers> bytes;               // as asked; short: the end of the object
};

// Bytes of one object without guards.  A read fills `bytes` from the front and answers how many there were
// (short: the end of the object; missing: ENOENT).  A write makes the object, answers bytes.size().  Two
// overlapping ones in flight, one a write, are the caller's bug.
struct Transfer {
    enum class Direction : uint8_t { read, write };
    Direction direction;
    ObjectName object;
    uint64_t offset = 0;
    Buffer bytes;  // untouched by the caller until completion
    SnapId at = SnapId::head;
    SnapContext snaps;
    Status check() const;  // EINVAL
};

template <class T>
using Then = std::function<void(Result<T>)>;  // called once, never inside the call that took it

struct StoreId {
    std::string uuid;  // of the cluster or the directory
    std::string name;  // as a user wrote it: "rados:ai/train", "/srv/mesh"
};
// An address that can be fenced, as text the store understands; recorded in session objects.
using ClientId = std::string;

struct Capacity {
    uint64_t total = 0, used = 0, available = 0;  // bytes
    uint64_t objects = 0;
};

// Who answered a notify and with what, and who did not in time.
struct Acks {
    std::vector<std::pair<ClientId, Buffer>> answered;
    std::vector<ClientId> silent;
};

// Gets the messages of one object while it lives.  `acknowledge` may be called later, from any thread, once.
using Acknowledge = std::function<void(Buffer reply)>;
struct MailHandler {
    std::function<void(Buffer message, Acknowledge)> message;  // hands over; must not block
    std::function<void(int code)> lost;                        // messages may have been missed
};
class Mailbox {
public:
    virtual ~Mailbox() = default;  // no call of the handler after it returns
};

// Threads: any, for all calls.  `start` never blocks; its callback comes on another thread, once, must only hand
// over, and never before `start` has returned on the calling thread's stack.
// Order: mutations and writes of one Store on one object take effect as started; reads may pass unfinished writes.
// Durable: what completed survives power loss.  Mutations, writes past the end of an object or over all of it
// are atomic; of an overwrite inside, a crash leaves each 4 KiB page old or new.
// Errors besides guards: EINVAL (a limit; nothing sent), EAGAIN (too much in flight; nothing sent), ENOSPC,
// EDQUOT, EACCES, ESHUTDOWN (stopped or fenced: end the session), EIO (bad bytes), ETIMEDOUT (happened, will,
// or not: settled when a later mutation of this Store on that object is answered), EOPNOTSUPP.
class Store {
public:
    virtual ~Store() = default;
    virtual void start(Mutation, Then<void>) = 0;
    virtual void start(Query, Then<Answer>) = 0;
    virtual void start(Transfer, Then<size_t>) = 0;
    // These block, on a CondVar; not from a callback.  A store that can answer on the calling thread (the
    // embedded one: a look-up in RocksDB) overrides them; else they start and wait.
    virtual Status apply(Mutation mutation);
    virtual Result<Answer> ask(Query query);
    virtual Result<size_t> transfer(Transfer transfer);

    // ENOENT: the object must exist.
    virtual Result<std::unique_ptr<Mailbox>> open_mailbox(ObjectName, MailHandler) = 0;
    virtual void notify(ObjectName, Buffer message, int seconds_max, Then<Acks>) = 0;

    virtual Result<SnapId> create_snap() = 0;
    virtual Status remove_snap(SnapId) = 0;

    virtual StoreId id() = 0;
    virtual ClientId client() = 0;
    // Nothing of that client lands once this has returned.  EACCES: the keyring does not allow it.
    virtual Status fence(const ClientId&) = 0;
    // True: only this process can use it (embedded stores).  Leases are then granted at once.
    virtual bool is_exclusive() const = 0;

    // A data pool by its name in the cluster, as the volume object says: known only once that has been read.
    // Pool 1 is there without it, in the metadata's place.  EINVAL: this store has no pools to name.
    virtual Status add_data_pool(Pool, const std::string& name);
    // From now on calls that get no answer for so long end with ETIMEDOUT; 0: they wait for ever.  For stores that can
    // be silent.
    virtual void set_soft_timeout(int /*seconds*/) {}
    virtual Result<Capacity> capacity(Pool) = 0;
    using Visitor = std::function<Status(const std::string& name)>;  // an error ends the listing with it
    virtual Status list(Pool, Visitor) = 0;  // unordered; `check --deep`, `format --force`
    // New calls: ESHUTDOWN; unfinished: ETIMEDOUT; returns when no callback will come any more.
    virtual void stop() = 0;
    // Another connection in place of this one, as a client that nobody has fenced; calls under way end as by
    // stop(). Mailboxes must have gone.  EOPNOTSUPP: there is none to be had; else as for opening the store.
    virtual Status restart();
};

}  // namespace meshfs
