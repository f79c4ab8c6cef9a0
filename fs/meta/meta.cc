// Meta: opens a session, and hands each call to its operation.
#include "fs/meta/meta.h"

#include <unistd.h>

#include <algorithm>

#include "fs/meta/core.h"
#include "fs/meta/group.h"
#include "fs/meta/ops/collect.h"
#include "fs/meta/ops/ops.h"
#include "fs/meta/registry.h"

namespace meshfs {

MetaCore::MetaCore(Store& store_, Clock& clock_, MetaOptions options_, VolumeInfo info)
    : held(store_, clock_, {.is_on = options_.hold && !options_.read_only && !store_.is_exclusive(),
                            .is_synchronous = options_.synchronous,
                            .commit_ns = options_.commit_ns}),
      store(held), clock(clock_), options(std::move(options_)), volume(std::move(info)) {}
MetaCore::~MetaCore() = default;

Status MetaCore::check_may_change() const {
    if (options.read_only) return fail(EROFS);
    return session->check_alive();
}

Status MetaCore::wait_for_free(const ObjectName& object) {
    for (int tries = 0;; ++tries) {
        auto view = read_group_now(*this, object, {});
        if (view.code() == ENOENT) return {};
        if (!view.ok()) return view.error();
        if (view->lease.is_free() || view->lease.is_kept_by(session_id()) || view->is_dead()) return {};
        TRY(wait_for_holder(*this, object, view->lease, view->lease_value, tries));
    }
}

Result<SessionState> MetaCore::look_at(SessionId other) {
    if (session) return session->look_at(other);
    // A mount that only reads judges nobody; but who else could have an embedded store?
    return store.is_exclusive() ? SessionState::dead : SessionState::alive;
}

// What lost answers left behind, each beat.
static void tend(MetaCore& core) {
    if (!core.options.background) core.held.tend();
    for (const auto& object : core.recalled.take()) let_go_of_leftover(core, {kMetaPool, object});
    tend_intents(core);
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
        core->session->on_recall([core = core.get()](const std::string& object) {
            if (!core->rooms.tell(object) && !core->held.recall(object)) core->recalled.push(object);
        });
        core->session->on_beat([core = core.get()] { tend(*core); });
        core->session->on_question([raw = core.get()](std::string_view question) {
            return ops::answer_which_are_open(*raw, question);
        });
        core->held.begin(*core->session, core->options.background);
    }
    return std::unique_ptr<Meta>(new Meta(std::move(core)));
}

Status Meta::close() {
    unwatch_locks();
    if (!core_->session) return {};
    core_->session->stop_beats();
    tend(*core_);
    (void)ops::end_purges(*core_);  // else they are done again
    if (auto keys = core_->reaches.take_removed(); !keys.empty())
        (void)core_->session->apply(std::move(core_->session->own_change().remove_keys(keys)));  // else gc does
    TRY(core_->held.end());
    // Not "ended" while something is half done: who looks at this session then finishes it as of one that died.
    if (core_->intents.are_open()) return fail(EIO, "an operation on several objects did not come to its end");
    return core_->session->end();
}

Result<Inode> Meta::lookup(Ino directory, std::string_view name) { return ops::lookup(*core_, directory, name); }
Result<Inode> Meta::create(const CreateRequest& request) { return ops::create(*core_, request); }
Result<Inode> Meta::mkdir(const CreateRequest& request) { return ops::mkdir(*core_, request); }
Result<Inode> Meta::create_unnamed(const CreateRequest& request) { return ops::create_unnamed(*core_, request); }
Result<Unlinked> Meta::unlink(Ino directory, std::string_view name) { return ops::unlink(*core_, directory, name); }
Result<Unlinked> Meta::rmdir(Ino directory, std::string_view name) { return ops::rmdir(*core_, directory, name); }
Result<Inode> Meta::link(Ino ino, Ino directory, std::string_view name) {
    return ops::link(*core_, ino, directory, name);
}
Result<Renamed> Meta::rename(const RenameRequest& request) { return ops::rename(*core_, request); }
Result<Renamed> Meta::publish(Ino ino, Ino directory, std::string_view name, const PublishCondition& when) {
    return ops::publish(*core_, ino, directory, name, when);
}
Result<ListPage> Meta::list(const ListRequest& request) { return ops::list(*core_, request); }
Result<Inode> Meta::get(Ino ino) { return ops::get(*core_, ino); }
Result<Inode> Meta::change(Ino ino, const ChangeInode& change) { return ops::change(*core_, ino, change); }
Result<std::pair<Ino, std::string>> Meta::name_of(Ino ino) { return ops::name_of(*core_, ino); }

Status Meta::commit() { return core_->held.commit(); }
void Meta::set_commit(int64_t ns) { core_->held.set_commit(ns); }
void Meta::set_synchronous(bool is_synchronous) { core_->held.set_synchronous(is_synchronous); }

Result<Inode> Meta::opened(Ino ino) { return ops::opened(*core_, ino); }
void Meta::released(Ino ino) { ops::released(*core_, ino); }
Result<std::vector<Purgeable>> Meta::purgeable(size_t max) { return ops::purgeable(*core_, max); }
Status Meta::purged(const Purgeable& item) { return ops::purged(*core_, item); }
Result<Meta::GcReport> Meta::collect(std::function<void(uint64_t)> progress) { return ops::collect(*core_, progress); }

Status Meta::lock(Ino ino, const FileLock& wanted, FileLock* conflict) {
    return ops::lock(*core_, ino, wanted, conflict);
}
Result<std::optional<FileLock>> Meta::test_lock(Ino ino, const FileLock& wanted) {
    return ops::test_lock(*core_, ino, wanted);
}
Status Meta::unlock(Ino ino, const FileLock& range) { return ops::unlock(*core_, ino, range); }
Status Meta::unlock_owner(Ino ino, FileLock::Family family, uint64_t owner) {
    return unlock(ino, {.family = family, .owner = owner});
}
void Meta::watch_locks(Ino ino, std::function<void()> changed) {
    core_->lock_watches.watch(core_->store, ino, std::move(changed));
}
void Meta::unwatch_locks() { core_->lock_watches.stop(); }

void Meta::ask_for_room(SessionId writer, Ino ino, uint64_t write_version) {
    core_->session->recall(writer, Rooms::recall_name(ino), write_version);
}
void Meta::on_room_wanted(std::function<void(Ino)> wanted) { core_->rooms.on_wanted(std::move(wanted)); }
Result<bool> Meta::is_alive(SessionId other) { return TRY(core_->look_at(other)) == SessionState::alive; }

BlobId Meta::next_blob(Ino home) { return core_->reaches.next(session(), home); }
Result<uint64_t> Meta::record_reach(BlobId blob, Ino home, uint64_t first_object, uint64_t last_object) {
    TRY(core_->check_may_change());
    return core_->reaches.record(*core_->session, blob, home, first_object, last_object);
}
void Meta::forget_reach(BlobId blob) { core_->reaches.forget(blob); }
Result<std::vector<Meta::LeftReach>> Meta::left_reaches() { return ops::left_reaches(*core_); }
Result<bool> Meta::cleared(const LeftReach& reach) { return ops::cleared(*core_, reach); }

const VolumeInfo& Meta::volume() const { return core_->volume; }
SessionId Meta::session() const { return core_->session_id(); }
Result<std::vector<SessionInfo>> Meta::sessions() { return list_sessions(core_->store, core_->clock, session()); }
bool Meta::is_in_window() const { return !core_->session || core_->session->is_in_window(); }
void Meta::tick() {
    if (core_->session) core_->session->tick();
}
int64_t Meta::cache_ns() const { return core_->store.is_exclusive() ? 60 * kNsPerSecond : 0; }

}  // namespace meshfs
