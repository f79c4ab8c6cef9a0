#include "fs/store/fault_store.h"

#include <algorithm>
#include <map>

#include "fs/base/clock.h"

namespace meshfs {

struct FaultStore::State {
    mutable Mutex mutex;
    FaultPlan plan GUARDED_BY(mutex);
    Random random GUARDED_BY(mutex){1};
    bool is_deaf GUARDED_BY(mutex) = false;
    bool is_silent GUARDED_BY(mutex) = false;
    bool is_dead GUARDED_BY(mutex) = false;
    uint64_t faults GUARDED_BY(mutex) = 0;
    int64_t line_free_ns GUARDED_BY(mutex) = 0;                    // when the last bytes have passed
    std::map<ObjectName, int64_t> last_effect_ns GUARDED_BY(mutex);  // effects of one object stay in order
    // Calls that wait for the silence to end, in the order they take effect in then.
    std::vector<std::function<void()>> held GUARDED_BY(mutex);
    bool is_releasing GUARDED_BY(mutex) = false;  // who arrives goes behind those held
};

// What will become of one call.
struct FaultStore::Fate {
    int64_t effect_at_ns = 0;  // boot time; 0: at once
    int64_t reply_delay_ns = 0;
    int code = 0;  // told instead of what happened
    bool happens = true;
    bool told_before = false;
};

// One call between its start and its reply; shared by the delays and the inner store's callback.
template <class T>
struct FaultStore::Call {
    Then<T> then;
    Fate fate;
    uint64_t bytes = 0;
};

FaultStore::FaultStore(std::unique_ptr<Store> inner, FaultPlan plan)
    : state_(std::make_shared<State>()),
      queue_(std::make_shared<CallQueue>("fault-store")),
      inner_(std::move(inner)) {
    set_plan(plan);
}

FaultStore::~FaultStore() {
    stop();
    queue_->join();
}

void FaultStore::set_plan(const FaultPlan& plan) {
    MutexLock lock(state_->mutex);
    state_->plan = plan;
    state_->random = Random(plan.seed);
}

void FaultStore::set_deaf(bool deaf) {
    MutexLock lock(state_->mutex);
    state_->is_deaf = deaf;
}

void FaultStore::set_silent(bool silent) {
    MutexLock lock(state_->mutex);
    bool ends = state_->is_silent && !silent;
    state_->is_silent = silent;
    if (!ends) return;
    state_->is_releasing = true;
    queue_->post(0, [this] { release_held(); });
}

// On the queue's thread, where calls arrive too.
void FaultStore::release_held() {
    while (true) {
        std::vector<std::function<void()>> held;
        {
            MutexLock lock(state_->mutex);
            held.swap(state_->held);
            if (held.empty()) state_->is_releasing = false;
        }
        if (held.empty()) return;
        for (auto& call : held) call();
    }
}

void FaultStore::kill() {
    {
        MutexLock lock(state_->mutex);
        state_->is_dead = true;
    }
    set_silent(false);
}

uint64_t FaultStore::faults() const {
    MutexLock lock(state_->mutex);
    return state_->faults;
}

int FaultStore::refusal() const {
    if (queue_->is_stopped()) return ETIMEDOUT;
    MutexLock lock(state_->mutex);
    return state_->is_dead ? ESHUTDOWN : 0;
}

Status FaultStore::alive() const {
    int code = refusal();
    if (code == 0) return {};
    return fail(ESHUTDOWN);
}

FaultStore::Fate FaultStore::draw(const ObjectName* ordered_on, uint64_t bytes) {
    State& s = *state_;
    MutexLock lock(s.mutex);
    Fate fate;
    if (!s.plan.has_faults() && s.last_effect_ns.empty()) return fate;
    auto delay = [&]() REQUIRES(s.mutex) {
        return static_cast<int64_t>(s.random.between(s.plan.delay_us_min, s.plan.delay_us_max)) * 1000;
    };
    const int64_t now_ns = Clock::system().boot_ns();
    fate.effect_at_ns = now_ns + delay();
    fate.reply_delay_ns = delay();
    if (s.plan.bytes_per_second > 0 && bytes > 0) {
        int64_t needs_ns = static_cast<int64_t>(static_cast<double>(bytes) * 1e9 / static_cast<double>(s.plan.bytes_per_second));
        s.line_free_ns = std::max(s.line_free_ns, now_ns) + needs_ns;
        fate.effect_at_ns = std::max(fate.effect_at_ns, s.line_free_ns);
    }
    if (ordered_on != nullptr) {
        // Timers of the same moment run in the order they were set: later or equal is enough.
        if (s.last_effect_ns.size() > kCallsMax) std::erase_if(s.last_effect_ns, [&](auto& e) { return e.second < now_ns; });
        int64_t& last_ns = s.last_effect_ns[*ordered_on];
        fate.effect_at_ns = last_ns = std::max(last_ns, fate.effect_at_ns);
    }
    double dice = s.random.unit();
    auto falls_on = [&](double probability) { return (dice -= probability) < 0; };
    if (falls_on(s.plan.error)) fate = {fate.effect_at_ns, fate.reply_delay_ns, s.plan.error_code, false, false};
    else if (falls_on(s.plan.lost_call)) fate = {fate.effect_at_ns, fate.reply_delay_ns, ETIMEDOUT, false, false};
    else if (falls_on(s.plan.lost_reply)) fate = {fate.effect_at_ns, fate.reply_delay_ns, ETIMEDOUT, true, false};
    else if (falls_on(s.plan.late_effect)) fate = {fate.effect_at_ns, fate.reply_delay_ns, ETIMEDOUT, true, true};
    if (fate.code != 0) ++s.faults;
    return fate;
}

// Enter, wait, take effect below, wait, tell.
template <class T, class Start>
void FaultStore::run(const ObjectName* ordered_on, uint64_t bytes, Then<T> then, Start start) {
    if (int code = queue_->enter(bytes); code != 0)
        return queue_->post(0, [then = std::move(then), code] { then(fail(code)); });
    auto call = std::make_shared<Call<T>>();
    call->then = std::move(then);
    call->fate = draw(ordered_on, bytes);
    call->bytes = bytes;

    auto end = [this, call](Result<T> result) {
        queue_->post(call->fate.reply_delay_ns, [this, call, result = std::move(result)]() mutable {
            // Taken before stop(), it has to end as unfinished calls do.
            if (result.code() == ESHUTDOWN && queue_->is_stopped()) result = fail(ETIMEDOUT);
            Result<T> told = call->fate.code != 0 ? Result<T>(fail(call->fate.code)) : std::move(result);
            if (!call->fate.told_before) call->then(std::move(told));
            call->then = nullptr;
            queue_->leave(call->bytes);
        });
    };
    auto take_effect = [this, call, end, start = std::move(start)] {
        if (int code = refusal(); code != 0) {
            call->fate.code = code;
            call->fate.reply_delay_ns = 0;
            return end(fail(code));
        }
        if (!call->fate.happens) return end(fail(call->fate.code));
        start(end);
    };
    if (call->fate.told_before) queue_->post(0, [call] { call->then(fail(ETIMEDOUT)); });
    auto arrive = [this, take_effect] {
        {
            MutexLock lock(state_->mutex);
            if (state_->is_silent || state_->is_releasing) {
                state_->held.push_back(take_effect);
                return;
            }
        }
        take_effect();
    };
    queue_->post_at(call->fate.effect_at_ns, arrive);
}

void FaultStore::start(Mutation mutation, Then<void> then) {
    auto shared = std::make_shared<Mutation>(std::move(mutation));
    run<void>(&shared->object(), shared->bytes(), std::move(then),
              [this, shared](Then<void> end) { inner_->start(std::move(*shared), std::move(end)); });
}

void FaultStore::start(Query query, Then<Answer> then) {
    auto shared = std::make_shared<Query>(std::move(query));
    run<Answer>(nullptr, 0, std::move(then),
                [this, shared](Then<Answer> end) { inner_->start(std::move(*shared), std::move(end)); });
}

void FaultStore::start(Transfer transfer, Then<size_t> then) {
    auto shared = std::make_shared<Transfer>(std::move(transfer));
    bool is_write = shared->direction == Transfer::Direction::write;
    run<size_t>(is_write ? &shared->object : nullptr, shared->bytes.size(), std::move(then),
                [this, shared](Then<size_t> end) { inner_->start(std::move(*shared), std::move(end)); });
}

void FaultStore::notify(ObjectName object, Buffer message, int seconds_max, Then<Acks> then) {
    run<Acks>(nullptr, message.size(), std::move(then), [=, this](Then<Acks> end) {
        inner_->notify(object, message, seconds_max, std::move(end));
    });
}

Result<std::unique_ptr<Mailbox>> FaultStore::open_mailbox(ObjectName object, MailHandler handler) {
    TRY(alive());
    auto hears = [state = state_] {
        MutexLock lock(state->mutex);
        return !state->is_deaf && !state->is_silent && !state->is_dead;
    };
    MailHandler filtered;
    filtered.message = [hears, message = std::move(handler.message)](Buffer bytes, Acknowledge acknowledge) {
        if (hears()) message(std::move(bytes), std::move(acknowledge));
    };
    filtered.lost = [hears, lost = std::move(handler.lost)](int code) {
        if (hears()) lost(code);
    };
    return inner_->open_mailbox(std::move(object), std::move(filtered));
}

Result<SnapId> FaultStore::create_snap() {
    TRY(alive());
    return inner_->create_snap();
}

Status FaultStore::remove_snap(SnapId snap) {
    TRY(alive());
    return inner_->remove_snap(snap);
}

Status FaultStore::fence(const ClientId& client) {
    TRY(alive());
    return inner_->fence(client);
}

Result<Capacity> FaultStore::capacity(Pool pool) {
    TRY(alive());
    return inner_->capacity(pool);
}

Status FaultStore::list(Pool pool, Visitor visitor) {
    TRY(alive());
    return inner_->list(pool, std::move(visitor));
}

void FaultStore::stop() {
    queue_->close();
    set_silent(false);
    inner_->stop();
    queue_->stop();
}

}  // namespace meshfs
