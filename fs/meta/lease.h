// X: the right to change an object alone, for operations over several objects.
//
// Each operation takes X on all its objects, in one order that all mounts share, so that no two wait for each other in a
// circle.  Taking, passing on and letting go each raise the epoch, so whatever was guarded on an earlier lease, however
// late it comes, does nothing.  Who needs an object that another mount holds asks for it back and looks again; if that
// mount is dead, its intents are finished first, then its lease is taken over.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "fs/base/mutex.h"
#include "fs/meta/format.h"
#include "fs/store/store.h"

namespace meshfs {

class MetaCore;
struct RecallTold;

// From the one to the other, and nothing if it is another by then.
Mutation lease_change(const ObjectName& object, const Lease& from, const Lease& to);

// Which objects operations of this mount hold or are about to take: one operation an object.  Threads: any.
class Holders {
public:
    void enter(const std::string& object);  // waits for the operation that is in
    bool try_enter(const std::string& object);
    void leave(const std::string& object);
    // Returns when no operation is in; false: none was.
    bool wait_for(const std::string& object);

private:
    Mutex mutex_;
    CondVar left_;
    std::set<std::string, std::less<>> in_ GUARDED_BY(mutex_);
};

// Objects that other mounts asked for.  A message must not block, so they are looked at at the next beat.
class Recalled {
public:
    void push(const std::string& object);
    std::set<std::string> take();

private:
    static constexpr size_t kObjectsMax = 4096;  // past it they are not noted: who wants one asks again
    Mutex mutex_;
    std::set<std::string> objects_ GUARDED_BY(mutex_);
};

// X on several objects, until it is passed on by an intent or let go.
class Exclusive {
public:
    // An object, and its lease as last read, if it was: then X takes one store call instead of two.
    struct Wish {
        ObjectName object;
        std::optional<Lease> seen;
    };
    // Blocks.  ESTALE: one is dead or gone; what had been taken by then is let go.
    static Result<Exclusive> take(MetaCore& core, std::vector<Wish> wishes);
    Exclusive(Exclusive&& other) noexcept;
    Exclusive& operator=(Exclusive&&) = delete;
    ~Exclusive();  // lets go of what is held

    // The lease held; EINVAL if it is none of the objects taken: a bug that must not write anything.
    Result<Lease> lease(const ObjectName& object) const;
    // Stays held in the store, for whoever finishes the dead session's intents; who waits for it here finds it dead, too.
    void abandon();
    // An intent has given it to others: nothing is left to let go.
    void passed_on(const ObjectName& object);

private:
    explicit Exclusive(MetaCore& core) : core_(&core) {}
    struct Held {
        ObjectName object;
        Lease lease;
    };
    MetaCore* core_;
    std::vector<Held> held_;
};

// One look at an object that another has, or this mount by mistake: returns when it may be looked at again.
// tries: of this caller, for pauses.  EIO: it is held by a mount that is gone, and this one may not write.
Status wait_for_holder(MetaCore& core, const ObjectName& object, const Lease& lease, const std::string& lease_value,
                       int tries);

// Tells the holder that it is wanted; what counts is its lease, later.  Null: it will not be told when to look.
std::shared_ptr<RecallTold> ask_back(MetaCore& core, const ObjectName& object, const Lease& lease);

// Of who only wants to read what another mount holds: that one is asked to write what it has answered, and goes on.  One
// reading, one object.
class Reading {
public:
    // All that had been answered when this reading began is in the store.
    bool may_read(const Lease& now) const;
    // Asks, or waits a moment; where that did not help, returns when nobody has the object.
    Status wait(MetaCore& core, const ObjectName& object, const Lease& now);

private:
    std::shared_ptr<RecallTold> told_;
    SessionId holder_ = kNobody;
    int rounds_ = 0;
};

// An object that this mount has and no operation of it uses: what a lost answer left.  It is let go.
void let_go_of_leftover(MetaCore& core, const ObjectName& object);

}  // namespace meshfs
