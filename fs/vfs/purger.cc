#include "fs/vfs/purger.h"

#include "fs/base/log.h"

namespace meshfs {

namespace {
constexpr size_t kItemsMax = 64;
}

Result<uint64_t> Purger::purge_all(Meta& meta, Data& data, const std::atomic<bool>* stopping,
                                   std::atomic<uint64_t>* waiting) {
    uint64_t gone = 0;
    while (true) {
        auto items = TRY(meta.purgeable(kItemsMax));
        if (waiting != nullptr) *waiting = items.size();
        if (items.empty()) return gone;
        for (const Purgeable& item : items) {
            if (stopping != nullptr && *stopping) return gone;
            TRY(data.remove(item.inode.ino, item.inode.map));
            TRY(meta.purged(item));
            ++gone;
            if (waiting != nullptr && *waiting > 0) --*waiting;
        }
    }
}

void Purger::wake() {
    if (is_running_.exchange(true)) return;
    bool posted = thread_.try_post([this] {
        auto gone = purge_all(meta_, data_, &stopping_, &waiting_);
        if (!gone && gone.code() != ESHUTDOWN)
            log_warning("what is deleted could not be purged; tried again later", {{"error", gone.error().text()}});
        is_running_ = false;
    });
    if (!posted) is_running_ = false;
}

void Purger::stop() {
    stopping_ = true;
    thread_.stop();
}

}  // namespace meshfs
