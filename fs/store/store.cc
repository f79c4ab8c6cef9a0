// What all stores share: the limits, and the calls that block.
#include "fs/store/store.h"

#include <algorithm>

#include "fs/base/waiting.h"

namespace meshfs {
namespace {

Status check_name(const ObjectName& object) {
    auto is_good = [](char c) { return c >= '!' && c <= '~'; };
    if (object.name.empty() || object.name.size() > kObjectNameMax ||
        !std::all_of(object.name.begin(), object.name.end(), is_good))
        return fail(EINVAL, "object name must have 1 to 200 bytes of '!' to '~'");
    return {};
}

Status check_key(const std::string& name) {
    if (name.empty() || name.size() > kKeyMax) return fail(EINVAL, "key must have 1 to 2,048 bytes");
    return {};
}

Status check_guard(const Guard& guard) {
    if (guard.kind == Guard::Kind::absent || guard.kind == Guard::Kind::exists) return {};
    TRY(check_key(guard.name));
    // On Ceph an absent value equals an empty one: without this "absent" would not be exact.
    if (guard.value && guard.value->empty()) return fail(EINVAL, "an empty value cannot be stored");
    return {};
}

Status check_effect(const Effect& effect) {
    switch (effect.kind) {
        case Effect::Kind::set_xattr:
            TRY(check_key(effect.name));
            if (effect.value.empty() || effect.value.size() > kObjectXattrMax)
                return fail(EINVAL, "object xattr must have 1 to 4,096 bytes");
            return {};
        case Effect::Kind::remove_xattr: return check_key(effect.name);
        case Effect::Kind::set_keys:
            for (const auto& [name, value] : effect.keys) {
                TRY(check_key(name));
                if (value.empty() || value.size() > kValueMax)
                    return fail(EINVAL, "value must have 1 to 131,072 bytes");
            }
            return {};
        case Effect::Kind::remove_keys:
            for (const auto& [name, value] : effect.keys) TRY(check_key(name));
            return {};
        case Effect::Kind::write:
        case Effect::Kind::zero:
        case Effect::Kind::truncate:
        case Effect::Kind::write_full: {
            uint64_t length = effect.kind == Effect::Kind::zero ? effect.length : effect.bytes.size();
            if (effect.offset > kObjectMax || length > kObjectMax - effect.offset)
                return fail(EINVAL, "object would pass 64 MiB");
            return {};
        }
        case Effect::Kind::create:
        case Effect::Kind::clear_keys:
        case Effect::Kind::remove: return {};
    }
    return fail(EINVAL);
}

// Waits for one call.  The callback may come after the waiter has gone only if it is called twice, which
// the contract forbids, so the state can live on the stack.
template <class T>
class OneCall {
public:
    Then<T> then() {
        return [this](Result<T> result) {
            MutexLock lock(mutex_);
            result_ = std::move(result);
            done_.notify_all();
        };
    }
    Result<T> wait() {
        MutexLock lock(mutex_);
        while (!result_) done_.wait(mutex_);
        return std::move(*result_);
    }

private:
    Mutex mutex_;
    CondVar done_;
    std::optional<Result<T>> result_ GUARDED_BY(mutex_);
};

}  // namespace

size_t Mutation::bytes() const {
    size_t sum = 0;
    for (const Effect& e : effects_) {
        sum += e.name.size() + e.value.size() + e.bytes.size();
        for (const auto& [name, value] : e.keys) sum += name.size() + value.size();
    }
    return sum;
}

Status Mutation::check() const {
    TRY(check_name(object_));
    for (const Guard& g : guards_) TRY(check_guard(g));
    for (const Effect& e : effects_) TRY(check_effect(e));
    if (bytes() > kMutationMax) return fail(EINVAL, "mutation is over 8 MiB");
    return {};
}

Status Query::check() const {
    TRY(check_name(object_));
    for (const Guard& g : guards_) TRY(check_guard(g));
    for (const auto& name : keys_) TRY(check_key(name));
    for (const Range& r : ranges_)
        if (r.entries_max == 0 || r.entries_max > kRangeEntriesMax)
            return fail(EINVAL, "a range has 1 to 1,024 entries");
    for (const ByteRange& b : byte_ranges_)
        if (b.offset > kObjectMax || b.length > kObjectMax) return fail(EINVAL, "beyond 64 MiB");
    return {};
}

Status Transfer::check() const {
    TRY(check_name(object));
    if (bytes.empty() || bytes.size() > kTransferMax) return fail(EINVAL, "transfer must have 1 byte to 4 MiB");
    if (offset > kObjectMax || bytes.size() > kObjectMax - offset) return fail(EINVAL, "object would pass 64 MiB");
    return {};
}

// Said before the call starts: a client library's own throttles, or a disk, may keep it.
Status Store::apply(Mutation mutation) {
    before_waiting();
    OneCall<void> call;
    start(std::move(mutation), call.then());
    return call.wait();
}

Result<Answer> Store::ask(Query query) {
    before_waiting();
    OneCall<Answer> call;
    start(std::move(query), call.then());
    return call.wait();
}

Result<size_t> Store::transfer(Transfer transfer) {
    before_waiting();
    OneCall<size_t> call;
    start(std::move(transfer), call.then());
    return call.wait();
}

Status Store::restart() { return fail(EOPNOTSUPP); }

Status Store::add_data_pool(Pool, const std::string& name) {
    return fail(EINVAL, "data pool \"" + name + "\": only a rados: source has pools to name");
}

}  // namespace meshfs
