#include "fs/store/conformance_stores.h"

#include "fs/store/memory_store.h"

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

template <class Place>
ConformanceKind kind(const char* name) {
    return {name, [] { return std::make_unique<Place>(); }};
}

}  // namespace

std::vector<ConformanceKind> conformance_kinds() {
    std::vector<ConformanceKind> kinds;
    kinds.push_back(kind<MemoryPlace>("memory"));
    return kinds;
}

}  // namespace meshfs
