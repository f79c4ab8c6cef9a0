// For tests: a store that holds up what is written to some objects, and something to wait for.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "fs/store/forwarding_store.h"
#include "fs/store/memory_store.h"

namespace meshfs {

class Counted {
public:
    void count() {
        MutexLock lock(mutex_);
        ++count_;
        counted_.notify_all();
    }
    int now() {
        MutexLock lock(mutex_);
        return count_;
    }
    void wait_for(int count) {
        MutexLock lock(mutex_);
        while (count_ < count) counted_.wait(mutex_);
    }

private:
    Mutex mutex_;
    CondVar counted_;
    int count_ GUARDED_BY(mutex_) = 0;
};

// Holds up what is written to some objects until it is let go, or fails it.
class HoldingStore final : public ForwardingStore {
public:
    explicit HoldingStore(std::shared_ptr<MemoryCluster> cluster)
        : ForwardingStore(std::make_unique<MemoryStore>(std::move(cluster))) {}

    void hold(const std::string& name) {
        MutexLock lock(mutex_);
        held_[name];
    }
    // Of an object that is held: returns when a write to it has come.
    void wait_for(const std::string& name) {
        MutexLock lock(mutex_);
        while (held_.at(name).empty()) changed_.wait(mutex_);
    }
    size_t waiting(const std::string& name) {
        MutexLock lock(mutex_);
        return held_.at(name).size();
    }
    void let_go(const std::string& name, int code = 0) {
        std::vector<std::function<void(int)>> calls;
        {
            MutexLock lock(mutex_);
            calls = std::move(held_.at(name));
            held_.erase(name);
        }
        for (auto& call : calls) call(code);
    }
    void fail_next(const std::string& name, int code) {
        MutexLock lock(mutex_);
        failing_[name] = code;
    }

    // In the next `count` reads of that byte of the object it is another.
    void damage_next(const std::string& name, uint64_t at, int count = 1) {
        MutexLock lock(mutex_);
        damaging_[name] = {at, count};
    }

    void start(Mutation m, Then<void> then) override {
        std::string name = m.object().name;
        write(name, [this, m = std::move(m), then](int code) mutable {
            code == 0 ? inner_.start(std::move(m), std::move(then)) : elsewhere([then, code] { then(fail(code)); });
        });
    }
    void start(Transfer t, Then<size_t> then) override {
        if (t.direction == Transfer::Direction::read) return read(std::move(t), std::move(then));
        std::string name = t.object.name;
        write(name, [this, t = std::move(t), then](int code) mutable {
            code == 0 ? inner_.start(std::move(t), std::move(then)) : elsewhere([then, code] { then(fail(code)); });
        });
    }
    using ForwardingStore::start;

private:
    void read(Transfer t, Then<size_t> then) {
        uint64_t at = UINT64_MAX;  // in what is read
        {
            MutexLock lock(mutex_);
            auto damaging = damaging_.find(t.object.name);
            if (damaging != damaging_.end() && damaging->second.second > 0) at = damaging->second.first - t.offset;
            if (at < t.bytes.size()) --damaging->second.second;
        }
        if (at >= t.bytes.size()) return inner_.start(std::move(t), std::move(then));
        inner_.start(t, [at, bytes = t.bytes, then = std::move(then)](Result<size_t> got) mutable {
            bytes.data()[at] = static_cast<char>(bytes.data()[at] ^ 1);
            then(std::move(got));
        });
    }
    void write(const std::string& name, std::function<void(int)> call) {
        int code = 0;
        {
            MutexLock lock(mutex_);
            if (auto held = held_.find(name); held != held_.end()) {
                held->second.push_back(call);
                return changed_.notify_all();
            }
            if (auto failing = failing_.find(name); failing != failing_.end()) {
                code = failing->second;
                failing_.erase(failing);
            }
        }
        call(code);
    }
    // An answer never comes inside the call.
    void elsewhere(std::function<void()> answer) {
        inner_.start(Query({kMetaPool, "none"}).stat(), [answer](const Result<Answer>&) { answer(); });
    }

    Mutex mutex_;
    CondVar changed_;
    std::map<std::string, std::vector<std::function<void(int)>>> held_ GUARDED_BY(mutex_);
    std::map<std::string, int> failing_ GUARDED_BY(mutex_);
    std::map<std::string, std::pair<uint64_t, int>> damaging_ GUARDED_BY(mutex_);  // byte, how often
};

}  // namespace meshfs
