// For tests of HeldGroups: one on the session and stores of a mount, with two groups.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fs/meta/held_groups.h"
#include "fs/meta/ops/fixture.h"

namespace meshfs {

inline const ObjectName kGroup = group_object(GroupId{0x77}), kBorn = group_object(GroupId{0x78});

// On the fixture's session and stores; what is in the groups is nobody's business here.
class HeldGroupsTest : public MetaTest {
protected:
    HeldGroupsTest() : held_(*mount_->metered, mount_->clock, {}) {
        held_.begin(mount_->session(), mount_->meta->core().intents, false);
        set_lease(kGroup, free_lease(1));
        mount_->hooks->before_mutation = [this](const Mutation& m) {
            if (!m.object().name.starts_with("g.")) return;
            sent_.push_back(m);
            if (auto hook = std::exchange(at_next_, nullptr)) hook();
        };
    }
    ~HeldGroupsTest() override {
        (void)held_.end();
        mount_->hooks->before_mutation = nullptr;
    }

    void set_lease(const ObjectName& object, const Lease& lease) {
        ASSERT_OK(raw_.apply(std::move(Mutation(object).set_xattr(kLeaseXattr, encode(lease)))));
    }
    Lease stored_lease(const ObjectName& object = kGroup) {
        return must(decode_lease(must(raw_.ask(std::move(Query(object).xattrs()))).xattrs[kLeaseXattr]));
    }
    static std::string value_in(const Result<Answer>& answer, const std::string& key) {
        if (!answer.ok()) return errno_name(answer.code());
        auto found = answer->keys.find(key);
        return found == answer->keys.end() ? "-" : found->second;
    }
    std::string stored(const std::string& key, const ObjectName& object = kGroup) {
        return value_in(raw_.ask(std::move(Query(object).keys({key}))), key);
    }
    std::string answered(const std::string& key) {
        return value_in(held_.ask(std::move(Query(kGroup).xattrs().keys({key}))), key);
    }

    // As operations change a group: read it, take it if it is free, guard on what was read.
    Status change(const std::string& key, const std::string& value, const ObjectName& object = kGroup) {
        Answer now = must(held_.ask(std::move(Query(object).xattrs().keys({key}))));
        const std::string seen = now.xattrs[kLeaseXattr];
        Mutation m(object);
        m.xattr_is(kLeaseXattr, seen);
        m.key_is(key, now.keys.contains(key) ? std::optional(now.keys[key]) : std::nullopt);
        Lease lease = must(decode_lease(seen));
        auto wanted = lease.is_free() ? held_.wants(object, lease.epoch + 1) : std::nullopt;
        if (wanted) m.set_xattr(kLeaseXattr, encode(*wanted));
        m.set_keys({{key, value}});
        return held_.apply(std::move(m));
    }
    // As mkdir makes one.
    Status give_birth() {
        Mutation m(kBorn);
        m.absent().create().set_xattr(kLeaseXattr, encode(held_.wants(kBorn, 1).value_or(free_lease(1))));
        m.set_xattr(kAboutXattr, "about").set_keys({{"d", "inode"}});
        return held_.apply(std::move(m));
    }
    // Held, with one change that is not in the store.
    void make_dirty() {
        ASSERT_OK(change("n1", "taken"));
        ASSERT_OK(change("n2", "batched"));
        ASSERT_EQ(stored("n2"), "-");
        sent_.clear();
    }
    void beat_after(int64_t ns) {
        mount_->clock.advance_ns(ns);
        meta().tick();
    }

    HeldGroups held_;
    std::vector<Mutation> sent_;         // of groups
    std::function<void()> at_next_;      // before the next of them starts
};

}  // namespace meshfs
