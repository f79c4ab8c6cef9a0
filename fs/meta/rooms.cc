#include "fs/meta/rooms.h"

#include "fs/base/wire.h"

namespace meshfs {

ObjectName Rooms::recall_name(Ino ino) { return {kMetaPool, "w." + hex(raw(ino))}; }

void Rooms::on_wanted(std::function<void(Ino)> wanted) {
    MutexLock lock(mutex_);
    wanted_ = std::move(wanted);
}

bool Rooms::tell(const std::string& recalled) {
    if (!recalled.starts_with("w.")) return false;
    auto ino = parse_hex(std::string_view(recalled).substr(2));
    MutexLock lock(mutex_);
    if (ino && wanted_) wanted_(Ino{*ino});
    return true;
}

}  // namespace meshfs
