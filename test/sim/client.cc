#include "test/sim/client.h"

#include <sys/stat.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "fs/base/clock.h"
#include "fs/meta/core.h"

namespace meshfs::sim {
namespace {

constexpr const char* kNames[] = {"a", "b", "c", "d"};

using Kind = Operation::Kind;
constexpr uint32_t kPermissions = 07777;
constexpr int64_t kTendNs = 20 * kNsPerMs;

// Errors that say what is; all others say that something went wrong on the way, and not how far it got.
bool is_answer(int code) {
    static const std::set<int> answers{0,      ENOENT,    EEXIST, EISDIR, ENOTDIR, ENOTEMPTY,
                                       EINVAL, ESTALE, EPERM,  EOPNOTSUPP};
    return answers.contains(code);
}

}  // namespace

Operation::Seen seen_of(const Inode& inode) {
    return {.ino = inode.ino, .is_directory = inode.is_directory(), .mode = inode.mode & kPermissions,
            .links = inode.is_directory() ? 0 : inode.links};
}

Client::Client(Shared& shared, uint32_t number, const SimFaults& faults)
    : shared_(shared),
      number_(number),
      faults_(faults),
      store_(std::make_unique<SimStore>(shared.cluster, shared.scheduler, number, faults)) {}

Client::~Client() {
    debtor_.reset();
    kernel_.reset();
    meta_.reset();
    store_->stop();
}

Status Client::mount() {
    for (int tries = 0;; ++tries) {
        auto meta = Meta::open(*store_, Clock::system(),
                               {.host = "client" + std::to_string(number_), .background = false,
                                .split_names = shared_.split_names, .hold = shared_.hold,
                                .synchronous = shared_.synchronous,
                                .names = !shared_.keeps_names         ? MetaOptions::Names::never
                                         : shared_.until_others_come ? MetaOptions::Names::alone
                                                                     : MetaOptions::Names::always});
        if (meta.ok()) {
            meta_ = std::move(meta).value();
            kernel_ = std::make_unique<Kernel>(*meta_, shared_.scheduler.random(), shared_.has_deaf_kernels, shared_.late_ns_max);
            if (shared_.owes) debtor_ = std::make_unique<Debtor>(*meta_, shared_.never_pays);
            return {};
        }
        if (tries == 5 || meta.code() == ESHUTDOWN) return meta.error();
        TRY(store_->restart());  // who finds what that try left, fences the client of it
    }
}

void Client::start_beats() {
    beats_run_ = true;
    beats_ = shared_.scheduler.spawn(number_, "beats " + std::to_string(number_), [this] {
        const int64_t pause_ns = meta_->volume().lease_seconds * kNsPerSecond / 10;
        while (!beats_end_) {
            meta_->tick();
            // Every other one answers at once what is wanted of it, as mounts do that have a thread for that.
            const int64_t step_ns = shared_.hold && number_ % 2 == 1 ? kTendNs : pause_ns;
            for (int64_t slept = 0; slept < pause_ns && !beats_end_; slept += step_ns) {
                Clock::system().sleep_ns(step_ns);
                if (step_ns < pause_ns) meta_->core().held.tend();
            }
        }
    });
}

void Client::stop_beats() {
    beats_end_ = true;
    if (beats_run_) (void)shared_.scheduler.join(beats_);
    beats_run_ = false;
}

void Client::unmount() {
    if (meta_ && !meta_->close().ok()) has_lost_ = true;
    if (!has_lost_) committed_ = shared_.history.size();
}

void Client::reap() {
    is_reaped_ = true;
    store_->reap();
}

void Client::commit() {
    const size_t before = shared_.history.size();
    if (debtor_ && !debtor_->pay_all().ok()) return;
    auto status = meta_->commit();
    if (status.ok() && !has_lost_) committed_ = before;
    if (status.ok()) tell_others();
    if (status.code() == EIO) has_lost_ = true;
}

void Client::tell_others() {
    shared_.files.insert(shared_.files.end(), own_files_.begin(), own_files_.end());
    own_files_.clear();
    shared_.directories.insert(shared_.directories.end(), own_directories_.begin(), own_directories_.end());
    own_directories_.clear();
}

bool Client::is_lost() const {
    return is_over_ || has_lost_ || !meta_ || !meta_->core().session->check_alive().ok();
}

void Client::forget_uncommitted() {
    for (size_t i = committed_; i < shared_.history.size(); ++i) {
        Operation& op = shared_.history[i];
        if (op.client != number_ || op.is_uncertain) continue;
        op.is_uncertain = true;
        op.answered = UINT64_MAX;
    }
}

std::string Client::draw_name() {
    return kNames[shared_.scheduler.random().below(shared_.is_narrow ? 2 : 4)];
}

// Old directories too: handles outlive what they lead to.
Ino Client::draw_directory() {
    auto& all = shared_.directories;
    if (shared_.crowded && shared_.scheduler.random().chance(0.3)) return *shared_.crowded;
    if (shared_.is_narrow && shared_.scheduler.random().chance(0.8))
        return all[shared_.scheduler.random().below(std::min<size_t>(all.size(), 3))];
    size_t at = shared_.scheduler.random().below(all.size() + own_directories_.size());
    return at < all.size() ? all[at] : own_directories_[at - all.size()];
}

Operation Client::draw() {
    Random& random = shared_.scheduler.random();
    static const Kind kinds[] = {Kind::create, Kind::create, Kind::create, Kind::mkdir,    Kind::mkdir,
                                 Kind::unlink, Kind::unlink, Kind::rmdir,  Kind::rename,   Kind::rename,
                                 Kind::rename, Kind::link,   Kind::lookup, Kind::set_mode, Kind::list,
                                 Kind::get,    Kind::lookup, Kind::get,    Kind::set_mode, Kind::set_mode};
    Operation op;
    op.kind = kinds[random.below(std::size(kinds))];
    if (shared_.files.empty() && (op.kind == Kind::link || op.kind == Kind::set_mode)) op.kind = Kind::create;
    op.directory = draw_directory();
    op.name = draw_name();
    op.mode = static_cast<uint32_t>(random.below(01000));
    if (shared_.crowded && random.chance(0.7)) {
        op.kind = shared_.history.size() / 20 % 2 == 0 ? Kind::create : Kind::unlink;
        op.directory = *shared_.crowded;
        return op;
    }
    switch (op.kind) {
        case Kind::rename:
            op.to_directory = random.chance(0.3) ? op.directory : draw_directory();
            op.to_name = draw_name();
            op.no_replace = random.chance(0.2);
            op.exchange = !op.no_replace && random.chance(0.2);
            break;
        case Kind::link:
        case Kind::set_mode: op.ino = shared_.files[random.below(shared_.files.size())]; break;
        case Kind::get: op.ino = shared_.files.empty() ? op.directory : shared_.files[random.below(shared_.files.size())]; break;
        default: break;
    }
    return op;
}

void Client::freeze_sometimes() {
    constexpr double kTimes = 4;  // of a store call: most operations make none
    Random& random = shared_.scheduler.random();
    if (!random.chance(kTimes * faults_.freeze)) return;
    shared_.scheduler.freeze(number_, static_cast<int64_t>(random.between(1, static_cast<uint64_t>(faults_.freeze_ns_max))));
    shared_.scheduler.yield();
}

void Client::do_some(size_t count) {
    Random& random = shared_.scheduler.random();
    for (size_t i = 0; i < count && !is_over_; ++i) {
        freeze_sometimes();
        Operation op = draw();
        if (shared_.keeps_names && !op.is_look() && random.chance(0.5)) look_before(op);
        Operation::Seen file = ask(op).seen;
        Ino seen = file.ino;
        if (shared_.owes && seen != Ino{} && !file.is_directory && random.chance(0.5))
            ask({.kind = Kind::set_mode, .ino = seen, .mode = static_cast<uint32_t>(random.below(01000))});
        if (op.is_look()) looks_.push_back(op);
        if (seen != Ino{}) looks_.push_back({.kind = Kind::get, .ino = seen});
        // Again and again the same: what a kernel keeps.
        while (!is_over_ && !looks_.empty() && random.chance(0.4)) ask(looks_[looks_.size() - 1 - random.below(std::min<size_t>(looks_.size(), 3))]);
        if (random.chance(0.15)) commit();
        if (random.chance(0.1)) Clock::system().sleep_ns(static_cast<int64_t>(random.below(4 * kNsPerSecond)));
    }
}

// As kernels do; and what they keep then is looked at later.
void Client::look_before(const Operation& op) {
    looks_.push_back({.kind = Kind::lookup, .directory = op.directory, .name = op.name});
    ask(looks_.back());
    if (op.kind != Kind::rename) return;
    looks_.push_back({.kind = Kind::lookup, .directory = op.to_directory, .name = op.to_name});
    ask(looks_.back());
}

Operation& Client::ask(Operation op) {
    op.client = number_;
    op.asked = ++shared_.moment;
    op.is_uncertain = true;  // as long as nobody has been told
    const size_t at = shared_.history.size();
    shared_.history.push_back(op);
    answer(op);
    if (kernel_ && !op.is_look()) kernel_->forget(op);
    op.is_uncertain = is_reaped_ || !is_answer(op.code);
    if (!op.is_uncertain) op.answered = ++shared_.moment;
    is_over_ |= is_reaped_ || op.code == ESHUTDOWN;
    if (op.code == 0 && op.seen.ino != Ino{}) {
        auto has = [&op](const std::vector<Ino>& all) { return std::find(all.begin(), all.end(), op.seen.ino) != all.end(); };
        auto& known = op.seen.is_directory ? shared_.directories : shared_.files;
        bool is_in_own = std::find(own_directories_.begin(), own_directories_.end(), op.directory) != own_directories_.end();
        if (op.kind == Kind::mkdir) own_directories_.push_back(op.seen.ino);
        else if (op.kind == Kind::create && is_in_own) own_files_.push_back(op.seen.ino);
        else if (!has(known) && !has(own_directories_) && !has(own_files_)) known.push_back(op.seen.ino);
    }
    shared_.history[at] = op;
    if (op.is_name_alone && !op.is_uncertain) {
        Operation get = op;
        get.kind = Kind::get;
        get.ino = op.seen.ino;
        get.is_name_alone = false;
        shared_.history.push_back(get);
    }
    shared_.history[at].is_of_ranges = op.kind == Kind::list && shared_.split_names <= std::size(kNames);
    return shared_.history[at];
}

namespace {

void answer_list(Meta& meta, Operation& op) {
    ListRequest request{.directory = op.directory};
    auto page = meta.list(request);
    op.code = page.code();
    if (!page.ok()) return;
    for (const DirectoryEntry& entry : page->entries) {
        auto [it, is_new] = op.listed.emplace(entry.name, Operation::Seen{.ino = entry.ino, .is_directory = S_ISDIR(entry.type)});
        if (!is_new) op.listed.emplace(entry.name + " (twice)", Operation::Seen{});
    }
    if (page->more) op.listed.emplace("(more)", Operation::Seen{});
}

}  // namespace

void Client::answer(Operation& op) {
    auto note = [&op](const auto& result) {
        op.code = result.code();
        if (result.ok()) op.seen = seen_of(*result);
    };
    CreateRequest request{.directory = op.directory, .name = op.name};
    switch (op.kind) {
        case Kind::create: request.mode = S_IFREG | op.mode; return note(meta_->create(request));
        case Kind::mkdir: request.mode = S_IFDIR | op.mode; return note(meta_->mkdir(request));
        case Kind::link: return note(meta_->link(op.ino, op.directory, op.name));
        case Kind::lookup:
        case Kind::get: return debtor_ ? debtor_->look(op, *kernel_) : kernel_->answer(op);
        case Kind::list: return answer_list(*meta_, op);
        case Kind::set_mode:
            if (debtor_ && (debtor_->put_off(op) || op.code != 0)) return;
            return note(meta_->change(op.ino, [&op](InodeChange& change) -> Status {
                change.inode.mode = (change.inode.mode & ~kPermissions) | op.mode;
                return {};
            }));
        case Kind::unlink:
        case Kind::rmdir: {
            auto gone = op.kind == Kind::unlink ? meta_->unlink(op.directory, op.name) : meta_->rmdir(op.directory, op.name);
            op.code = gone.code();
            if (gone.ok()) op.seen = seen_of(gone->inode);
            if (gone.ok() && op.kind == Kind::rmdir) op.seen.is_directory = true;
            return;
        }
        case Kind::rename: {
            RenameRequest r{.from_directory = op.directory, .from_name = op.name, .to_directory = op.to_directory,
                            .to_name = op.to_name, .no_replace = op.no_replace, .exchange = op.exchange};
            op.code = meta_->rename(r).code();
            return;
        }
    }
}

void Client::look_at_everything() {
    std::set<Ino> met{kRootIno};
    std::vector<Ino> queue{kRootIno};
    while (!queue.empty()) {
        Ino directory = queue.back();
        queue.pop_back();
        auto listed = ask({.kind = Kind::list, .directory = directory}).listed;
        for (const auto& [name, entry] : listed) {
            Operation op{.kind = Kind::lookup, .directory = directory, .name = name};
            ask(op);
            ask({.kind = Kind::get, .ino = entry.ino});
            if (entry.is_directory && met.insert(entry.ino).second) queue.push_back(entry.ino);
        }
    }
}

}  // namespace meshfs::sim
