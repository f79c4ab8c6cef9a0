// SOURCE, as users write it, and the store behind it.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "fs/store/store.h"

namespace meshfs {

// "/path", "local:/path", "rados:POOL[/VOLUME]", "memory:"
struct Source {
    enum class Kind : uint8_t { local, rados, memory };
    Kind kind = Kind::local;
    std::string path;              // local: absolute or as given
    std::string pool, volume;      // rados; VOLUME is the RADOS namespace, "meshfs" unless given
    std::string text;              // as written
};

// EINVAL, with a sentence that lists the known forms.
Result<Source> parse_source(const std::string& text);

struct StoreOptions {
    std::string conf;                  // conf=     rados; /etc/ceph/ceph.conf
    std::string id;                    // id=       rados; "admin"
    std::string keyring;               // keyring=  rados; from conf
    int mount_timeout_seconds = 30;    // rados: to reach the monitors
    int soft_timeout_seconds = 0;      // 0: hard, wait for ever; else calls end with ETIMEDOUT
    std::map<Pool, std::string> data_pools;  // rados: names; known after the volume object was read
    bool make_directory = false;       // local: `format` makes DIR; else a DIR without FORMAT is ENOENT
    bool read_only = false;
};

// Opens it; no volume need be there yet.  Errors carry a sentence for the user, with the remedy.
Result<std::unique_ptr<Store>> open_store(const Source& source, const StoreOptions& options);

}  // namespace meshfs
