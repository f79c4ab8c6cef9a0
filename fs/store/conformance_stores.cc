#include "fs/store/conformance_stores.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "fs/store/fault_store.h"
#ifdef MESHFS_HAVE_LOCAL
#include "fs/store/local_store.h"
#endif
#include "fs/store/memory_store.h"
#include "fs/store/metered_store.h"
#ifdef MESHFS_HAVE_RADOS
#include <unistd.h>

#include <atomic>

#include "fs/store/io_batch.h"
#include "fs/store/rados_store.h"
#endif

namespace meshfs {
namespace {

// Without a store there is nothing to test; the log should say why.
[[noreturn]] [[maybe_unused]] void give_up(const std::string& what, const Error& error) {
    fprintf(stderr, "%s: %s\n", what.c_str(), error.text().c_str());
    abort();
}

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

#ifdef MESHFS_HAVE_RADOS
// A namespace of its own in the pool named by MESHFS_TEST_RADOS=POOL[/NAMESPACE].
class RadosPlace final : public ConformancePlace {
public:
    RadosPlace() {
        static std::atomic<int> last{0};
        std::string wanted = getenv("MESHFS_TEST_RADOS");
        if (wanted.find('/') == std::string::npos) wanted += "/test";
        auto source = parse_source("rados:" + wanted + "-" + std::to_string(getpid()) + "-" + std::to_string(++last));
        if (!source) give_up("MESHFS_TEST_RADOS", source.error());
        source_ = *source;
        if (const char* conf = getenv("MESHFS_TEST_CEPH_CONF")) options_.conf = conf;
        if (const char* id = getenv("MESHFS_TEST_CEPH_ID")) options_.id = id;
    }
    ~RadosPlace() override {
        auto store = open();
        for (Pool pool : {Pool{0}, Pool{1}}) {
            IoBatch batch(*store, 64);
            (void)store->list(pool, [&](const std::string& name) {
                batch.add(Mutation({pool, name}).remove(), {ENOENT});
                return Status();
            });
        }
    }
    std::unique_ptr<Store> open() override {
        auto store = open_rados_store(source_, options_);
        if (!store) give_up(source_.text, store.error());
        return std::move(store).value();
    }
    bool takes_several() const override { return true; }
    // A quota counts only once the manager has reported what there is: test/cluster fills a pool.
    std::unique_ptr<Store> open_with_room(uint64_t) override { return nullptr; }

private:
    Source source_;
    StoreOptions options_;
};
#endif

#ifdef MESHFS_HAVE_LOCAL
class LocalPlace final : public ConformancePlace {
public:
    LocalPlace() {
        std::string made = (std::filesystem::temp_directory_path() / "meshfs-local-XXXXXX").string();
        if (mkdtemp(made.data()) == nullptr) give_up(made, fail(errno));
        path_ = made;
    }
    ~LocalPlace() override {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    std::unique_ptr<Store> open() override { return open_in("/store", {}); }
    bool takes_several() const override { return false; }
    std::unique_ptr<Store> open_with_room(uint64_t bytes) override {
        local::DiskParts parts;
        parts.room_bytes = bytes;
        return open_in("/small", std::move(parts));
    }

private:
    std::unique_ptr<Store> open_in(const std::string& name, local::DiskParts parts) {
        StoreOptions options;
        options.make_directory = true;
        auto store = open_local_store(*parse_source(path_ + name), options, std::move(parts));
        if (!store) give_up(path_ + name, store.error());
        return std::move(*store);
    }
    std::string path_;
};
#endif

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
#ifdef MESHFS_HAVE_LOCAL
    auto local = kind<LocalPlace>("local");
    kinds.push_back(local);
    kinds.push_back(in_fault("local_in_fault", local, {}));
#endif
    kinds.push_back(in_fault("memory_in_fault", memory, {}));
    // Delays reorder what may be reordered, and nothing else.
    kinds.push_back(in_fault("memory_delayed", memory, {.seed = 3, .delay_us_min = 0, .delay_us_max = 300}));
    kinds.push_back(wrapped("memory_in_metered", memory,
                            [](auto store) { return std::make_unique<MeteredStore>(std::move(store)); }));
#ifdef MESHFS_HAVE_RADOS
    if (getenv("MESHFS_TEST_RADOS") != nullptr) kinds.push_back(kind<RadosPlace>("rados"));
#endif
    return kinds;
}

}  // namespace meshfs
