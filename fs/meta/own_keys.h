// Keys of s.<session> that say what of this mount may lie in the store without a way to it: written before it
// does, so that it is found without a listing once the mount is no more.
//
// They go when it has its place in the tree, or is not there.  In a mount that holds groups that is so only
// once what was answered by then is written: a key that went before would, if the mount died in between,
// leave what nobody finds.  A key that may go rides away on a later write: it costs no call.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "fs/base/mutex.h"
#include "fs/base/result.h"
#include "fs/meta/held_groups.h"

namespace meshfs {

// Threads: any.
class OwnKeys {
public:
    explicit OwnKeys(const HeldGroups& held) : held_(held) {}
    // They are in the store on return; one write at a time, in the order of the calls.  Errors:
    // Session::apply()'s; they may be there or not.  Blocks.
    Status put(Session& session, std::vector<Key> keys);
    // It may go, unless it is put again; not while it is being put.  Never blocks.
    void drop(std::string key);
    // At the session's end, after all is written: what has not gone by then.
    std::vector<std::string> take_dropped();

private:
    std::vector<std::string> take_due(size_t max) REQUIRES(mutex_);

    const HeldGroups& held_;
    Mutex mutex_;
    CondVar written_;
    bool is_writing_ GUARDED_BY(mutex_) = false;
    std::map<std::string, uint64_t> dropped_
        GUARDED_BY(mutex_);  // with the moment, by HeldGroups::answered()
};

}  // namespace meshfs
