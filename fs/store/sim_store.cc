#include "fs/store/sim_store.h"

#include <algorithm>

#include "fs/base/clock.h"
#include "fs/base/mutex.h"

namespace meshfs {

// What a client on the far side of the network is: group 0, whose events outlive it.
constexpr Scheduler::Group kNetwork = 0;
constexpr double kSoreTimes = 10;
constexpr double kIsLate = 0.3;  // of the effects whose reply is lost

struct SimStore::State {
    State(Scheduler& scheduler_, Scheduler::Group group_, const SimFaults& faults_)
        : scheduler(scheduler_), random(scheduler_.random()), group(group_), faults(faults_) {}
    int64_t draw_delay();
    void die_or_freeze(double times);

    Scheduler& scheduler;
    Random& random;
    const Scheduler::Group group;
    SimFaults faults;
    std::function<Mutation(const Mutation&)> filter;
    bool is_reaped = false;
    bool is_stopped = false;
    uint64_t calls = 0, drawn = 0;
    std::map<ObjectName, int64_t> last_effect_ns;  // effects on one object stay in order
    Mutex mutex;                                   // for stop() alone
    CondVar told;
    size_t in_flight GUARDED_BY(mutex) = 0;

    void begin() {
        MutexLock lock(mutex);
        ++in_flight;
    }
    void end() {
        MutexLock lock(mutex);
        --in_flight;
        told.notify_all();
    }
};

class SimStore::Inbox final : public MemoryInbox {
public:
    explicit Inbox(std::shared_ptr<State> state) : state_(std::move(state)) {}
    void post(int64_t delay_ns, std::function<void()> run) override {
        // A lost message is as one that comes long after anybody cares.
        if (delay_ns == 0 && state_->random.chance(state_->faults.lost_message)) delay_ns = 3600 * kNsPerSecond;
        delay_ns += static_cast<int64_t>(state_->random.below(100'000));
        state_->scheduler.post(state_->group, delay_ns, std::move(run));
    }
    bool is_stopped() override { return state_->is_stopped; }

private:
    std::shared_ptr<State> state_;
};

SimStore::SimStore(std::shared_ptr<MemoryCluster> cluster, Scheduler& scheduler, Scheduler::Group group,
                   const SimFaults& faults)
    : cluster_(std::move(cluster)),
      scheduler_(scheduler),
      group_(group),
      client_(cluster_->add_client()),
      state_(std::make_shared<State>(scheduler, group, faults)),
      inbox_(std::make_shared<Inbox>(state_)) {}

SimStore::~SimStore() { stop(); }

void SimStore::set_faults(const SimFaults& faults) { state_->faults = faults; }
void SimStore::set_filter(std::function<Mutation(const Mutation&)> filter) { state_->filter = std::move(filter); }
void SimStore::reap() { state_->is_reaped = true; }
uint64_t SimStore::calls() const { return state_->calls; }
uint64_t SimStore::faults_drawn() const { return state_->drawn; }

int64_t SimStore::State::draw_delay() {
    bool is_slow = random.chance(faults.slow);
    return static_cast<int64_t>(random.between(1000, is_slow ? faults.slow_ns_max : faults.delay_ns_max));
}

void SimStore::State::die_or_freeze(double times) {
    if (is_reaped || scheduler.is_dead(group)) return;
    if (random.chance(times * faults.death)) {
        ++drawn;
        scheduler.kill(group);
    } else if (random.chance(times * faults.freeze)) {
        ++drawn;
        scheduler.freeze(group, static_cast<int64_t>(random.between(1, faults.freeze_ns_max)));
    }
}

Status SimStore::enter(double times) {
    state_->die_or_freeze(times);
    scheduler_.yield();  // the dead do not come back from here until they are reaped
    if (state_->is_stopped || state_->is_reaped) return fail(ESHUTDOWN);
    return {};
}

template <class T>
void SimStore::run(const ObjectName* ordered_on, std::function<Result<T>()> effect, Then<T> then, double times) {
    ++state_->calls;
    Status may = enter(times);
    state_->begin();
    auto tell = [state = state_, then = std::move(then)](Result<T> result) {
        then(std::move(result));
        state->end();
    };
    if (!may) return scheduler_.post(group_, 1000, [tell, may] { tell(may.error()); });

    State& s = *state_;
    double dice = s.random.unit();
    auto falls_on = [&](double probability) { return (dice -= probability) < 0; };
    const bool is_error = falls_on(s.faults.error), is_lost_call = !is_error && falls_on(times * s.faults.lost_call);
    const bool is_lost_reply = !is_error && !is_lost_call && falls_on(times * s.faults.lost_reply);
    s.drawn += is_error || is_lost_call || is_lost_reply;
    if (is_error || is_lost_call)
        return scheduler_.post(group_, s.draw_delay(), [tell, is_error] { tell(fail(is_error ? EIO : ETIMEDOUT)); });

    int64_t effect_at_ns = scheduler_.boot_ns() + s.draw_delay();
    if (is_lost_reply && s.faults.late_ns_max > 0 && s.random.chance(kIsLate))
        effect_at_ns += static_cast<int64_t>(s.random.between(1, s.faults.late_ns_max));
    if (ordered_on != nullptr) {
        int64_t& last_ns = s.last_effect_ns[*ordered_on];
        effect_at_ns = last_ns = std::max(last_ns, effect_at_ns);
    }
    // Of a lost reply, the caller hears before or after the effect.
    if (is_lost_reply) scheduler_.post(group_, s.draw_delay(), [tell] { tell(fail(ETIMEDOUT)); });
    auto arrive = [state = state_, effect = std::move(effect), tell, is_lost_reply, times] {
        Scheduler& scheduler = state->scheduler;
        bool was_dead = scheduler.is_dead(state->group);
        if (state->is_reaped || (was_dead && !state->random.chance(state->faults.late))) {
            if (!is_lost_reply) scheduler.post(state->group, 1000, [tell] { tell(fail(ESHUTDOWN)); });
            return;
        }
        auto result = effect();
        if (is_lost_reply) return;
        state->die_or_freeze(times);
        scheduler.post(state->group, state->draw_delay(), [tell, result = std::move(result)] { tell(result); });
    };
    scheduler_.post(kNetwork, effect_at_ns - scheduler_.boot_ns(), std::move(arrive));
}

void SimStore::start(Mutation mutation, Then<void> then) {
    Status good = mutation.check();
    const bool is_sore = state_->faults.is_sore && state_->faults.is_sore(mutation);
    auto shared = std::make_shared<Mutation>(std::move(mutation));
    auto effect = [cluster = cluster_, client = client_, state = state_, good, shared]() -> Status {
        if (!good) return good;
        return cluster->mutate(client, state->filter ? state->filter(*shared) : *shared);
    };
    run<void>(&shared->object(), effect, std::move(then), is_sore ? kSoreTimes : 1);
}

void SimStore::start(Query query, Then<Answer> then) {
    Status good = query.check();
    auto shared = std::make_shared<Query>(std::move(query));
    auto effect = [cluster = cluster_, client = client_, good, shared]() -> Result<Answer> {
        if (!good) return good.error();
        return cluster->query(client, *shared);
    };
    run<Answer>(nullptr, effect, std::move(then));
}

void SimStore::start(Transfer transfer, Then<size_t> then) {
    Status good = transfer.check();
    auto shared = std::make_shared<Transfer>(std::move(transfer));
    bool is_write = shared->direction == Transfer::Direction::write;
    auto effect = [cluster = cluster_, client = client_, good, shared]() -> Result<size_t> {
        if (!good) return good.error();
        return cluster->transfer(client, *shared);
    };
    run<size_t>(is_write ? &shared->object : nullptr, effect, std::move(then));
}

Result<std::unique_ptr<Mailbox>> SimStore::open_mailbox(ObjectName object, MailHandler handler) {
    TRY(Query(object).check());
    TRY(enter());
    return cluster_->open_mailbox(client_, object, std::move(handler), inbox_);
}

// A lost acknowledgement is a lost message; the notify itself always ends.
void SimStore::notify(ObjectName object, Buffer message, int seconds_max, Then<Acks> then) {
    ++state_->calls;
    Status may = enter();
    if (may) may = Query(object).check();
    state_->begin();
    auto tell = [state = state_, then = std::move(then)](Result<Acks> result) {
        then(std::move(result));
        state->end();
    };
    if (!may) return scheduler_.post(group_, 1000, [tell, may] { tell(may.error()); });
    cluster_->notify(client_, object, message, seconds_max * kNsPerSecond, tell, inbox_);
}

Result<SnapId> SimStore::create_snap() {
    TRY(enter());
    return cluster_->create_snap(client_);
}

Status SimStore::remove_snap(SnapId snap) {
    TRY(enter());
    return cluster_->remove_snap(client_, snap);
}

Status SimStore::fence(const ClientId& client) {
    TRY(enter());
    if (!state_->faults.may_fence) return fail(EACCES);
    cluster_->fence(client);
    return {};
}

Result<Capacity> SimStore::capacity(Pool) {
    TRY(enter());
    return cluster_->capacity();
}

Status SimStore::list(Pool pool, Visitor visitor) {
    TRY(enter());
    for (const auto& name : cluster_->names(pool)) TRY(visitor(name));
    return {};
}

void SimStore::stop() {
    state_->is_stopped = true;
    MutexLock lock(state_->mutex);
    while (state_->in_flight > 0) state_->told.wait(state_->mutex);
}

Mutation without_guards(const Mutation& mutation, Guard::Kind kind) {
    Mutation out(mutation.object(), mutation.snaps());
    for (const Guard& g : mutation.guards())
        if (g.kind != kind) out.add(g);
    for (const Effect& e : mutation.effects()) out.add(e);
    return out;
}

}  // namespace meshfs
