// A store that calls a test before each call, so that something can happen just there; that can claim to be used by one
// process only, or not to be allowed to fence.
#pragma once

#include <functional>
#include <memory>

#include "fs/store/forwarding_store.h"

namespace meshfs {

class HookedStore final : public ForwardingStore {
public:
    using ForwardingStore::ForwardingStore;

    // On the caller's thread, before the mutation or the query starts.  Set while no call is under way.
    std::function<void(const Mutation&)> before_mutation;
    std::function<void(const Query&)> before_query;
    bool claims_exclusive = false, may_fence = true;

    void start(Mutation mutation, Then<void> then) override {
        if (before_mutation) before_mutation(mutation);
        inner_.start(std::move(mutation), std::move(then));
    }
    void start(Query query, Then<Answer> then) override {
        if (before_query) before_query(query);
        inner_.start(std::move(query), std::move(then));
    }
    using ForwardingStore::start;
    Status fence(const ClientId& client) override { return may_fence ? inner_.fence(client) : Status(fail(EACCES)); }
    bool is_exclusive() const override { return claims_exclusive || inner_.is_exclusive(); }
};

}  // namespace meshfs
