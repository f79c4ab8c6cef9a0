// Meta: opens a session, and hands each call to its operation.
#include "fs/meta/meta.h"

#include <unistd.h>

#include <algorithm>

#include "fs/meta/core.h"
#include "fs/meta/group.h"
#include "fs/meta/ops/ops.h"
#include "fs/meta/registry.h"

namespace meshfs {

MetaCore::MetaCore(Store& store_, Clock& clock_, MetaOptions options_, VolumeInfo info)
    : store(store_), clock(clock_), options(std::move(options_)), volume(std::move(info)) {}
MetaCore::~MetaCore() = default;

Status MetaCore::check_may_change() const {
    if (options.read_only) return fail(EROFS);
    return session->check_alive();
}

Status MetaCore::wait_for_free(const ObjectName& group) {
    // Breaking lasts two calls of an rmdir.  Whoever has waited longer frees it: the rmdir's own guard then fails.
    constexpr int64_t kBreakingMaxNs = kNsPerSecond;
    std::string seen;
    int64_t since = clock.boot_ns();
    for (int tries = 0;; ++tries) {
        auto view = read_group_now(*this, group, {});
        if (view.code() == ENOENT) return {};
        if (!view.ok()) return view.error();
        if (view->lease.is_free() || view->is_dead()) return {};
        if (view->lease.kind != Lease::Kind::breaking)
            return fail(EOPNOTSUPP, "object " + group.name + " has a lease of a later MeshFS");
        if (view->lease_value != seen) seen = view->lease_value, since = clock.boot_ns();
        if (clock.boot_ns() - since >= kBreakingMaxNs)
            (void)store.apply(std::move(Mutation(group).xattr_is(kLeaseXattr, seen).set_xattr(
                kLeaseXattr, encode(free_lease(view->lease.epoch + 1)))));
        clock.sleep_ns(kNsPerMs << std::min(tries, 6));
    }
}

Meta::Meta(std::unique_ptr<MetaCore> core) : core_(std::move(core)) {}
Meta::~Meta() = default;

Result<std::unique_ptr<Meta>> Meta::open(Store& store, Clock& clock, MetaOptions options) {
    VolumeInfo info = TRY(read_volume(store));
    if (info.features_read_only != 0 && !options.read_only)
        return fail(EROFS, "the volume has features this MeshFS can only read (" +
                               std::to_string(info.features_read_only) + "): mount with -o ro");
    if (options.host.empty()) {
        char host[256] = "";
        if (gethostname(host, sizeof host - 1) == 0) options.host = host;
    }
    auto core = std::make_unique<MetaCore>(store, clock, std::move(options), std::move(info));
    if (!core->options.read_only) {
        core->numbers = TRY(Numbers::take(store, clock));
        core->session = TRY(Session::begin(store, clock, core->volume, core->numbers->session(), core->options));
    }
    return std::unique_ptr<Meta>(new Meta(std::move(core)));
}

Status Meta::close() { return core_->session ? core_->session->end() : Status(); }

Result<Inode> Meta::lookup(Ino directory, std::string_view name) { return ops::lookup(*core_, directory, name); }
Result<Inode> Meta::create(const CreateRequest& request) { return ops::create(*core_, request); }
Result<Inode> Meta::mkdir(const CreateRequest& request) { return ops::mkdir(*core_, request); }
Result<Inode> Meta::create_unnamed(const CreateRequest& request) { return ops::create_unnamed(*core_, request); }
Result<Unlinked> Meta::unlink(Ino directory, std::string_view name) { return ops::unlink(*core_, directory, name); }
Result<Unlinked> Meta::rmdir(Ino directory, std::string_view name) { return ops::rmdir(*core_, directory, name); }
Result<Renamed> Meta::rename(const RenameRequest& request) { return ops::rename(*core_, request); }
Result<Renamed> Meta::publish(Ino ino, Ino directory, std::string_view name, const PublishCondition& when) {
    return ops::publish(*core_, ino, directory, name, when);
}
Result<ListPage> Meta::list(const ListRequest& request) { return ops::list(*core_, request); }
Result<Inode> Meta::get(Ino ino) { return ops::get(*core_, ino); }
Result<Inode> Meta::change(Ino ino, const ChangeInode& change) { return ops::change(*core_, ino, change); }
Result<std::pair<Ino, std::string>> Meta::name_of(Ino ino) { return ops::name_of(*core_, ino); }

const VolumeInfo& Meta::volume() const { return core_->volume; }
SessionId Meta::session() const { return core_->session_id(); }
Result<std::vector<SessionInfo>> Meta::sessions() { return list_sessions(core_->store, session()); }
bool Meta::is_in_window() const { return !core_->session || core_->session->is_in_window(); }
void Meta::tick() {
    if (core_->session) core_->session->tick();
}
int64_t Meta::cache_ns() const { return core_->store.is_exclusive() ? 60 * kNsPerSecond : 0; }

}  // namespace meshfs
