#include "fs/vfs/open_inodes.h"

namespace meshfs {

namespace {

Status check_is_file(const Inode& inode) {
    if (inode.is_file()) return {};
    if (inode.is_directory()) return fail(EISDIR);
    if (inode.is_symlink()) return fail(ELOOP);
    return fail(ENXIO);  // a device, a fifo, a socket: the kernel opens those itself
}

}  // namespace

std::shared_ptr<OpenInode> OpenInodes::make(const Inode& inode) {
    auto file = std::make_shared<OpenInode>(inode.ino);
    file->data = data_of_(inode);
    file->version = inode.content_version;
    return file;
}

Result<OpenInodes::Opened> OpenInodes::use(Ino ino) {
    {
        MutexLock lock(mutex_);
        while (true) {
            auto at = slots_.find(raw(ino));
            if (at == slots_.end()) break;
            if (at->second.state == Slot::State::open) {
                ++at->second.uses;
                return Opened{at->second.file, {}};
            }
            changed_.wait(mutex_);
        }
        slots_[raw(ino)] = {};
    }
    Result<Inode> inode = meta_.opened(ino);
    Status is_file = inode ? check_is_file(*inode) : Status(inode.error());
    std::shared_ptr<OpenInode> file;
    if (is_file) file = make(*inode);
    if (inode && !is_file) meta_.released(ino);

    MutexLock lock(mutex_);
    changed_.notify_all();
    if (!is_file) {
        slots_.erase(raw(ino));
        return is_file.error();
    }
    Slot& slot = slots_[raw(ino)];
    slot.state = Slot::State::open;
    slot.file = file;
    return Opened{std::move(file), std::move(*inode)};
}

std::shared_ptr<OpenInode> OpenInodes::adopt(const Inode& inode) {
    auto file = make(inode);
    MutexLock lock(mutex_);
    slots_[raw(inode.ino)] = {Slot::State::open, 1, file};
    return file;
}

void OpenInodes::use_again(OpenInode& file) {
    MutexLock lock(mutex_);
    ++slots_.at(raw(file.ino)).uses;
}

void OpenInodes::done(const std::shared_ptr<OpenInode>& file) {
    {
        MutexLock lock(mutex_);
        Slot& slot = slots_.at(raw(file->ino));
        if (--slot.uses > 0) return;
        slot.state = Slot::State::closing;
    }
    file->data->closed();
    meta_.released(file->ino);
    MutexLock lock(mutex_);
    slots_.erase(raw(file->ino));
    changed_.notify_all();
}

bool OpenInodes::is_last_use(const OpenInode& file) {
    MutexLock lock(mutex_);
    auto at = slots_.find(raw(file.ino));
    return at != slots_.end() && at->second.uses == 1;
}

std::shared_ptr<OpenInode> OpenInodes::find(Ino ino) {
    MutexLock lock(mutex_);
    auto at = slots_.find(raw(ino));
    if (at == slots_.end() || at->second.state != Slot::State::open) return nullptr;
    return at->second.file;
}

std::vector<std::shared_ptr<OpenInode>> OpenInodes::all() {
    MutexLock lock(mutex_);
    std::vector<std::shared_ptr<OpenInode>> files;
    for (auto& [ino, slot] : slots_)
        if (slot.state == Slot::State::open) files.push_back(slot.file);
    return files;
}

size_t OpenInodes::size() {
    MutexLock lock(mutex_);
    return slots_.size();
}

void OpenInodes::remember(Ino ino, std::optional<uint64_t> version) {
    MutexLock lock(mutex_);
    if (remembered_.size() >= kRememberedMax) remembered_.clear();  // the price: pages read once more
    if (version) remembered_[raw(ino)] = *version;
    else remembered_.erase(raw(ino));
}

std::optional<uint64_t> OpenInodes::remembered(Ino ino) {
    MutexLock lock(mutex_);
    auto at = remembered_.find(raw(ino));
    if (at == remembered_.end()) return std::nullopt;
    return at->second;
}

}  // namespace meshfs
