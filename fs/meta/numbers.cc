#include "fs/meta/numbers.h"

#include <algorithm>

namespace meshfs {
namespace {

struct Taken {
    SessionId session = kNobody;
    uint64_t first = 0, end = 0;
};

// Takes `groups` group numbers, and a session number if wanted.  The counters are the guard: whoever's answer was
// lost takes others, and the lost ones are never used.
Result<Taken> take_numbers(Store& store, Clock& clock, uint64_t groups, bool with_session) {
    for (int tries = 0;; ++tries) {
        if (tries > 0) clock.sleep_ns(kNsPerMs << std::min(tries, 6));
        Answer answer = TRY(store.ask(std::move(Query(volume_object()).xattrs())));
        const std::string& value = answer.xattrs[kNumbersXattr];
        NumbersRecord numbers = TRY(decode_at(decode_numbers, volume_object(), kNumbersXattr, value));
        if (groups > kGroupIdMax + 1 - numbers.next_group || (with_session && numbers.next_session == UINT32_MAX - 1))
            return fail(ENOSPC, "the volume has given out all its numbers");
        Taken taken{.first = numbers.next_group, .end = numbers.next_group + groups};
        numbers.next_group = taken.end;
        if (with_session) taken.session = SessionId{numbers.next_session++};
        auto status = store.apply(std::move(Mutation(volume_object())
                                                .xattr_is(kNumbersXattr, value)
                                                .set_xattr(kNumbersXattr, encode(numbers))));
        if (status.ok()) return taken;
        bool again = status.code() == ECANCELED || status.code() == ETIMEDOUT || status.code() == EAGAIN;
        if (!again) return status.error();
    }
}

}  // namespace

Result<std::unique_ptr<Numbers>> Numbers::take(Store& store, Clock& clock) {
    Taken taken = TRY(take_numbers(store, clock, kFirstBlock, true));
    Block block{.first = taken.first, .next = taken.first, .end = taken.end};
    return std::unique_ptr<Numbers>(new Numbers(store, clock, taken.session, block));
}

Result<Numbers::Run> Numbers::next_groups(uint64_t max) {
    uint64_t size;
    {
        MutexLock lock(mutex_);
        for (;;) {
            if (block_.next < block_.end) return take_run(max);
            if (!refilling_) break;
            refilled_.wait(mutex_);
        }
        refilling_ = true;
        size = last_size_ = std::min(last_size_ * 16, kBlockMax);
    }
    auto taken = take_numbers(store_, clock_, size, false);
    {
        MutexLock lock(mutex_);
        refilling_ = false;
        if (taken.ok()) block_ = {.first = taken->first, .next = taken->first, .end = taken->end};
        refilled_.notify_all();
        if (!taken.ok()) return taken.error();
        return take_run(max);
    }
}

Numbers::Run Numbers::take_run(uint64_t max) {
    Run run{block_.next, std::min(max, block_.end - block_.next)};
    block_.next += run.count;
    return run;
}

Numbers::Block Numbers::block() {
    MutexLock lock(mutex_);
    return block_;
}

}  // namespace meshfs
