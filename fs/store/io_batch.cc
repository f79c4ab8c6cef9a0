#include "fs/store/io_batch.h"

#include <algorithm>

#include "fs/base/waiting.h"

namespace meshfs {

IoBatch::~IoBatch() { (void)wait(); }

void IoBatch::begin() {
    before_waiting();
    MutexLock lock(mutex_);
    while (in_flight_ >= max_) changed_.wait(mutex_);
    ++in_flight_;
}

void IoBatch::end(const Status& status) {
    MutexLock lock(mutex_);
    if (!status && first_error_.ok()) first_error_ = status;
    --in_flight_;
    changed_.notify_all();
}

void IoBatch::add(Mutation mutation, std::vector<int> ok_codes) {
    begin();
    store_.start(std::move(mutation), [this, ok_codes = std::move(ok_codes)](Status status) {
        bool is_fine = std::find(ok_codes.begin(), ok_codes.end(), status.code()) != ok_codes.end();
        end(is_fine ? Status() : status);
    });
}

void IoBatch::add(Mutation mutation, Then<void> each) {
    begin();
    store_.start(std::move(mutation), [this, each = std::move(each)](Status status) {
        each(std::move(status));
        end({});
    });
}

void IoBatch::add(Transfer transfer, Then<size_t> each) {
    begin();
    store_.start(std::move(transfer), [this, each = std::move(each)](Result<size_t> result) {
        Status status = result.ok() ? Status() : Status(result.error());
        if (each) {
            each(std::move(result));
            status = {};  // the caller judges
        }
        end(status);
    });
}

Status IoBatch::wait() {
    MutexLock lock(mutex_);
    while (in_flight_ > 0) changed_.wait(mutex_);
    return first_error_;
}

}  // namespace meshfs
