#include "fs/data/data.h"

#include <algorithm>

#include "fs/base/wire.h"
#include "fs/data/file_data.h"
#include "fs/store/io_batch.h"

namespace meshfs {

void Budget::count(uint64_t bytes) {
    MutexLock lock(mutex_);
    dirty_ += bytes;
}

Status Budget::check_room() const {
    int code = refused_;
    if (code == 0 || dirty() <= max_ / 2) return {};
    return fail(code == ETIMEDOUT ? EIO : code);
}

Answers Budget::note_refused(const Error& error) {
    Answers answers;
    int code = error.code();
    if (code != ENOSPC && code != EDQUOT && code != ETIMEDOUT) return answers;
    MutexLock lock(mutex_);
    refused_ = code;
    for (auto& writer : waiting_) answers.add(std::move(writer.then));
    waiting_.clear();
    return answers;
}

void Budget::answer(uint64_t bytes, std::function<void()> then) {
    {
        MutexLock lock(mutex_);
        if (refused_ == 0 && (dirty_ > max_ / 2 || !waiting_.empty())) {
            waiting_.push_back({bytes, std::move(then)});
            return;
        }
    }
    then();
}

Answers Budget::release(uint64_t bytes) {
    Answers answers;
    MutexLock lock(mutex_);
    dirty_ -= std::min(dirty_, bytes);
    // As much is answered as was stored, so that writers run at the store's rate; all, once there is room.
    uint64_t given = 0;
    while (!waiting_.empty() && (dirty_ <= max_ / 2 || given + waiting_.front().bytes <= bytes)) {
        given += waiting_.front().bytes;
        answers.add(std::move(waiting_.front().then));
        waiting_.pop_front();
    }
    return answers;
}

void Budget::set_max(uint64_t dirty_bytes_max) {
    max_ = dirty_bytes_max;
    Answers those_with_room_now = release(0);
}

bool Budget::needs_flush() const {
    uint64_t dirty = this->dirty(), moving = moving_;
    return dirty > max_ / 2 && dirty - std::min(dirty, moving) > max_ / 4;
}

uint64_t Budget::dirty() const {
    MutexLock lock(mutex_);
    return dirty_;
}

void Slots::take(uint64_t bytes) {
    MutexLock lock(mutex_);
    while (count_ > 0 && (count_ >= kCountMax || bytes_ + bytes > kBytesMax)) freed_.wait(mutex_);
    bytes_ += bytes;
    ++count_;
}

void Slots::give(uint64_t bytes) {
    MutexLock lock(mutex_);
    bytes_ -= bytes;
    --count_;
    freed_.notify_all();
}

uint64_t Slots::in_flight() const {
    MutexLock lock(mutex_);
    return bytes_;
}

Status Data::Core::visit_objects(const Layout& layout, BlobId blob, uint64_t first, uint64_t end,
                                 const std::function<void(uint64_t)>& visit) {
    if (end <= first) return {};
    if (end - first <= kVisitMax) {
        for (uint64_t index = first; index < end; ++index) visit(index);
        return {};
    }
    std::string prefix = "b." + hex(raw(blob)) + ".";
    std::vector<uint64_t> found;
    TRY(store.list(layout.pool, [&](const std::string& name) -> Status {
        if (!name.starts_with(prefix)) return {};
        auto index = parse_hex(name.substr(prefix.size()));
        if (index && *index >= first && *index < end) found.push_back(*index);
        return {};
    }));
    for (uint64_t index : found) visit(index);
    return {};
}

Data::Data(Store& store, Clock& clock, DataSettings settings, DataHooks hooks)
    : core_(std::make_shared<Core>(store, clock, settings, std::move(hooks))) {}
Data::~Data() = default;
void Data::stop() { core_->packer.stop(); }

std::unique_ptr<FileData> Data::open(Ino ino, const FileMap& map) {
    return std::make_unique<FileDataNow>(core_, ino, map);
}

Data::Usage Data::usage() const {
    return {core_->budget.dirty(), core_->budget.max(), core_->packs_read.cached_bytes(), core_->slots.in_flight()};
}
void Data::set_dirty_bytes_max(uint64_t bytes) { core_->budget.set_max(bytes); }

Result<std::vector<uint64_t>> Data::find(const Layout& layout, BlobId blob, uint64_t first, uint64_t last) {
    TRY(check_layout(layout));
    std::vector<uint64_t> asked, found;
    uint64_t end = std::min(last, UINT64_MAX - 1) + 1;
    TRY(core_->visit_objects(layout, blob, first, end, [&](uint64_t index) { asked.push_back(index); }));
    for (uint64_t index : asked) {
        auto answer = core_->store.ask(Query(blob_object(layout, blob, index)).exists());
        if (answer.ok()) found.push_back(index);
        else if (answer.code() != ENOENT) return answer.error();
    }
    std::sort(found.begin(), found.end());
    return found;
}

void Data::pack(const std::vector<Packing>& files) {
    std::vector<ToPack> taken;
    std::vector<FileData*> of;
    for (const Packing& packing : files) {
        auto bytes = packing.file->begin_pack();
        if (!bytes) continue;
        taken.push_back({packing.ino, packing.version, std::move(*bytes)});
        of.push_back(packing.file);
    }
    if (taken.empty()) return;
    auto stored = core_->packer.store(taken);
    for (size_t i = 0; i < of.size(); ++i)
        of[i]->end_pack(stored ? Result<Extent>((*stored)[i]) : Result<Extent>(stored.error()));
}

Result<std::vector<Extent>> Data::store_packed(const std::vector<ToPack>& files) { return core_->packer.store(files); }
void Data::begin_anew() { core_->packer.begin_anew(); }
void Data::close_old_packs() { core_->packer.close_old(); }
void Data::packed(BlobId pack, bool is_lost) { core_->packer.left(pack, is_lost); }

// The object that a tail begins inside belongs to what it was cut from and goes with that.  Doing it twice does no harm.
Status Data::remove(Ino ino, const FileMap& map) {
    TRY(check_layout(map.layout));
    if (!are_valid(map.extents))
        return fail(EIO, "the freed extents of inode " + std::to_string(raw(ino)) + " are damaged");
    IoBatch batch(core_->store, core_->settings.transfers_max);
    for (const Extent& extent : map.extents) {
        if (extent.kind == Extent::Kind::packed) continue;  // beside others: a pack goes when all of it is dead
        bool is_tail = (extent.flags & Extent::tail) != 0;
        uint64_t first = (extent.offset + (is_tail ? map.layout.object_bytes - 1 : 0)) / map.layout.object_bytes;
        uint64_t end = (extent.end() + map.layout.object_bytes - 1) / map.layout.object_bytes;
        TRY(core_->visit_objects(map.layout, extent.blob, first, end, [&](uint64_t index) {
            Mutation mutation(blob_object(map.layout, extent.blob, index));
            mutation.remove();
            batch.add(std::move(mutation), {ENOENT});
        }));
    }
    return batch.wait();
}

}  // namespace meshfs
