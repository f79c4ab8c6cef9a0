#include "fs/store/conformance_stores.h"

#include "fs/store/fault_store.h"
#include "fs/store/memory_store.h"
#include "fs/store/metered_store.h"

namespace meshfs {
namespace {

class MemoryPlace final : public ConformancePlace {
public:
    std::unique_ptr<Store> open() override { return std::make_unique<MemoryStore>(cluster_); }
    bool takes_several() const override { return true; }
    std::unique_ptr<Store> open_with_room(uint64_t bytes) override {
        return std::make_unique<MemoryStore>(std::make_shared<MemoryCluster>(bytes));
    }

private:
    std::shared_ptr<MemoryCluster> cluster_ = std::make_shared<MemoryCluster>();
};

// Another place, each store of it inside a wrapper.
using Wrap = std::function<std::unique_ptr<Store>(std::unique_ptr<Store>)>;
class WrappedPlace final : public ConformancePlace {
public:
    WrappedPlace(std::unique_ptr<ConformancePlace> inner, Wrap wrap) : inner_(std::move(inner)), wrap_(std::move(wrap)) {}
    std::unique_ptr<Store> open() override { return wrap_(inner_->open()); }
    bool takes_several() const override { return inner_->takes_several(); }
    std::unique_ptr<Store> open_with_room(uint64_t bytes) override {
        auto store = inner_->open_with_room(bytes);
        return store ? wrap_(std::move(store)) : nullptr;
    }

private:
    std::unique_ptr<ConformancePlace> inner_;
    Wrap wrap_;
};

template <class Place>
ConformanceKind kind(const char* name) {
    return {name, [] { return std::make_unique<Place>(); }};
}

ConformanceKind wrapped(const std::string& name, const ConformanceKind& inner, const Wrap& wrap) {
    return {name, [make = inner.make, wrap] { return std::make_unique<WrappedPlace>(make(), wrap); }};
}

ConformanceKind in_fault(const std::string& name, const ConformanceKind& inner, const FaultPlan& plan) {
    return wrapped(name, inner, [plan](auto store) { return std::make_unique<FaultStore>(std::move(store), plan); });
}

}  // namespace

std::vector<ConformanceKind> conformance_kinds() {
    std::vector<ConformanceKind> kinds;
    auto memory = kind<MemoryPlace>("memory");
    kinds.push_back(memory);
    kinds.push_back(in_fault("memory_in_fault", memory, {}));
    // Delays reorder what may be reordered, and nothing else.
    kinds.push_back(in_fault("memory_delayed", memory, {.seed = 3, .delay_us_min = 0, .delay_us_max = 300}));
    kinds.push_back(wrapped("memory_in_metered", memory,
                            [](auto store) { return std::make_unique<MeteredStore>(std::move(store)); }));
    return kinds;
}

}  // namespace meshfs
