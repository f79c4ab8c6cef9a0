// drop_dead_directory: a name that leads to a dead header goes.  No operation leaves one; it is a repair.
#include "fs/meta/ops/names.h"
#include "fs/meta/ops/ops.h"

namespace meshfs::ops {

Status drop_dead_directory(MetaCore& core, Ino directory, std::string_view name, Ino dead) {
    const std::string key = name_key(name);
    Wanted wanted{.keys = {key}};
    Status status;
    do {
        status = change_group(core, {.directory = directory, .name = std::string(name)}, wanted,
                              [&](GroupChange& change) -> Status {
            auto dentry = TRY(change.view().record(decode_dentry, key));
            if (!dentry || dentry->ino != dead) return {};
            NameEffects effects;
            drop_directory(effects, name, *dentry, TRY(read_anchor(change.view(), *dentry, wanted)), core.now());
            effects.add_to(change);
            return {};
        });
    } while (status.code() == ERESTART);
    return status;
}

}  // namespace meshfs::ops
