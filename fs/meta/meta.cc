// Meta: opens a session, and hands each call to its operation.  How another session begins is in anew.cc.
#include "fs/meta/meta.h"

#include <unistd.h>

#include <algorithm>

#include "fs/meta/core.h"
#include "fs/meta/group.h"
#include "fs/meta/ops/collect.h"
#include "fs/meta/ops/ops.h"
#include "fs/meta/registry.h"

namespace meshfs {

// By a kernel: of what nobody else can change; and of what they can, since each look by name asks anyway.
static constexpr int64_t kKeptAloneNs = 60 * kNsPerSecond, kKeptSharedNs = kNsPerSecond;

MetaCore::MetaCore(Store& store_, Clock& clock_, MetaOptions options_, VolumeInfo info)
    : held(store_, clock_,
           {.is_on = options_.hold && !options_.read_only,
            .is_synchronous = options_.synchronous,
            .commit_ns = options_.commit_ns,
            .names_among_others = options_.names == MetaOptions::Names::always}),
      store(held),
      clock(clock_),
      options(std::move(options_)),
      volume(std::move(info)) {}
// The last members go first: the session, which that thread looks at.
MetaCore::~MetaCore() {
    alone.reset();
    look_ahead.reset();
    held.stop_thread();
}

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
    // What is held by now is given to who asks anew.
    for (const auto& object : core.recalled.take())
        if (!core.held.holds(object)) let_go_of_leftover(core, {kMetaPool, object});
    tend_intents(core);
    if (core.alone && !core.options.background) core.alone->look();
}

// Its names come with the second look, if the first one could take it.  Who has it for himself is not asked to give it back.
static void read_ahead(MetaCore& core, Ino directory) {
    const GroupId group = place_of(directory).group;
    core.held.will_list(group);
    auto view = read_group_now(core, group_object(group), {});
    if (!view.ok() || !(view->lease.is_free() || view->lease.is_kept_by(core.session_id()))) return;
    (void)ops::get(core, directory);
}

Meta::Meta(Store& store, Clock& clock, MetaOptions options, VolumeInfo volume)
    : store_(store),
      clock_(clock),
      options_(std::move(options)),
      volume_(std::move(volume)),
      commit_ns_(options_.commit_ns),
      is_synchronous_(options_.synchronous) {}

// The session's threads tell this object of its death: they end while all of it is there.
Meta::~Meta() {
    stop_anew();
    core_.reset();
}

Result<std::unique_ptr<Meta>> Meta::open(Store& store, Clock& clock, MetaOptions options) {
    VolumeInfo info = TRY(read_volume(store));
    if (info.features_read_only != 0 && !options.read_only)
        return fail(EROFS, "the volume has features this MeshFS can only read (" +
                               std::to_string(info.features_read_only) + "): mount with -o ro");
    if (options.host.empty()) {
        char host[256] = "";
        if (gethostname(host, sizeof host - 1) == 0) options.host = host;
    }
    std::unique_ptr<Meta> meta(new Meta(store, clock, std::move(options), std::move(info)));
    TRY(meta->begin());
    if (meta->options_.background && !meta->options_.read_only && !store.is_exclusive())
        meta->anew_ = Thread("anew", [raw = meta.get()] { raw->run_anew(); });
    return meta;
}

Status Meta::begin() {
    MetaOptions options = options_;
    options.commit_ns = commit_ns_;
    options.synchronous = is_synchronous_;
    auto core = std::make_unique<MetaCore>(store_, clock_, std::move(options), volume_);
    if (!options_.read_only) {
        core->numbers = TRY(Numbers::take(store_, clock_));
        core->session = TRY(Session::begin(store_, clock_, volume_, core->numbers->session(), core->options));
        core->session->on_recall([core = core.get()](Recall recall) {
            const std::string object = recall.object;
            if (!core->rooms.tell(object) && !core->held.recall(std::move(recall))) core->recalled.push(object);
        });
        core->session->on_beat([core = core.get()] { tend(*core); });
        core->session->on_question([raw = core.get()](std::string_view question) {
            raw->held.note_others();
            return ops::answer_which_are_open(*raw, question);
        });
        core->session->on_death([this, core = core.get()] {
            core->intents.give_up();
            died();
        });
        core->held.begin(*core->session, core->intents, core->options.background);
        session_ = core->session_id();
        if (core->options.names == MetaOptions::Names::alone && core->options.hold && !store_.is_exclusive()) {
            core->alone = std::make_unique<Alone>(*core);
            core->options.background ? core->alone->start() : core->alone->look();
        }
        if (core->options.background && core->options.hold && !store_.is_exclusive())
            core->look_ahead = std::make_unique<LookAhead>([raw = core.get()](Ino directory) { read_ahead(*raw, directory); });
    }
    core_ = std::move(core);
    return {};
}

Status Meta::close() {
    stop_anew();
    MutexLock lock(anew_mutex_);
    if (!core_) return fail(ESHUTDOWN, "this mount was declared dead, and no other session could begin");
    core_->lock_watches.stop();
    if (core_->look_ahead) core_->look_ahead->stop();
    if (core_->alone) core_->alone->stop();
    if (!core_->session) return {};
    core_->session->stop_beats();
    tend(*core_);
    (void)ops::end_purges(*core_);  // else they are done again
    core_->reaches.close();
    core_->births.close();
    TRY(core_->held.end());
    tend_intents(*core_);  // what the last of it was announced by
    if (auto keys = core_->own_keys.take_dropped(); !keys.empty())
        (void)core_->session->apply(
            std::move(core_->session->own_change().remove_keys(keys)));  // else gc does
    // Not "ended" while something is half done: who looks at this session then finishes it as of one that
    // died.
    if (core_->intents.are_open()) return fail(EIO, "an operation on several objects did not come to its end");
    return core_->session->end();
}

// Answers what `call` answers; without a core ESHUTDOWN, if that is something to answer, or nothing.
template <class Call, class... Arguments>
auto Meta::with(Call call, Arguments&&... arguments) const {
    using Answer = decltype(call(*core_, std::forward<Arguments>(arguments)...));
    if (!gate_.enter()) {
        if constexpr (std::is_constructible_v<Answer, Error>)
            return Answer(fail(ESHUTDOWN, "this mount was declared dead and begins anew"));
        else return Answer();
    }
    struct Leave {
        Gate& gate;
        ~Leave() { gate.leave(); }
    } leave{gate_};
    return call(*core_, std::forward<Arguments>(arguments)...);
}

Result<Inode> Meta::lookup(Ino directory, std::string_view name) {
    return with(ops::lookup, directory, name);
}
Result<Inode> Meta::create(const CreateRequest& request) { return with(ops::create, request); }
Result<Inode> Meta::mkdir(const CreateRequest& request) { return with(ops::mkdir, request); }
Result<Inode> Meta::create_unnamed(const CreateRequest& request) {
    return with(ops::create_unnamed, request);
}
Result<Unlinked> Meta::unlink(Ino directory, std::string_view name) {
    return with(ops::unlink, directory, name);
}
Result<Unlinked> Meta::rmdir(Ino directory, std::string_view name) {
    return with(ops::rmdir, directory, name);
}
Result<Inode> Meta::link(Ino ino, Ino directory, std::string_view name) {
    return with(ops::link, ino, directory, name);
}
Result<Renamed> Meta::rename(const RenameRequest& request) { return with(ops::rename, request); }
Result<Renamed> Meta::publish(Ino ino, Ino directory, std::string_view name, const PublishCondition& when) {
    return with(ops::publish, ino, directory, name, when);
}
void Meta::will_list(Ino directory) {
    with([&](MetaCore& core) {
        core.held.will_list(place_of(directory).group);
        if (core.look_ahead) core.look_ahead->opened(directory);
    });
}
Result<ListPage> Meta::list(const ListRequest& request) {
    return with([&](MetaCore& core) {
        auto page = ops::list(core, request);
        if (core.look_ahead && page.ok()) {
            std::vector<Ino> directories;
            for (const DirectoryEntry& entry : page->entries)
                if (entry.type == S_IFDIR) directories.push_back(entry.ino);
            core.look_ahead->listed(request.directory, directories);
        }
        return page;
    });
}
Result<Inode> Meta::get(Ino ino) { return with(ops::get, ino); }
Result<Inode> Meta::change(Ino ino, const ChangeInode& change) { return with(ops::change, ino, change); }
Result<std::pair<Ino, std::string>> Meta::name_of(Ino ino) { return with(ops::name_of, ino); }

Status Meta::commit() {
    return with([](MetaCore& core) { return core.held.commit(); });
}
void Meta::set_commit(int64_t ns) {
    commit_ns_ = ns;
    with([=](MetaCore& core) { core.held.set_commit(ns); });
}
void Meta::set_synchronous(bool is_synchronous) {
    is_synchronous_ = is_synchronous;
    with([=](MetaCore& core) { core.held.set_synchronous(is_synchronous); });
}

Result<Inode> Meta::opened(Ino ino) { return with(ops::opened, ino); }
void Meta::released(Ino ino) { with(ops::released, ino); }
Result<std::vector<Purgeable>> Meta::purgeable(size_t max) { return with(ops::purgeable, max); }
Status Meta::purged(const Purgeable& item) { return with(ops::purged, item); }
void Meta::purge_later(const Purgeable& item) { with(ops::purge_later, item); }
size_t Meta::queued_for_purge() const {
    return with([](MetaCore& core) { return core.unlinked.size(); });
}
Result<Meta::GcReport> Meta::collect(std::function<void(uint64_t)> progress) {
    return with(ops::collect, progress);
}

Status Meta::lock(Ino ino, const FileLock& wanted, FileLock* conflict) {
    return with(ops::lock, ino, wanted, conflict);
}
Result<std::optional<FileLock>> Meta::test_lock(Ino ino, const FileLock& wanted) {
    return with(ops::test_lock, ino, wanted);
}
Status Meta::unlock(Ino ino, const FileLock& range) { return with(ops::unlock, ino, range); }
Status Meta::unlock_owner(Ino ino, FileLock::Family family, uint64_t owner) {
    return unlock(ino, {.family = family, .owner = owner});
}
void Meta::watch_locks(Ino ino, std::function<void()> changed) {
    with([&](MetaCore& core) { core.lock_watches.watch(core.store, ino, std::move(changed)); });
}
void Meta::unwatch_locks() {
    with([](MetaCore& core) { core.lock_watches.stop(); });
}

void Meta::ask_for_room(SessionId writer, Ino ino, uint64_t write_version) {
    with([&](MetaCore& core) { core.session->recall(writer, Rooms::recall_name(ino), write_version); });
}
void Meta::on_room_wanted(std::function<void(Ino)> wanted) {
    MutexLock lock(anew_mutex_);
    room_wanted_ = std::move(wanted);
    if (core_) core_->rooms.on_wanted(room_wanted_);
}
Result<bool> Meta::is_alive(SessionId other) {
    return with(
        [&](MetaCore& core) -> Result<bool> { return TRY(core.look_at(other)) == SessionState::alive; });
}

bool Meta::owe(Ino ino, uint64_t content_version) {
    return with([&](MetaCore& core) { return ops::owe(core, ino, content_version); });
}
void Meta::on_due(std::function<bool(GroupId)> pay) {
    MutexLock lock(anew_mutex_);
    due_ = pay;
    if (core_) core_->held.on_due(std::move(pay));
}

// None while there is no session: whoever stores under it finds that the store takes nothing from him either.
BlobId Meta::next_blob(Ino home) {
    return with([&](MetaCore& core) { return core.reaches.next(session(), home); });
}
Result<uint64_t> Meta::record_reach(BlobId blob, Ino home, uint64_t first_object, uint64_t last_object) {
    return with([&](MetaCore& core) -> Result<uint64_t> {
        TRY(core.check_may_change());
        return core.reaches.record(*core.session, blob, home, first_object, last_object);
    });
}
void Meta::forget_reach(BlobId blob) {
    with([&](MetaCore& core) { core.reaches.forget(blob); });
}
Result<std::vector<Meta::LeftReach>> Meta::left_reaches() { return with(ops::left_reaches); }
Result<bool> Meta::cleared(const LeftReach& reach) { return with(ops::cleared, reach); }
Result<bool> Meta::is_in_reach(BlobId blob) { return with(ops::is_in_reach, blob); }
Status Meta::note_dead_members(const std::vector<Extent>& members) { return with(ops::note_dead_members, members); }
Result<std::vector<Meta::DeadMembers>> Meta::dead_members() { return with(ops::dead_members); }
Result<uint64_t> Meta::dead_bytes(BlobId pack) { return with(ops::dead_bytes, pack); }
Status Meta::forget_dead_members(BlobId pack) { return with(ops::forget_dead_members, pack); }

const VolumeInfo& Meta::volume() const { return volume_; }
SessionId Meta::session() const { return session_; }
Result<std::vector<SessionInfo>> Meta::sessions() { return list_sessions(store_, clock_, session()); }
LeaseUsage Meta::lease_usage(bool with_directories) {
    return with([&](MetaCore& core) {
        LeaseUsage usage = core.held.usage();
        for (auto& contended : usage.contended) {
            if (!with_directories) break;
            auto view = read_group_now(core, {kMetaPool, contended.group}, {});
            if (view.ok() && !view->is_dead()) contended.directory = view->about.directory;
        }
        return usage;
    });
}
bool Meta::is_in_window() const {
    return with([](MetaCore& core) { return !core.session || core.session->is_in_window(); });
}
void Meta::tick() {
    with([](MetaCore& core) {
        if (core.session) core.session->tick();
    });
}

int64_t Meta::keep_name_ns() const { return store_.is_exclusive() ? kKeptAloneNs : 0; }
int64_t Meta::keep_name(const Inode& found, uint64_t since) {
    if (store_.is_exclusive()) return kKeptAloneNs;
    if (!found.from.names) return 0;
    return with([&](MetaCore& core) { return core.held.keep_names(*found.from.names, since); });
}
uint64_t Meta::moment() const {
    return with([](MetaCore& core) { return core.held.promises().moment(); });
}
int64_t Meta::promise(const Inode& inode, uint64_t since) {
    if (store_.is_exclusive()) return kKeptAloneNs;
    if (!inode.from.group) return 0;
    return with([&](MetaCore& core) -> int64_t {
        int64_t left = core.session ? core.session->window_left_ns() : 0;
        if (left <= 0 || !core.held.make_promise(*inode.from.group, inode.ino, since)) return 0;
        return std::min(left, kKeptSharedNs);
    });
}
bool Meta::is_promised(const Inode& inode) const {
    if (store_.is_exclusive()) return true;
    return inode.from.group && with([&](MetaCore& core) {
        return core.held.promises().is_made(group_object(*inode.from.group).name, inode.ino);
    });
}
void Meta::on_broken_promises(std::function<void(const std::vector<Ino>&)> broken) {
    MutexLock lock(anew_mutex_);
    broken_ = broken;
    if (core_) core_->held.promises().on_broken(std::move(broken));
}

}  // namespace meshfs
