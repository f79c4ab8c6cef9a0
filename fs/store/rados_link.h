// One connection to a cluster: the pools of a volume, and what must end before librados does.
//
// For the rados_*.cc files only: includes librados.
#pragma once

#include <map>
#include <memory>
#include <rados/librados.hpp>
#include <string>

#include "fs/base/executor.h"
#include "fs/base/mutex.h"
#include "fs/store/rados_calls.h"
#include "fs/store/source.h"

namespace meshfs {

// A pool as a volume uses it.  Constant once made: an IoCtx must not be changed while it is used.
struct RadosPool {
    librados::IoCtx io;  // namespace set
    std::string name;
    std::string prefix;  // of names of objects: "1 " for data in the metadata's pool
    std::string as_stored(const ObjectName& object) const { return prefix + object.name; }
    std::string as_told(const ObjectName& object) const { return object.name + " of pool " + name; }
};

// Any thread.  Owners: the store and its mailboxes.
class RadosLink {
public:
    RadosLink(Source source, StoreOptions options);
    ~RadosLink();

    // Errors as open_rados_store().
    Status connect();
    // EINVAL: `pool` is 0 or in use; ENOENT, EACCES: sentence.
    Status add_data_pool(Pool pool, const std::string& name);
    // EINVAL: no such pool.  Pool 1 is there always.
    Result<std::shared_ptr<const RadosPool>> pool(Pool number);
    std::vector<std::shared_ptr<const RadosPool>> distinct_pools();  // of the cluster, the metadata's first
    // Reads what a snapshot saw; the context of the pool itself is never changed.
    Result<librados::IoCtx> context_at(Pool number, SnapId at);

    librados::Rados& rados() { return rados_; }
    RadosCalls& calls() { return calls_; }
    Gate& gate() { return gate_; }  // entered around calls to librados that do not go through calls()
    const Source& source() const { return source_; }
    const StoreOptions& options() const { return options_; }
    const std::string& fsid() const { return fsid_; }
    const std::string& address() const { return address_; }

    // After calls().stop(): ends librados.  Any number of times.
    void shut_down();

private:
    static constexpr size_t kSnapContextsMax = 64;

    Result<librados::IoCtx> open_pool(const std::string& name);
    Status probe(const RadosPool& pool);
    Status read_configuration();
    Error connect_error(int code);
    Error denied(const std::string& pool);
    std::string client_name() const;
    std::string conf_name() const;

    const Source source_;
    const StoreOptions options_;
    std::string fsid_, address_;
    librados::Rados rados_;
    RadosCalls calls_;
    Gate gate_;
    bool is_connected_ = false;
    Mutex mutex_;
    std::map<Pool, std::shared_ptr<const RadosPool>> pools_ GUARDED_BY(mutex_);
    // Least recently used last.
    std::list<std::pair<std::pair<Pool, SnapId>, librados::IoCtx>> snap_contexts_ GUARDED_BY(mutex_);
};

}  // namespace meshfs
