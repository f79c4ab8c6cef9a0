#include "test/sim/kernel.h"

#include "fs/base/clock.h"

namespace meshfs::sim {

using Kind = Operation::Kind;

Kernel::Kernel(Meta& meta, bool is_deaf) : meta_(meta) {
    meta.on_broken_promises([this, is_deaf](const std::vector<Ino>& inodes) {
        if (is_deaf) return;
        ++epoch_;
        names_.clear();
        for (Ino ino : inodes) attributes_.erase(ino);
    });
}

Kernel::~Kernel() { meta_.on_broken_promises(nullptr); }

void Kernel::answer(Operation& op) {
    if (answer_from_memory(op)) ++kept_;
    else ask(op);
}

std::optional<Operation::Seen> Kernel::attributes_of(Ino ino) {
    auto kept = attributes_.find(ino);
    if (kept == attributes_.end() || kept->second.until <= Clock::system().boot_ns()) return {};
    return kept->second.seen;
}

bool Kernel::answer_from_memory(Operation& op) {
    Ino ino = op.ino;
    if (op.kind == Kind::lookup) {
        auto kept = names_.find({op.directory, op.name});
        if (kept == names_.end() || kept->second.until <= Clock::system().boot_ns()) return false;
        ino = kept->second.to;
        if (ino == Ino{}) {
            op.code = ENOENT;
            return true;
        }
    }
    auto seen = attributes_of(ino);
    if (!seen) return false;
    op.code = 0;
    op.seen = *seen;
    return true;
}

void Kernel::ask(Operation& op) {
    const uint64_t epoch = epoch_, since = meta_.moment();
    auto inode = op.kind == Kind::lookup ? meta_.lookup(op.directory, op.name) : meta_.get(op.ino);
    op.code = inode.code();
    if (inode.ok()) op.seen = seen_of(*inode);
    op.is_name_alone = op.kind == Kind::lookup && inode.ok() && !inode->is_directory() && !inode->from.group;
    bool is_known = inode.ok() || inode.code() == ENOENT;
    int64_t name_ns = op.kind == Kind::lookup && is_known ? meta_.promise_name(op.directory, op.name, since) : 0;
    int64_t inode_ns = inode.ok() ? meta_.promise_inode(*inode, since) : 0;
    if (epoch != epoch_) return;  // it was asked before, and is taken for older
    const int64_t now = Clock::system().boot_ns();
    if (name_ns > 0) names_[{op.directory, op.name}] = {inode.ok() ? inode->ino : Ino{}, now + name_ns};
    if (inode_ns > 0) attributes_[inode->ino] = {op.seen, now + inode_ns};
}

void Kernel::forget(const Operation& op) {
    auto forget_name = [this](Ino directory, const std::string& name) {
        auto kept = names_.find({directory, name});
        if (kept == names_.end()) return;
        attributes_.erase(kept->second.to);
        names_.erase(kept);
    };
    forget_name(op.directory, op.name);
    forget_name(op.to_directory, op.to_name);
    attributes_.erase(op.ino);
    attributes_.erase(op.seen.ino);
    // A rename answers nothing: whatever it moved or replaced may have been found by another name.
    if (op.kind == Kind::rename || op.kind == Kind::link) attributes_.clear();
}

}  // namespace meshfs::sim
