#include "fs/vfs/check/scene.h"

namespace meshfs::check {
namespace {

Status told(const Status& done) {
    return done.code() == ECANCELED ? Status(fail(ECANCELED, "it changed meanwhile")) : done;
}

}  // namespace

Status Scene::read_numbers() {
    auto answer = TRY(store.ask(std::move(Query(volume_object()).xattrs())));
    auto numbers = TRY(decode_at(decode_numbers, volume_object(), kNumbersXattr, answer.xattrs[kNumbersXattr]));
    MutexLock lock(mutex_);
    numbers_ = numbers;
    return {};
}

Result<bool> Scene::is_given(GroupId group) {
    for (bool again : {true, false}) {
        {
            MutexLock lock(mutex_);
            if (raw(group) < numbers_.next_group) return true;
        }
        if (again) TRY(read_numbers());
    }
    return false;
}

Result<bool> Scene::is_given(SessionId session) {
    for (bool again : {true, false}) {
        {
            MutexLock lock(mutex_);
            if (raw(session) < numbers_.next_session) return true;
        }
        if (again) TRY(read_numbers());
    }
    return false;
}

// Read again if a member is missing: the pack may have grown.
Result<std::string> Scene::wrong_in_pack(Pool pool, const Extent& extent) {
    std::string wrong;
    for (bool again : {true, false}) {
        {
            MutexLock lock(mutex_);
            if (auto known = packs_.find(extent.blob); known != packs_.end()) {
                for (const PackMember& member : known->second.members)
                    if (is_of(member, extent.blob, extent)) return std::string();
                const Status& damage = known->second.damage;
                wrong = damage.ok() ? "object " + pack_object(pool, extent.blob).name + " has no such member"
                                    : damage.error().detail();
            }
        }
        if (!again) break;
        auto scan = scan_pack(store, pool, extent.blob);
        if (scan.code() == ENOENT) return "object " + pack_object(pool, extent.blob).name + " is missing";
        if (!scan.ok()) return scan.error();
        ++objects;
        MutexLock lock(mutex_);
        if (packs_.size() >= kPacksMax) packs_.clear();
        packs_[extent.blob] = std::move(*scan);
    }
    return wrong;
}

Status mend_keys(Scene& scene, const ObjectName& object, const std::vector<AsRead>& as_read,
                 const std::vector<std::string>& others, std::vector<Key> set,
                 const std::vector<std::string>& removed) {
    Wanted wanted{.keys = others};
    for (const auto& [key, value] : as_read) wanted.keys.push_back(key);
    GroupView view = TRY(read_group_now(scene.core, object, wanted));
    if (view.lease.is_exclusive_of(scene.core.session_id()) ? !view.lease.is_kept_by(scene.core.session_id())
                                                            : !view.lease.is_free())
        return fail(EBUSY, "object " + object.name + " is held");
    Mutation m(object);
    m.xattr_is(kLeaseXattr, view.lease_value);
    auto now = [&](const std::string& key) {
        const std::string* value = view.key(key);
        return value == nullptr ? std::nullopt : std::optional(*value);
    };
    for (const auto& [key, value] : as_read) {
        if (now(key) != value) return fail(ECANCELED, "it changed meanwhile");
        m.key_is(key, value);
    }
    for (const auto& key : others) m.key_is(key, now(key));
    if (!removed.empty()) m.remove_keys(removed);
    if (!set.empty()) m.set_keys(std::move(set));
    Status done = scene.store.apply(std::move(m));
    return told(done);
}

Status take_away(Scene& scene, const ObjectName& object, const std::string& key, const std::string& value) {
    std::string kept = std::string(1, kTakenAway) + key;
    // An empty value cannot be there.
    return mend_keys(scene, object, {{key, value}}, {}, {{kept, value}}, {key});
}

Status mend_xattr(Scene& scene, const ObjectName& object, const char* name, std::optional<std::string> before,
                  std::string after) {
    Mutation m(object);
    m.exists().xattr_is(name, std::move(before)).set_xattr(name, std::move(after));
    Status done = scene.store.apply(std::move(m));
    return told(done);
}

uint64_t new_epoch(Scene& scene) {
    Time now = scene.core.now();
    return static_cast<uint64_t>(now.seconds) * 1000 + now.ns / 1'000'000;
}

}  // namespace meshfs::check
