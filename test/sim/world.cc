#include "test/sim/world.h"

#include <algorithm>

#include "fs/base/clock.h"
#include "fs/base/wire.h"
#include "test/sim/client.h"
#include "test/sim/history.h"
#include "test/sim/invariants.h"

namespace meshfs::sim {
namespace {

constexpr int kLeaseSeconds = 5;
constexpr int64_t kLeaseNs = kLeaseSeconds * kNsPerSecond;

bool has(const Mutation& mutation, Effect::Kind kind) {
    return std::any_of(mutation.effects().begin(), mutation.effects().end(), [&](auto& e) { return e.kind == kind; });
}

bool sets_intent(const Mutation& mutation) {
    if (!mutation.object().name.starts_with("s.")) return false;
    return std::any_of(mutation.effects().begin(), mutation.effects().end(), [](auto& e) {
        return e.kind == Effect::Kind::set_keys && e.keys.front().first.starts_with("x");
    });
}

// Where most goes wrong on some days.
std::function<bool(const Mutation&)> draw_sore(Random& random) {
    auto is_of_names = [](const Mutation& m) { return m.object().name.starts_with("g.") || m.object().name.starts_with("h."); };
    switch (random.below(8)) {
        case 0: return sets_intent;
        case 1:  // steps of intents, batches
            return [=](auto& m) { return is_of_names(m) && has(m, Effect::Kind::set_xattr) && has(m, Effect::Kind::set_keys); };
        case 2:  // leases that are taken or let go of
            return [=](auto& m) { return is_of_names(m) && m.effects().size() == 1 && has(m, Effect::Kind::set_xattr); };
        case 3: return [](auto& m) { return has(m, Effect::Kind::create); };
        default: return nullptr;
    }
}

// What kind of bad day it is.
SimFaults draw_faults(Random& random) {
    SimFaults faults;
    faults.is_sore = draw_sore(random);
    if (random.chance(0.5)) faults.late_ns_max = 3 * kLeaseNs;
    faults.may_fence = random.chance(0.3);  // else late writes of the dead meet nothing but guards
    switch (random.below(7)) {
        case 0: faults.slow_ns_max = kNsPerSecond / 2; break;  // only order and delay
        case 1: faults.lost_reply = 0.05, faults.lost_call = 0.02; break;
        case 2: faults.death = 0.02; break;
        case 3: faults.freeze = 0.02, faults.freeze_ns_max = 3 * kLeaseNs; break;
        case 4: faults.error = 0.02, faults.lost_message = 0.2; break;
        case 5: faults.slow = 0.02, faults.slow_ns_max = 3 * kLeaseNs; break;
        default:
            faults.slow = 0.05, faults.error = 0.005, faults.lost_call = 0.01, faults.lost_reply = 0.02, faults.death = 0.01;
            faults.freeze = 0.01, faults.freeze_ns_max = 3 * kLeaseNs, faults.lost_message = 0.1;
    }
    return faults;
}

// Others do not wait for ever: what is not paid for the lease time, they see later, and no order explains that.
bool may_owe(const SimFaults& faults) { return faults.freeze == 0 && faults.slow_ns_max < kLeaseNs; }

std::function<Mutation(const Mutation&)> filter_of(Planted planted) {
    switch (planted) {
        case Planted::nothing:
        case Planted::deaf_kernels:
        case Planted::late_kernels:
        case Planted::unpaid_debts: return nullptr;
        case Planted::no_key_guards: return [](auto& m) { return without_guards(m, Guard::Kind::key_is); };
        case Planted::no_xattr_guards: return [](auto& m) { return without_guards(m, Guard::Kind::xattr_is); };
        case Planted::no_absent_guards: return [](auto& m) { return without_guards(m, Guard::Kind::absent); };
    }
    return nullptr;
}

class World {
public:
    explicit World(const WorldOptions& options)
        : options_(options), scheduler_(options.seed), shared_{.scheduler = scheduler_, .cluster = cluster_} {}

    Outcome run() {
        scheduler_.run([this] { play(); });
        outcome_.trace = scheduler_.trace();
        outcome_.seconds_simulated = static_cast<uint64_t>((scheduler_.boot_ns() - began_ns_) / kNsPerSecond);
        for (const Operation& op : shared_.history) {
            outcome_.history += "  " + op.text() + "\n";
            outcome_.uncertain += op.is_uncertain;
        }
        outcome_.operations = shared_.history.size();
        // Nobody may be taken for dead, and nobody may give up, only because others want the same.
        for (const Operation& op : shared_.history)
            if (is_calm_ && op.is_uncertain) fail("nothing went wrong in the store, and this has no answer: " + op.text());
        if (!outcome_.is_good) return outcome_;
        auto judgement = judge(shared_.history);
        if (judgement.kind != Judgement::Kind::right) judgement = judge(with_lists_by_name(shared_.history));
        outcome_.is_undecided = judgement.kind == Judgement::Kind::undecided;
        if (judgement.kind == Judgement::Kind::wrong) fail("no order of the operations explains their answers:\n" + judgement.explanation);
        return outcome_;
    }

private:
    void fail(const std::string& what) {
        outcome_.is_good = false;
        outcome_.what += what + "\n";
    }

    void play() {
        began_ns_ = scheduler_.boot_ns();
        Client judge_client(shared_, 0, {});
        Status made = format_volume(judge_client.store(), Clock::system(), {.lease_seconds = kLeaseSeconds});
        if (made) made = judge_client.mount();
        if (!made) return fail("cannot begin: " + made.error().text());
        judge_client.start_beats();
        for (const char* name : {"a", "b"}) judge_client.ask({.kind = Operation::Kind::mkdir, .directory = kRootIno, .name = name, .mode = 0755});
        judge_client.ask({.kind = Operation::Kind::create, .directory = kRootIno, .name = "c", .mode = 0644});

        judge_client.commit();
        run_clients();
        // Late mutations of the dead have come, sessions that fell silent can be seen to be dead.
        Clock::system().sleep_ns(4 * kLeaseNs);
        judge_client.look_at_everything();
        (void)broken_invariants(*cluster_, outcome_.merged);  // before gc merges what is left
        auto collected = judge_client.meta()->collect();
        if (!collected.ok()) fail("gc: " + collected.error().text());
        else outcome_.nameless = collected->nameless;
        judge_client
            .look_at_everything();  // what the first look finished, the second sees; and gc took nothing
        uint64_t merged = 0;
        for (const auto& what : broken_invariants(*cluster_, merged)) fail("invariant: " + what);
        for (auto& client : clients_)
            if (scheduler_.is_dead(client->number()) || client->is_lost()) client->forget_uncommitted();
        end_clients();
        judge_client.stop_beats();
        judge_client.unmount();
    }

    void run_clients() {
        Random& random = scheduler_.random();
        SimFaults faults = draw_faults(random);
        if (random.chance(0.4)) {
            shared_.split_names = 2;  // splits and merges in the middle of everything
            if (random.chance(0.5)) shared_.crowded = shared_.directories.back();
        }
        shared_.is_narrow = random.chance(0.2);
        is_calm_ = faults.is_calm();
        shared_.hold = random.chance(0.75);
        shared_.synchronous = random.chance(0.2);
        shared_.owes = may_owe(faults) && shared_.hold && !shared_.synchronous && Random(~options_.seed).chance(0.5);
        if (shared_.owes) faults.late_ns_max = 0, faults.slow_ns_max = std::min(faults.slow_ns_max, kNsPerSecond / 2);
        shared_.never_pays = options_.planted == Planted::unpaid_debts;
        shared_.has_deaf_kernels = options_.planted == Planted::deaf_kernels;
        shared_.keeps_names = shared_.hold && Random(options_.seed ^ 0x6e616d65).chance(0.5);
        shared_.until_others_come = Random(options_.seed ^ 0x616c).chance(0.4);
        shared_.is_narrow |= shared_.keeps_names && Random(options_.seed ^ 0x6e61).chance(0.5);
        shared_.late_ns_max = options_.planted == Planted::late_kernels ? 60 * kNsPerSecond : kNsPerSecond;
        const size_t count = random.between(2, 3);
        for (uint32_t number = 1; number <= count; ++number) {
            clients_.push_back(std::make_unique<Client>(shared_, number, faults));
            Client* client = clients_.back().get();
            client->store().set_filter(filter_of(options_.planted));
            const size_t operations = shared_.crowded ? random.between(8, 16) : random.between(3, 12);
            threads_.push_back(scheduler_.spawn(number, "client " + std::to_string(number), [client, operations] {
                if (!client->mount()) return;
                client->start_beats();
                client->do_some(operations);
            }));
        }
        for (auto thread : threads_) (void)scheduler_.join(thread);  // or its client is dead
        for (auto& client : clients_) {
            if (is_calm_ && client->is_lost())
                fail("nothing went wrong in the store, and client " + std::to_string(client->number()) + " was lost");
            client->store().set_faults({});
            if (scheduler_.is_dead(client->number())) ++outcome_.deaths;
            else if (random.chance(0.5)) leave(*client);
        }
    }

    void leave(Client& client) {
        client.stop_beats();
        client.unmount();
    }

    // The dead too run to their end, on stores that do nothing any more.
    void end_clients() {
        for (auto& client : clients_) {
            outcome_.store_calls += client->store().calls();
            outcome_.faults += client->store().faults_drawn();
            outcome_.kept += client->kept(), outcome_.names_kept += client->names_kept();
            outcome_.owed += client->owed();
            if (!scheduler_.is_dead(client->number())) continue;
            client->reap();
            scheduler_.revive(client->number());
        }
        for (auto thread : threads_) (void)scheduler_.join(thread);
        for (auto& client : clients_) client->stop_beats();
        clients_.clear();
    }

    const WorldOptions options_;
    Scheduler scheduler_;
    std::shared_ptr<MemoryCluster> cluster_ = std::make_shared<MemoryCluster>();
    Shared shared_;
    std::vector<std::unique_ptr<Client>> clients_;
    std::vector<Scheduler::ThreadNumber> threads_;
    int64_t began_ns_ = 0;
    bool is_calm_ = false;  // nothing but order and short delays
    Outcome outcome_;
};

}  // namespace

Outcome run_world(const WorldOptions& options) { return World(options).run(); }

}  // namespace meshfs::sim
