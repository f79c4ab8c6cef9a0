#include "fs/store/memory_cluster.h"

#include <algorithm>
#include <atomic>
#include <optional>

#include "fs/base/wire.h"

namespace meshfs {

struct MemoryCluster::Body {
    std::map<std::string, std::string> xattrs;
    std::map<std::string, std::string> keys;
    std::string bytes;
    Time mtime;

    uint64_t cost() const {
        uint64_t sum = bytes.size();
        for (const auto& [name, value] : xattrs) sum += name.size() + value.size();
        for (const auto& [name, value] : keys) sum += name.size() + value.size();
        return sum;
    }
};

// As RADOS' snap sets: a clone bears the newest snapshot that saw it, and knows which ones did.
struct MemoryCluster::Object {
    struct Clone {
        std::shared_ptr<Body> body;
        std::vector<uint64_t> snaps;
    };
    std::shared_ptr<Body> head;  // none: removed, but clones may be left
    uint64_t sequence = 0;       // the newest snapshot a change has known
    std::map<uint64_t, Clone> clones;
};

struct MemoryCluster::Watcher {
    ClientId client;
    ObjectName object;
    MailHandler handler;
    std::shared_ptr<MemoryInbox> inbox;
    Gate calls;  // open while the mailbox lives
};

// One notify: who has not answered yet.  Shared by the acknowledgements and the deadline.
struct MemoryCluster::Notification {
    Mutex mutex;
    std::vector<std::pair<const Watcher*, ClientId>> waiting GUARDED_BY(mutex);
    Acks acks GUARDED_BY(mutex);
    Then<Acks> then GUARDED_BY(mutex);  // none: told
    std::shared_ptr<MemoryInbox> inbox;

    void tell() REQUIRES(mutex) {
        for (const auto& [watcher, client] : waiting) acks.silent.push_back(client);
        waiting.clear();
        bool is_cut_off = !acks.silent.empty() && inbox->is_stopped();
        Result<Acks> result = std::move(acks);
        if (is_cut_off) result = fail(ETIMEDOUT);
        inbox->post(0, [then = std::move(then), result = std::move(result)] { then(result); });
        then = nullptr;
    }
    void answer(const Watcher* from, Buffer reply) {
        MutexLock lock(mutex);
        auto it = std::find_if(waiting.begin(), waiting.end(), [&](auto& w) { return w.first == from; });
        if (it == waiting.end()) return;  // twice, or too late
        acks.answered.emplace_back(it->second, std::move(reply));
        waiting.erase(it);
        if (waiting.empty()) tell();
    }
    void give_up() {
        MutexLock lock(mutex);
        if (then) tell();
    }
};

class MemoryCluster::MemoryMailbox final : public Mailbox {
public:
    MemoryMailbox(std::shared_ptr<MemoryCluster> cluster, std::shared_ptr<Watcher> watcher)
        : cluster_(std::move(cluster)), watcher_(std::move(watcher)) {}
    ~MemoryMailbox() override {
        cluster_->forget_watcher(watcher_);
        watcher_->calls.close();
    }

private:
    std::shared_ptr<MemoryCluster> cluster_;
    std::shared_ptr<Watcher> watcher_;  // also of messages under way
};

namespace {

std::string next_uuid() {
    static std::atomic<uint64_t> last{0};
    return "memory-" + hex(++last);
}

RangeAnswer read_range(const std::map<std::string, std::string>& keys, const Query::Range& range) {
    RangeAnswer answer;
    auto it = range.prefix > range.after ? keys.lower_bound(range.prefix) : keys.upper_bound(range.after);
    size_t bytes = 0;
    for (; it != keys.end() && it->first.starts_with(range.prefix); ++it) {
        size_t cost = it->first.size() + it->second.size();
        bool is_full = answer.entries.size() >= range.entries_max ||
                       (!answer.entries.empty() && bytes + cost > range.bytes_max);
        if (is_full) {
            answer.more = true;
            break;
        }
        bytes += cost;
        answer.entries.emplace_back(*it);
    }
    return answer;
}

const std::string* value_in(const std::map<std::string, std::string>& map, const std::string& name) {
    auto it = map.find(name);
    return it == map.end() ? nullptr : &it->second;
}

}  // namespace

MemoryCluster::MemoryCluster(uint64_t capacity_bytes, Clock& clock)
    : capacity_bytes_(capacity_bytes), clock_(clock), uuid_(next_uuid()) {}
MemoryCluster::~MemoryCluster() = default;

ClientId MemoryCluster::add_client() {
    MutexLock lock(mutex_);
    return "client." + std::to_string(++last_client_);
}

Status MemoryCluster::judge(const Body* body, const std::vector<Guard>& guards, bool creates) const {
    for (const Guard& g : guards)
        if (g.kind == Guard::Kind::absent && body != nullptr) return fail(EEXIST);
    for (const Guard& g : guards) {
        if (g.kind == Guard::Kind::absent) continue;
        bool sees_new_object = creates && g.kind == Guard::Kind::key_is;
        if (body == nullptr && !sees_new_object) return fail(ENOENT);
    }
    for (const Guard& g : guards) {
        if (g.kind == Guard::Kind::absent || g.kind == Guard::Kind::exists) continue;
        const std::string* found = nullptr;
        if (body != nullptr) found = value_in(g.kind == Guard::Kind::key_is ? body->keys : body->xattrs, g.name);
        bool is_equal = g.value ? found != nullptr && *found == *g.value : found == nullptr;
        if (is_equal == (g.kind == Guard::Kind::xattr_is_not)) return fail(ECANCELED);
    }
    return {};
}

Status MemoryCluster::foresee(const Body* body, const Mutation& mutation) const {
    using enum Effect::Kind;
    bool is_there = body != nullptr, grows = false;
    for (const Guard& g : mutation.guards()) is_there |= g.kind == Guard::Kind::absent;
    for (const Effect& e : mutation.effects()) {
        if (e.makes_object()) {
            is_there = grows = true;
        } else if (!is_there) {
            return fail(ENOENT);
        }
        if (e.kind == remove) is_there = false;
    }
    if (grows && used_bytes_ + mutation.bytes() > capacity_bytes_) return fail(ENOSPC);
    return {};
}

// The first change under a newer snapshot keeps what the snapshots since the last one saw.
void MemoryCluster::keep_for_snapshots(Object& object, const SnapContext& snaps) {
    if (snaps.sequence <= object.sequence) return;
    std::vector<uint64_t> seen_by;
    for (SnapId snap : snaps.snaps)
        if (raw(snap) > object.sequence && !removed_snaps_.contains(raw(snap))) seen_by.push_back(raw(snap));
    object.sequence = snaps.sequence;
    if (object.head == nullptr || seen_by.empty()) return;
    uint64_t newest = *std::max_element(seen_by.begin(), seen_by.end());
    used_bytes_ += object.head->cost();
    object.clones[newest] = {std::make_shared<Body>(*object.head), std::move(seen_by)};
}

void MemoryCluster::take_effect(std::shared_ptr<Body>& body, const Effect& e) {
    using enum Effect::Kind;
    auto put = [this](std::map<std::string, std::string>& map, const std::string& name,
                      const std::string& value) REQUIRES(mutex_) {
        auto [it, is_new] = map.try_emplace(name, value);
        if (is_new) {
            used_bytes_ += name.size() + value.size();
        } else {
            used_bytes_ += value.size() - it->second.size();
            it->second = value;
        }
    };
    auto erase = [this](std::map<std::string, std::string>& map, const std::string& name) REQUIRES(mutex_) {
        auto it = map.find(name);
        if (it == map.end()) return;
        used_bytes_ -= it->first.size() + it->second.size();
        map.erase(it);
    };
    auto resize = [&](uint64_t size) REQUIRES(mutex_) {
        used_bytes_ += size - body->bytes.size();
        body->bytes.resize(size);
    };

    if (e.kind == remove) {
        used_bytes_ -= body->cost();
        body = nullptr;
        return;
    }
    if (body == nullptr) body = std::make_shared<Body>();
    body->mtime = clock_.now();
    switch (e.kind) {
        case create:
        case remove: break;
        case set_xattr: put(body->xattrs, e.name, e.value); break;
        case remove_xattr: erase(body->xattrs, e.name); break;
        case set_keys:
            for (const auto& [name, value] : e.keys) put(body->keys, name, value);
            break;
        case remove_keys:
            for (const auto& [name, value] : e.keys) erase(body->keys, name);
            break;
        case clear_keys:
            for (const auto& [name, value] : body->keys) used_bytes_ -= name.size() + value.size();
            body->keys.clear();
            break;
        case write_full: resize(e.bytes.size()); [[fallthrough]];
        case write: {
            uint64_t offset = e.kind == write ? e.offset : 0;
            if (e.bytes.empty()) break;
            if (offset + e.bytes.size() > body->bytes.size()) resize(offset + e.bytes.size());
            std::memcpy(body->bytes.data() + offset, e.bytes.data(), e.bytes.size());
            break;
        }
        case truncate: resize(e.offset); break;
        case zero: {  // never makes it longer
            uint64_t end = std::min<uint64_t>(e.offset + e.length, body->bytes.size());
            if (e.offset < end) std::memset(body->bytes.data() + e.offset, 0, end - e.offset);
            break;
        }
    }
}

Status MemoryCluster::mutate(const ClientId& client, const Mutation& mutation) {
    MutexLock lock(mutex_);
    if (fenced_.contains(client)) return fail(ESHUTDOWN);
    auto it = objects_.find(mutation.object());
    const Body* before = it == objects_.end() ? nullptr : it->second.head.get();
    bool creates = false;
    for (const Guard& g : mutation.guards()) creates |= g.kind == Guard::Kind::absent;
    for (const Effect& e : mutation.effects()) creates |= e.kind == Effect::Kind::create;
    TRY(judge(before, mutation.guards(), creates));
    TRY(foresee(before, mutation));
    bool makes = creates && before == nullptr;
    if (mutation.effects().empty() && !makes) return {};

    Object& object = objects_[mutation.object()];
    keep_for_snapshots(object, mutation.snaps());
    bool was_there = object.head != nullptr;
    if (makes) take_effect(object.head, {.kind = Effect::Kind::create});
    for (const Effect& e : mutation.effects()) take_effect(object.head, e);
    if (was_there && object.head == nullptr) lose_watchers(mutation.object());
    drop_if_empty(mutation.object());
    return {};
}

void MemoryCluster::drop_if_empty(const ObjectName& name) {
    auto it = objects_.find(name);
    // Without clones nothing is lost with the sequence: what comes next was made after these snapshots,
    // but only its first writer's context says so, as on RADOS.
    if (it != objects_.end() && it->second.head == nullptr && it->second.clones.empty()) objects_.erase(it);
}

const MemoryCluster::Body* MemoryCluster::body_at(const ObjectName& name, SnapId at) const {
    auto it = objects_.find(name);
    if (it == objects_.end()) return nullptr;
    const Object& object = it->second;
    if (at == SnapId::head || raw(at) > object.sequence) return object.head.get();
    auto clone = object.clones.lower_bound(raw(at));
    if (clone == object.clones.end()) return nullptr;
    const auto& snaps = clone->second.snaps;  // older than all of these: made later
    if (*std::min_element(snaps.begin(), snaps.end()) > raw(at)) return nullptr;
    return clone->second.body.get();
}

Result<Answer> MemoryCluster::query(const ClientId& client, const Query& query) {
    MutexLock lock(mutex_);
    if (fenced_.contains(client)) return fail(ESHUTDOWN);
    const Body* body = body_at(query.object(), query.at());
    if (body == nullptr) return fail(ENOENT);
    TRY(judge(body, query.guards(), false));
    Answer answer;
    if (query.wants_stat()) {
        answer.size = body->bytes.size();
        answer.mtime = body->mtime;
    }
    if (query.wants_xattrs()) answer.xattrs = body->xattrs;
    for (const auto& name : query.wanted_keys())
        if (const std::string* value = value_in(body->keys, name)) answer.keys.emplace(name, *value);
    for (const auto& range : query.ranges()) answer.ranges.push_back(read_range(body->keys, range));
    for (const auto& [offset, length] : query.byte_ranges()) {
        std::string_view bytes = body->bytes;
        bytes.remove_prefix(std::min<uint64_t>(offset, bytes.size()));
        answer.bytes.push_back({});
        if (!bytes.empty() && length > 0) answer.bytes.back().push_back(Buffer::copy_of(bytes.substr(0, length)));
    }
    return answer;
}

Result<size_t> MemoryCluster::transfer(const ClientId& client, Transfer& transfer) {
    if (transfer.direction == Transfer::Direction::write) {
        size_t size = transfer.bytes.size();
        TRY(mutate(client, Mutation(transfer.object, transfer.snaps).write(transfer.offset, transfer.bytes)));
        return size;
    }
    MutexLock lock(mutex_);
    if (fenced_.contains(client)) return fail(ESHUTDOWN);
    const Body* body = body_at(transfer.object, transfer.at);
    if (body == nullptr) return fail(ENOENT);
    if (transfer.offset >= body->bytes.size()) return size_t{0};
    size_t count = std::min<uint64_t>(transfer.bytes.size(), body->bytes.size() - transfer.offset);
    std::memcpy(transfer.bytes.data(), body->bytes.data() + transfer.offset, count);
    return count;
}

Result<SnapId> MemoryCluster::create_snap(const ClientId& client) {
    MutexLock lock(mutex_);
    if (fenced_.contains(client)) return fail(ESHUTDOWN);
    return SnapId{++last_snap_};
}

Status MemoryCluster::remove_snap(const ClientId& client, SnapId snap) {
    MutexLock lock(mutex_);
    if (fenced_.contains(client)) return fail(ESHUTDOWN);
    if (snap == SnapId::head || raw(snap) == 0 || raw(snap) > last_snap_) return fail(ENOENT);
    removed_snaps_.insert(raw(snap));
    for (auto it = objects_.begin(); it != objects_.end();) {
        Object& object = it->second;
        for (auto clone = object.clones.begin(); clone != object.clones.end();) {
            auto& snaps = clone->second.snaps;
            snaps.erase(std::remove(snaps.begin(), snaps.end(), raw(snap)), snaps.end());
            if (snaps.empty()) used_bytes_ -= clone->second.body->cost();
            clone = snaps.empty() ? object.clones.erase(clone) : std::next(clone);
        }
        it = object.head == nullptr && object.clones.empty() ? objects_.erase(it) : std::next(it);
    }
    return {};
}

void MemoryCluster::fence(const ClientId& client) {
    MutexLock lock(mutex_);
    fenced_.insert(client);
    for (auto& [object, watchers] : watchers_)
        for (auto it = watchers.begin(); it != watchers.end();) {
            if ((*it)->client != client) {
                ++it;
                continue;
            }
            auto watcher = *it;
            it = watchers.erase(it);
            watcher->inbox->post(0, [watcher] {
                if (!watcher->calls.enter()) return;
                watcher->handler.lost(ESHUTDOWN);
                watcher->calls.leave();
            });
        }
}

bool MemoryCluster::is_fenced(const ClientId& client) {
    MutexLock lock(mutex_);
    return fenced_.contains(client);
}

void MemoryCluster::lose_watchers(const ObjectName& name) {
    auto found = watchers_.find(name);
    if (found == watchers_.end()) return;
    for (auto& watcher : found->second)
        watcher->inbox->post(0, [watcher] {
            if (!watcher->calls.enter()) return;
            watcher->handler.lost(ENOENT);
            watcher->calls.leave();
        });
    watchers_.erase(found);
}

void MemoryCluster::forget_watcher(const std::shared_ptr<Watcher>& watcher) {
    MutexLock lock(mutex_);
    auto found = watchers_.find(watcher->object);
    if (found == watchers_.end()) return;
    std::erase(found->second, watcher);
    if (found->second.empty()) watchers_.erase(found);
}

Result<std::unique_ptr<Mailbox>> MemoryCluster::open_mailbox(const ClientId& client, const ObjectName& object,
                                                             MailHandler handler,
                                                             std::shared_ptr<MemoryInbox> inbox) {
    MutexLock lock(mutex_);
    if (fenced_.contains(client)) return fail(ESHUTDOWN);
    if (body_at(object, SnapId::head) == nullptr) return fail(ENOENT);
    auto watcher = std::make_shared<Watcher>();
    watcher->client = client;
    watcher->object = object;
    watcher->handler = std::move(handler);
    watcher->inbox = std::move(inbox);
    watchers_[object].push_back(watcher);
    return std::unique_ptr<Mailbox>(new MemoryMailbox(shared_from_this(), watcher));
}

void MemoryCluster::notify(const ClientId& client, const ObjectName& object, Buffer message, int64_t timeout_ns,
                           Then<Acks> then, std::shared_ptr<MemoryInbox> inbox) {
    std::vector<std::shared_ptr<Watcher>> watchers;
    int code = 0;
    {
        MutexLock lock(mutex_);
        if (fenced_.contains(client)) code = ESHUTDOWN;
        else if (body_at(object, SnapId::head) == nullptr) code = ENOENT;
        else if (auto it = watchers_.find(object); it != watchers_.end()) watchers = it->second;
    }
    if (code != 0) return inbox->post(0, [then, code] { then(fail(code)); });

    auto notification = std::make_shared<Notification>();
    {
        MutexLock lock(notification->mutex);
        notification->then = std::move(then);
        notification->inbox = inbox;
        for (const auto& w : watchers) notification->waiting.emplace_back(w.get(), w->client);
        if (watchers.empty()) notification->tell();
    }
    for (const auto& watcher : watchers)
        watcher->inbox->post(0, [watcher, message, notification] {
            if (!watcher->calls.enter()) return;
            watcher->handler.message(
                message, [watcher, notification](Buffer reply) { notification->answer(watcher.get(), std::move(reply)); });
            watcher->calls.leave();
        });
    if (!watchers.empty()) inbox->post(timeout_ns, [notification] { notification->give_up(); });
}

Capacity MemoryCluster::capacity() {
    MutexLock lock(mutex_);
    Capacity c;
    c.total = capacity_bytes_;
    c.used = std::min(used_bytes_, capacity_bytes_);
    c.available = c.total - c.used;
    for (const auto& [name, object] : objects_) c.objects += object.head != nullptr;
    return c;
}

std::vector<std::string> MemoryCluster::names(Pool pool) {
    MutexLock lock(mutex_);
    std::vector<std::string> names;
    for (const auto& [name, object] : objects_)
        if (name.pool == pool && object.head != nullptr) names.push_back(name.name);
    return names;
}

}  // namespace meshfs
