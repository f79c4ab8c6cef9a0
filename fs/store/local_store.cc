#include "fs/store/local_store.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/base/waiting.h"
#include "fs/store/local_committer.h"
#include "fs/store/local_directory.h"
#include "fs/store/local_keeper.h"
#include "fs/store/local_mailbox.h"
#include "fs/store/local_query.h"

namespace meshfs {
namespace {

using namespace local;

constexpr size_t kReadThreads = 8;
// Bytes that are left free: RocksDB must not meet a full disk.
uint64_t reserve_of(uint64_t total) {
    constexpr uint64_t kEnough = 256u << 20;
    return std::max(total / 100, std::min(kEnough, total / 8));
}
constexpr uint64_t kSpaceEveryNs = 10 * kNsPerMs;

// How much there is on the disk below; looked at every 10 ms at most.  Committer's thread.
class SpaceBelow {
public:
    SpaceBelow(std::string path, uint64_t room_bytes) : path_(std::move(path)), room_bytes_(room_bytes) {}
    Space look() {
        int64_t now_ns = Clock::system().boot_ns();
        if (room_bytes_ == 0 && now_ns - looked_ns_ < static_cast<int64_t>(kSpaceEveryNs)) return last_;
        looked_ns_ = now_ns;
        struct statvfs st {};
        if (statvfs(path_.c_str(), &st) != 0) return last_;
        last_.total = uint64_t{st.f_blocks} * st.f_frsize;
        last_.available = uint64_t{st.f_bavail} * st.f_frsize;
        last_.reserve = reserve_of(last_.total);
        if (room_bytes_ != 0) last_ = {room_bytes_, room_bytes_ - std::min(room_bytes_, used_), 1};
        return last_;
    }
    void use(uint64_t bytes) { used_ += bytes; }

private:
    const std::string path_;
    const uint64_t room_bytes_;  // a test's small disk: all that was ever written counts
    uint64_t used_ = 0;
    int64_t looked_ns_ = -kNsPerSecond;
    Space last_{UINT64_MAX, UINT64_MAX, 0};
};

class LocalStore final : public Store {
public:
    LocalStore(std::unique_ptr<Directory> directory, std::unique_ptr<Rows> rows, const StoreOptions& options,
               DiskParts parts, std::string name)
        : directory_(std::move(directory)),
          rows_(std::move(rows)),
          files_(directory_->files_path(), std::move(parts.synced)),
          space_(directory_->path(), parts.room_bytes),
          is_read_only_(options.read_only),
          name_(std::move(name)),
          client_("local:" + std::to_string(getpid())),
          mailboxes_(client_),
          readers_("local-read", kReadThreads, kCallsMax) {}
    ~LocalStore() override;
    Status begin();

    void start(Mutation mutation, Then<void> then) override;
    void start(Query query, Then<Answer> then) override;
    void start(Transfer transfer, Then<size_t> then) override;
    Result<Answer> ask(Query query) override;
    Result<size_t> transfer(Transfer transfer) override;

    Result<std::unique_ptr<Mailbox>> open_mailbox(ObjectName object, MailHandler handler) override;
    void notify(ObjectName object, Buffer message, int seconds_max, Then<Acks> then) override;
    Result<SnapId> create_snap() override;
    Status remove_snap(SnapId snap) override;
    StoreId id() override { return {directory_->uuid(), name_}; }
    ClientId client() override { return client_; }
    Status fence(const ClientId& client) override;
    bool is_exclusive() const override { return true; }
    Result<Capacity> capacity(Pool pool) override;
    Status list(Pool pool, Visitor visitor) override;
    void stop() override;

private:
    Status admit(size_t bytes);
    Status check_alive() const;
    void leave(size_t bytes);
    void refuse(Status why, std::function<void(Status)> then);
    void start_read(Transfer transfer, Then<size_t> then);
    Status exists(const ObjectName& object);

    const std::unique_ptr<Directory> directory_;
    const std::unique_ptr<Rows> rows_;
    Files files_;
    SpaceBelow space_;
    const bool is_read_only_;
    const std::string name_;
    const ClientId client_;
    std::atomic<bool> is_stopped_{false}, is_fenced_{false};
    std::atomic<size_t> calls_{0}, bytes_{0};  // in flight
    Gate gate_;                                // all calls
    Mailboxes mailboxes_;
    Executor readers_;
    std::unique_ptr<Keeper> keeper_;
    std::unique_ptr<Committer> committer_;
};

// Finds what the last life left: counters, free files, dead bodies, removed snapshots.
Status LocalStore::begin() {
    uint64_t mark = TRY(directory_->mark());
    uint64_t recovered = rows_->db().GetLatestSequenceNumber();
    if (recovered < mark)
        return fail(EIO, directory_->path() + " has lost commits: its log ends at " + std::to_string(recovered) +
                             ", it had reached " + std::to_string(mark) +
                             ".  The disk has damaged synced data; restore a backup, or remove " + directory_->path() +
                             "/MARK to go on with what is left and run `meshfs check`");
    Counters counters;
    std::deque<uint64_t> dead;
    std::set<uint64_t> removed_snaps;
    TRY(rows_->scan(rows_->other(), "", "", nullptr, [&](std::string_view key, std::string_view value) -> Result<bool> {
        if (key == std::string_view(&kCountersKey, 1)) {
            counters = TRY(decode_counters(value));
            return true;
        }
        uint64_t number = TRY(number_of(key));
        switch (key[0]) {
            case kFreeFileKey: files_.add_free(number); break;
            case kDeadBodyKey: dead.push_back(number); break;
            case kRemovedSnapKey: removed_snaps.insert(number); break;
            default: return fail(EIO, "damaged key");
        }
        return true;
    }));
    keeper_ = std::make_unique<Keeper>(*directory_, *rows_, files_, std::move(dead));
    committer_ = std::make_unique<Committer>(
        Committer::Parts{.rows = *rows_, .files = files_, .space = [this](uint64_t written) {
                             space_.use(written);
                             return space_.look();
                         },
                         .committed = [this](const Batch& batch) {
                             keeper_->note(batch.dead_bodies, !batch.freed_files.empty());
                             for (const ObjectName& object : batch.removed) mailboxes_.lose(object);
                         }},
        counters, std::move(removed_snaps));
    keeper_->begin(*committer_);
    return {};
}

LocalStore::~LocalStore() {
    stop();
    if (committer_) committer_->stop();
}

void LocalStore::stop() {
    is_stopped_ = true;
    gate_.close();
    mailboxes_.stop();
    readers_.stop();
    if (keeper_) keeper_->stop();
}

Status LocalStore::check_alive() const {
    if (is_stopped_) return fail(ESHUTDOWN);
    if (is_fenced_) return fail(ESHUTDOWN, "this client was fenced");
    return {};
}

// A call comes in; leave() follows if it may.
Status LocalStore::admit(size_t bytes) {
    TRY(check_alive());
    if (!gate_.enter()) return fail(ESHUTDOWN);
    bool is_too_much = calls_.fetch_add(1) >= kCallsMax;
    is_too_much = bytes_.fetch_add(bytes) + bytes > kBytesInFlightMax || is_too_much;
    if (!is_too_much) return {};
    leave(bytes);
    return fail(EAGAIN);
}

void LocalStore::leave(size_t bytes) {
    calls_.fetch_sub(1);
    bytes_.fetch_sub(bytes);
    gate_.leave();
}

// Told from the committer's thread: not inside the call.
void LocalStore::refuse(Status why, std::function<void(Status)> then) {
    auto call = std::make_unique<Call>();
    call->outcome = std::move(why);
    call->then = std::move(then);
    committer_->post(std::move(call));
}

void LocalStore::start(Mutation mutation, Then<void> then) {
    Status good = mutation.check();
    if (good.ok() && is_read_only_) good = fail(EROFS, "the store was opened read-only");
    size_t bytes = mutation.bytes();
    if (good.ok()) good = admit(bytes);
    if (!good.ok()) return refuse(std::move(good), std::move(then));
    auto call = std::make_unique<Call>();
    call->key = object_key(mutation.object());
    call->mutation = std::move(mutation);
    call->then = [this, bytes, then = std::move(then)](Status status) {
        then(std::move(status));
        leave(bytes);
    };
    committer_->post(std::move(call));
}

void LocalStore::start(Query query, Then<Answer> then) {
    Status good = query.check();
    if (good.ok()) good = admit(0);
    if (good.ok()) {
        bool is_taken = readers_.try_post([this, query = std::move(query), then] {
            then(answer(*rows_, files_, query));
            leave(0);
        });
        if (is_taken) return;
        leave(0);
        good = fail(EAGAIN);
    }
    refuse(std::move(good), [then](Status status) { then(status.error()); });
}

void LocalStore::start(Transfer transfer, Then<size_t> then) {
    if (transfer.direction == Transfer::Direction::read) return start_read(std::move(transfer), std::move(then));
    size_t bytes = transfer.bytes.size();
    Status good = transfer.check();
    if (good.ok() && is_read_only_) good = fail(EROFS, "the store was opened read-only");
    if (good.ok()) good = admit(bytes);
    if (!good.ok()) return refuse(std::move(good), [then](Status status) { then(status.error()); });
    auto call = std::make_unique<Call>();
    call->key = object_key(transfer.object);
    call->transfer = std::move(transfer);
    call->then = [this, bytes, then = std::move(then)](Status status) {
        if (status.ok()) then(bytes);
        else then(status.error());
        leave(bytes);
    };
    committer_->post(std::move(call));
}

void LocalStore::start_read(Transfer transfer, Then<size_t> then) {
    size_t bytes = transfer.bytes.size();
    Status good = transfer.check();
    if (good.ok()) good = admit(bytes);
    if (good.ok()) {
        bool is_taken = readers_.try_post([this, bytes, transfer = std::move(transfer), then] {
            then(read(*rows_, files_, transfer));
            leave(bytes);
        });
        if (is_taken) return;
        leave(bytes);
        good = fail(EAGAIN);
    }
    refuse(std::move(good), [then](Status status) { then(status.error()); });
}

Result<Answer> LocalStore::ask(Query query) {
    TRY(query.check());
    TRY(admit(0));
    auto result = answer(*rows_, files_, query);
    leave(0);
    return result;
}

Result<size_t> LocalStore::transfer(Transfer transfer) {
    if (transfer.direction == Transfer::Direction::write) return Store::transfer(std::move(transfer));
    TRY(transfer.check());
    size_t bytes = transfer.bytes.size();
    TRY(admit(bytes));
    auto result = read(*rows_, files_, transfer);
    leave(bytes);
    return result;
}

Status LocalStore::exists(const ObjectName& object) {
    TRY(ask(Query(object).exists()));
    return {};
}

Result<std::unique_ptr<Mailbox>> LocalStore::open_mailbox(ObjectName object, MailHandler handler) {
    TRY(exists(object));
    return mailboxes_.open(object, std::move(handler));
}

void LocalStore::notify(ObjectName object, Buffer message, int seconds_max, Then<Acks> then) {
    if (Status good = exists(object); !good.ok())
        return refuse(std::move(good), [then](Status status) { then(status.error()); });
    mailboxes_.notify(object, std::move(message), seconds_max, std::move(then));
}

Result<SnapId> LocalStore::create_snap() {
    TRY(check_alive());
    SnapId snap{};
    TRY(committer_->run_inner([&](Ground& ground, Batch& batch) -> Status {
        snap = SnapId{ground.counters.snap++};
        ground.save_counters(batch);
        return {};
    }));
    return snap;
}

Status LocalStore::remove_snap(SnapId snap) {
    TRY(check_alive());
    TRY(committer_->run_inner([&](Ground& ground, Batch& batch) -> Status {
        if (raw(snap) == 0 || raw(snap) >= ground.counters.snap || !ground.removed_snaps.insert(raw(snap)).second)
            return fail(ENOENT);
        batch.writes.Put(ground.rows.other(), number_key(kRemovedSnapKey, raw(snap)), "");
        return {};
    }));
    keeper_->note_removed_snap();
    return {};
}

// There is no other client than this one.
Status LocalStore::fence(const ClientId& client) {
    TRY(check_alive());
    if (client == client_) is_fenced_ = true;
    return {};
}

Result<Capacity> LocalStore::capacity(Pool) {
    before_waiting();
    struct statvfs st {};
    if (statvfs(directory_->path().c_str(), &st) != 0) return fail(errno, "cannot look at " + directory_->path());
    Capacity out;
    out.total = uint64_t{st.f_blocks} * st.f_frsize;
    out.available = uint64_t{st.f_bavail} * st.f_frsize;
    uint64_t reserve = reserve_of(out.total);
    out.available -= std::min(out.available, reserve);
    out.used = out.total - uint64_t{st.f_bfree} * st.f_frsize;
    rows_->db().GetIntProperty(rows_->objects(), "rocksdb.estimate-num-keys", &out.objects);
    return out;
}

Status LocalStore::list(Pool pool, Visitor visitor) {
    TRY(check_alive());
    Still still(*rows_);
    std::string prefix = object_key({pool, ""}).substr(0, 2);
    return rows_->scan(rows_->objects(), prefix, prefix, still.moment(),
                       [&](std::string_view key, std::string_view) -> Result<bool> {
                           auto parsed = TRY(parse_object_key(key));
                           if (parsed.snap == SnapId::head) TRY(visitor(parsed.object.name));
                           return true;
                       });
}

}  // namespace

Result<std::unique_ptr<Store>> open_local_store(const Source& source, const StoreOptions& options) {
    return open_local_store(source, options, {});
}

Result<std::unique_ptr<Store>> open_local_store(const Source& source, const StoreOptions& options,
                                                local::DiskParts parts) {
    auto directory = TRY(Directory::open(source.path, options.make_directory));
    auto rows = TRY(Rows::open(directory->map_path(), parts.env));
    auto store = std::make_unique<LocalStore>(std::move(directory), std::move(rows), options, std::move(parts), source.text);
    TRY(store->begin());
    return std::unique_ptr<Store>(std::move(store));
}

}  // namespace meshfs
