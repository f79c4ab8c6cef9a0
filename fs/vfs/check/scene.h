// What the passes of a check share: the store, what is suspected, and how it is mended.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fs/data/pack_scan.h"
#include "fs/meta/core.h"
#include "fs/meta/group.h"
#include "fs/vfs/check/check.h"

namespace meshfs::check {

// Something that looks wrong, and what would put it right.  Whether it is wrong shows when it is looked at again.
struct Suspect {
    Finding finding;
    std::function<Status()> mend;  // none: a person has to decide
    bool is_same(const Suspect& other) const {
        return finding.object == other.finding.object && finding.key == other.finding.key &&
               finding.what == other.finding.what;
    }
};
using Suspects = std::vector<Suspect>;

// Objects of a blob that an inode, or a record of freed extents, names.
struct BlobUse {
    BlobId blob{};
    Ino ino{};
    uint64_t last_object = 0;
    bool is_freed = false;
    bool is_pack = false;  // of which several files have a part
};

// Any thread.
class Scene {
public:
    Scene(MetaCore& core_in, bool deep) : core(core_in), store(core_in.store), is_deep(deep) {}

    MetaCore& core;
    Store& store;
    const bool is_deep;
    std::atomic<uint64_t> objects{0};  // of data, looked at

    // Does a pack have this member?  A sentence if not.  Reads the pack's records; those of the last few are kept.
    Result<std::string> wrong_in_pack(Pool pool, const Extent& extent);

    // Were they ever given out?  Reads the volume's counters when the number is new to it.
    Result<bool> is_given(GroupId group);
    Result<bool> is_given(SessionId session);

private:
    Status read_numbers();
    static constexpr size_t kPacksMax = 64;
    Mutex mutex_;
    NumbersRecord numbers_ GUARDED_BY(mutex_);
    std::map<BlobId, PackScan> packs_ GUARDED_BY(mutex_);
};

// A key of an object as it must still be for a repair; no value: absent.
struct AsRead {
    std::string key;
    std::optional<std::string> value;
};

// One mutation of a group or h.<ino> that nobody has.  Guarded on its lease, on `as_read`, and on `others` as they
// are by now.  ECANCELED: it changed meanwhile; EBUSY: it is held.
Status mend_keys(Scene& scene, const ObjectName& object, const std::vector<AsRead>& as_read,
                 const std::vector<std::string>& others, std::vector<Key> set,
                 const std::vector<std::string>& removed = {});
// The record goes, its bytes stay under '?' and its key.
Status take_away(Scene& scene, const ObjectName& object, const std::string& key, const std::string& value);
inline constexpr char kTakenAway = '?';
// An xattr of an object; `before`: as read.
Status mend_xattr(Scene& scene, const ObjectName& object, const char* name, std::optional<std::string> before,
                  std::string after);
// An epoch that no lease of this object can have reached: each change raises it by one, and this is the time in ms.
uint64_t new_epoch(Scene& scene);

}  // namespace meshfs::check
