#include "test/sim/kernel.h"

#include "fs/base/clock.h"

namespace meshfs::sim {

using Kind = Operation::Kind;

Kernel::Kernel(Meta& meta, Random& random, bool is_deaf, int64_t late_ns_max)
    : meta_(meta), random_(random), late_ns_max_(late_ns_max) {
    meta.on_broken_promises([this, is_deaf](const std::vector<Ino>& inodes) {
        if (is_deaf) return;
        ++version_;
        for (Ino ino : inodes) attributes_.erase(ino);
    });
}

Kernel::~Kernel() { meta_.on_broken_promises(nullptr); }

void Kernel::answer(Operation& op) {
    const bool is_kept = op.kind == Kind::get ? get_from_memory(op) : look_up_from_memory(op);
    if (is_kept) ++kept_, names_kept_ += op.kind == Kind::lookup;
    else ask(op);
}

bool Kernel::get_from_memory(Operation& op) {
    auto kept = attributes_.find(op.ino);
    if (kept == attributes_.end() || kept->second.until <= Clock::system().boot_ns()) return false;
    op.code = 0;
    op.seen = kept->second.seen;
    return true;
}

// The name leads there; what is there is asked for, or kept as well.
bool Kernel::look_up_from_memory(Operation& op) {
    auto kept = names_.find({op.directory, op.name});
    if (kept == names_.end() || kept->second.until <= Clock::system().boot_ns()) return false;
    auto attributes = attributes_.find(kept->second.ino);
    if (attributes != attributes_.end() && attributes->second.until > Clock::system().boot_ns()) {
        op.seen = attributes->second.seen;
    } else {
        auto inode = meta_.get(kept->second.ino);
        if (!inode.ok()) return false;  // ESTALE, or so: then the name is looked up again
        op.seen = seen_of(*inode);
        op.is_name_alone = true;
    }
    op.code = 0;
    return true;
}

void Kernel::ask(Operation& op) {
    constexpr int64_t kPromptNs = kNsPerSecond / 2;  // as fs/fuse has it
    const int64_t asked_at = Clock::system().boot_ns();
    const uint64_t version = version_, since = meta_.moment();
    auto inode = op.kind == Kind::lookup ? meta_.lookup(op.directory, op.name) : meta_.get(op.ino);
    op.code = inode.code();
    if (!inode.ok()) return;
    op.seen = seen_of(*inode);
    op.is_name_alone = op.kind == Kind::lookup && !inode->is_directory() && !inode->from.group;
    int64_t valid_ns = meta_.promise(*inode, since), name_valid_ns = meta_.keep_name(*inode, since);
    const int64_t now = Clock::system().boot_ns();
    if (now - asked_at > kPromptNs) return;
    // Of a file with two names it depends on both what a rename does.
    if (op.kind == Kind::lookup && name_valid_ns > 0 && (op.seen.is_directory || op.seen.links == 1)) {
        const int64_t late_ns = static_cast<int64_t>(random_.below(static_cast<uint64_t>(late_ns_max_) + 1));
        names_[{op.directory, op.name}] = {inode->ino, now + late_ns + name_valid_ns};
    }
    if (version != version_) return;  // it was asked before, and is taken for older
    if (valid_ns > 0) attributes_[inode->ino] = {op.seen, Clock::system().boot_ns() + valid_ns};
}

void Kernel::forget(const Operation& op) {
    attributes_.erase(op.ino);
    attributes_.erase(op.seen.ino);
    if (op.is_look()) return;
    if (op.kind == Kind::link) std::erase_if(names_, [&op](const auto& name) { return name.second.ino == op.ino; });
    auto from = names_.extract({op.directory, op.name});
    if (op.kind == Kind::rename) {
        auto to = names_.extract({op.to_directory, op.to_name});
        // What a name leads to moves with it, and for how long it is kept.
        auto move = [this](auto& node, Ino directory, const std::string& name) {
            if (!node.empty()) names_[{directory, name}] = node.mapped();
        };
        if (op.code == 0) {
            move(from, op.to_directory, op.to_name);
            if (op.exchange) move(to, op.directory, op.name);
        }
    }
    // What a rename moved or replaced it does not say.
    if (op.kind == Kind::rename || op.kind == Kind::link) attributes_.clear();
}

}  // namespace meshfs::sim
