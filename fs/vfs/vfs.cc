// The mount as a whole.  Each operation is in the file named after what it does: names.cc, attributes.cc, open.cc,
// read_write.cc, directories.cc, xattrs.cc, locks.cc, paths.cc.
#include "fs/vfs/vfs.h"

#include <algorithm>

#include "fs/vfs/core.h"

namespace meshfs {

Vfs::Vfs(Store& store, Meta& meta, Clock& clock, VfsSettings settings)
    : meta_(meta), core_(std::make_unique<VfsCore>(store, meta, clock, std::move(settings))) {}
Vfs::~Vfs() = default;

Status Vfs::stop() { return core_->stop(); }

void Vfs::set_invalidator(CacheInvalidator invalidator) {
    if (invalidator.attributes_at_once) {
        auto forget = [tell = invalidator.attributes_at_once, root = core_->settings.root](const std::vector<Ino>& inodes) {
            std::vector<Ino> known = inodes;
            std::replace(known.begin(), known.end(), root, kRootIno);
            tell(known);
        };
        meta_.on_broken_promises(std::move(forget));
    } else {
        meta_.on_broken_promises(nullptr);
    }
    core_->keeps_names = invalidator.keeps_names;
    MutexLock lock(core_->mutex);
    core_->invalidator = std::move(invalidator);
}

void Vfs::observe(ChangeObserver observer) { core_->observers.push_back(std::move(observer)); }

Executor* Vfs::executor_for(Ino ino, std::string_view name) {
    if (!name.empty())
        if (const ServedEdge* edge = core_->served.edge(core_->inner(ino), name)) return &edge->served->executor();
    if (!is_served(ino)) return nullptr;
    auto edge = core_->served.edge_of(ino);
    return edge ? &(*edge)->served->executor() : nullptr;
}

Result<struct statvfs> Vfs::statfs() {
    constexpr uint64_t kBlock = 4096;
    constexpr uint64_t kFilesPerBlock = 1;  // an inode takes far less; a number that never runs out first
    Capacity capacity = TRY(core_->store.capacity(kMetaPool));
    if (auto pool = core_->store.capacity(1)) capacity = *pool;
    struct statvfs s {};
    s.f_bsize = s.f_frsize = kBlock;
    s.f_blocks = capacity.total / kBlock;
    s.f_bavail = capacity.available / kBlock;
    // What is neither used nor for us is free to df, as a reserve is.
    s.f_bfree = std::max<uint64_t>(s.f_bavail, (capacity.total - std::min(capacity.used, capacity.total)) / kBlock);
    s.f_ffree = s.f_favail = s.f_bavail * kFilesPerBlock;
    s.f_files = capacity.objects + s.f_ffree;
    s.f_namemax = kNameMax;
    return s;
}

Ino Vfs::root() const { return core_->settings.root; }

Status Vfs::syncfs() { return core_->publisher->publish_all(); }

void Vfs::wait_while_away() { meta_.wait_while_away(); }

// Numbers can be found again at any time, so nothing is kept for the kernel.
void Vfs::forget(Ino ino, uint64_t) {
    if (!is_served(ino)) return;
    auto edge = core_->served.edge_of(ino);
    if (!edge) return;
    (*edge)->served->forget(own_number(ino));
}

Vfs::Usage Vfs::usage() {
    auto data = core_->data->usage();
    return {core_->handles.size(), core_->open_inodes->size(), data.dirty_bytes, data.dirty_bytes_max,
            data.cached_bytes, data.in_flight, core_->purger->waiting()};
}

void Vfs::set_commit(int64_t ns) { core_->set_commit(ns); }
void Vfs::set_dirty_bytes_max(uint64_t bytes) { core_->data->set_dirty_bytes_max(bytes); }

}  // namespace meshfs
