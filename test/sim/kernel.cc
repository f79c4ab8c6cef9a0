#include "test/sim/kernel.h"

#include "fs/base/clock.h"

namespace meshfs::sim {

using Kind = Operation::Kind;

Kernel::Kernel(Meta& meta, bool is_deaf) : meta_(meta) {
    meta.on_broken_promises([this, is_deaf](const std::vector<Ino>& inodes) {
        if (is_deaf) return;
        ++version_;
        for (Ino ino : inodes) attributes_.erase(ino);
    });
}

Kernel::~Kernel() { meta_.on_broken_promises(nullptr); }

void Kernel::answer(Operation& op) {
    if (op.kind == Kind::get && answer_from_memory(op)) ++kept_;
    else ask(op);
}

bool Kernel::answer_from_memory(Operation& op) {
    auto kept = attributes_.find(op.ino);
    if (kept == attributes_.end() || kept->second.until <= Clock::system().boot_ns()) return false;
    op.code = 0;
    op.seen = kept->second.seen;
    return true;
}

void Kernel::ask(Operation& op) {
    const uint64_t version = version_, since = meta_.moment();
    auto inode = op.kind == Kind::lookup ? meta_.lookup(op.directory, op.name) : meta_.get(op.ino);
    op.code = inode.code();
    if (!inode.ok()) return;
    op.seen = seen_of(*inode);
    op.is_name_alone = op.kind == Kind::lookup && !inode->is_directory() && !inode->from.group;
    int64_t valid_ns = meta_.promise(*inode, since);
    if (version != version_) return;  // it was asked before, and is taken for older
    if (valid_ns > 0) attributes_[inode->ino] = {op.seen, Clock::system().boot_ns() + valid_ns};
}

void Kernel::forget(const Operation& op) {
    attributes_.erase(op.ino);
    attributes_.erase(op.seen.ino);
    // What a rename moved or replaced it does not say.
    if (op.kind == Kind::rename || op.kind == Kind::link) attributes_.clear();
}

}  // namespace meshfs::sim
