#include "test/sim/debtor.h"

#include <utility>

#include "fs/base/clock.h"

namespace meshfs::sim {

Debtor::Debtor(Meta& meta, bool never_pays) : meta_(meta), never_pays_(never_pays) {
    meta.on_due([this](GroupId group) { return never_pays_ || pay(group); });
}

Debtor::~Debtor() { meta_.on_due(nullptr); }

bool Debtor::put_off(Operation& op) {
    auto now = meta_.get(op.ino);
    if (now.ok()) {
        // Before it is owed: who pays from then on finds it.
        auto [debt, is_new] = debts_.try_emplace(op.ino, op.mode);
        const uint32_t before = std::exchange(debt->second, op.mode);
        if (meta_.owe(op.ino, now->content_version)) {
            op.code = 0;
            op.seen = seen_of(*now);
            op.seen.mode = op.mode;
            ++owed_;
            return true;
        }
        debt = debts_.find(op.ino);
        if (is_new) debts_.erase(op.ino);
        else if (debt != debts_.end()) debt->second = before;  // still to be paid, as it was answered
    }
    op.code = pay_one(op.ino).code();
    return false;
}

void Debtor::look(Operation& op, Kernel& kernel) {
    for (;;) {
        const uint64_t paid = paid_;
        kernel.answer(op);
        if (paid == paid_) break;
        kernel.forget(op);  // it may be of before
        op.seen = {};
    }
    auto debt = debts_.find(op.seen.ino);
    if (op.code != 0 || debt == debts_.end()) return;
    op.seen.mode = debt->second;
    kernel.forget(op);
}

Status Debtor::pay_all() {
    Status all;
    std::map<Ino, uint32_t> debts = debts_;
    for (const auto& [ino, mode] : debts)
        if (auto status = pay_one(ino); !status.ok()) all = status;
    return all;
}

bool Debtor::pay(GroupId group) {
    std::map<Ino, uint32_t> debts = debts_;
    bool is_all = true;
    for (const auto& [ino, mode] : debts)
        if (place_of(ino).group == group) is_all &= pay_one(ino).ok();
    return is_all;
}

// As long as is waited for it.
Status Debtor::pay_one(Ino ino) {
    MutexLock lock(turn_);
    const int64_t until = Clock::system().boot_ns() + meta_.volume().lease_seconds * kNsPerSecond;
    for (;;) {
        auto debt = debts_.find(ino);
        if (debt == debts_.end()) return {};
        const uint32_t mode = debt->second;
        auto changed = meta_.change(ino, [mode](InodeChange& change) -> Status {
            change.inode.mode = (change.inode.mode & ~07777u) | mode;
            return {};
        });
        if (changed.ok() || changed.code() == ENOENT || changed.code() == ESTALE) {  // it went, with what was owed
            debt = debts_.find(ino);
            if (debt == debts_.end() || debt->second != mode) continue;
            debts_.erase(debt);
            ++paid_;
        } else if (changed.code() == ESHUTDOWN || Clock::system().boot_ns() > until) {
            return changed.error();
        } else {
            Clock::system().sleep_ns(kNsPerMs);
        }
    }
}

}  // namespace meshfs::sim
