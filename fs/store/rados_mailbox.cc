#include "fs/store/rados_mailbox.h"

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/base/wire.h"
#include "fs/store/rados_errors.h"
#include "fs/store/rados_operation.h"

namespace meshfs {
namespace {

constexpr uint32_t kWatchSeconds = 30;  // an OSD drops a watcher it has not heard of for so long
constexpr int64_t kCheckSeconds = 5;
constexpr int64_t kLongSeconds = 10LL * 365 * 24 * 3600;  // "for ever" that can be added to a clock

Buffer one_buffer(const ceph::bufferlist& bytes) {
    Buffers pieces = share_from_rados(bytes);
    if (pieces.empty()) return {};
    return pieces.size() == 1 ? pieces[0] : Buffer::copy_of(join(pieces));
}

// An acknowledgement carries who answers: RADOS itself tells only a number that cannot be fenced.
std::string seal_reply(const ClientId& client, const Buffer& reply) {
    return Encoder().string(client).bytes(reply.view()).take();
}

std::string number_as_client(uint64_t number) { return "client." + std::to_string(number); }

}  // namespace

// One watched object.  librados calls it, one call at a time, on the thread of its completions.
class RadosMailboxes::Watch final : public librados::WatchCtx2, public std::enable_shared_from_this<Watch> {
public:
    Watch(std::weak_ptr<RadosMailboxes> owner, std::shared_ptr<RadosLink> link,
          std::shared_ptr<const RadosPool> pool, const ObjectName& object, MailHandler handler)
        : owner_(std::move(owner)), link_(std::move(link)), pool_(std::move(pool)),
          name_(pool_->as_stored(object)), told_(pool_->as_told(object)), handler_(std::move(handler)) {}

    void handle_notify(uint64_t notify, uint64_t cookie, uint64_t, ceph::bufferlist& bytes) override {
        if (!calls_.enter()) return;
        auto self = shared_from_this();
        handler_.message(one_buffer(bytes), [self, notify, cookie](const Buffer& reply) {
            self->acknowledge(notify, cookie, reply);
        });
        calls_.leave();
    }
    void handle_error(uint64_t cookie, int code) override {
        if (cookie != cookie_) return;  // of a registration that was replaced
        broken_ = code == 0 ? ENOTCONN : -code;
        if (auto owner = owner_.lock()) owner->wake();
    }
    void tell_lost(int code) {
        if (!calls_.enter()) return;
        if (handler_.lost) handler_.lost(code);
        calls_.leave();
    }
    void acknowledge(uint64_t notify, uint64_t cookie, const Buffer& reply) {
        if (!link_->gate().enter()) return;
        ceph::bufferlist bytes = copy_for_rados(seal_reply(link_->address(), reply));
        io().notify_ack(name_, notify, cookie, bytes);
        link_->gate().leave();
    }
    librados::IoCtx io() const { return pool_->io; }

    const std::weak_ptr<RadosMailboxes> owner_;
    const std::shared_ptr<RadosLink> link_;
    const std::shared_ptr<const RadosPool> pool_;
    const std::string name_, told_;
    const MailHandler handler_;
    Gate calls_;  // closed with the Mailbox
    std::atomic<uint64_t> cookie_ = 0;  // 0: not registered
    std::atomic<int> broken_ = 0;       // errno
    std::atomic<bool> is_closed_ = false;
    bool is_dead_ = false;              // the thread of RadosMailboxes only: told lost for good
};

class RadosMailboxes::Handle final : public Mailbox {
public:
    Handle(std::shared_ptr<RadosMailboxes> owner, std::shared_ptr<Watch> watch)
        : owner_(std::move(owner)), watch_(std::move(watch)) {}
    ~Handle() override { owner_->close(watch_); }

private:
    std::shared_ptr<RadosMailboxes> owner_;  // also the store
    std::shared_ptr<Watch> watch_;           // also owner_
};

// Lives until librados has completed it, whether somebody still waits or not.
struct RadosMailboxes::Registration {
    std::shared_ptr<Watch> watch;
    std::weak_ptr<RadosMailboxes> owner;
    uint64_t cookie = 0;
    std::atomic<bool> is_done = false;
    int code = 0;
    librados::AioCompletion* completion = nullptr;
    ~Registration() {
        if (completion != nullptr) completion->release();
    }
    static void completed(librados::completion_t, void* argument) {
        auto* self = static_cast<Registration*>(argument);
        self->code = self->completion->get_return_value();
        auto owner = self->owner.lock();  // first: after is_done `self` may go
        self->is_done = true;
        if (owner) owner->wake();
    }
};

RadosMailboxes::RadosMailboxes(std::shared_ptr<RadosLink> link) : link_(std::move(link)) {}

RadosMailboxes::~RadosMailboxes() { stop(); }

void RadosMailboxes::wake() {
    MutexLock lock(mutex_);
    is_woken_ = true;
    changed_.notify_all();
}

// Registers and waits, as long as neither `until_ns` nor stop() comes; -ETIMEDOUT then.
int RadosMailboxes::register_watch(Watch& watch, int64_t until_ns) {
    auto registration = std::make_shared<Registration>();
    registration->watch = watch.shared_from_this();
    registration->owner = weak_from_this();
    registration->completion =
        librados::Rados::aio_create_completion(registration.get(), &Registration::completed);
    if (!link_->gate().enter()) return -ESHUTDOWN;
    int code = watch.io().aio_watch2(watch.name_, registration->completion, &registration->cookie, &watch,
                                     kWatchSeconds);
    link_->gate().leave();
    if (code < 0) return code;
    {
        MutexLock lock(mutex_);
        while (!registration->is_done && !stopped_ && changed_.wait_until(mutex_, until_ns)) {
        }
        if (!registration->is_done) {
            abandoned_.push_back(registration);
            return -ETIMEDOUT;
        }
    }
    // After a failure librados has let go of the registration itself; its cookie must not be used.
    if (registration->code < 0) return registration->code;
    watch.broken_ = 0;
    watch.cookie_ = registration->cookie;
    if (watch.is_closed_) retire(watch, watch.cookie_.exchange(0));  // meanwhile; close() saw no cookie
    return 0;
}

// Lets go of a registration without waiting: the OSD may be away for long.
void RadosMailboxes::retire(Watch& watch, uint64_t cookie) {
    if (cookie == 0 || !link_->gate().enter()) return;
    librados::AioCompletion* nobody_waits = librados::Rados::aio_create_completion();
    watch.io().aio_unwatch(cookie, nobody_waits);
    nobody_waits->release();
    link_->gate().leave();
}

Result<std::unique_ptr<Mailbox>> RadosMailboxes::open(const ObjectName& object, MailHandler handler) {
    TRY(Query(object).check());
    auto pool = TRY(link_->pool(object.pool));
    auto watch = std::make_shared<Watch>(weak_from_this(), link_, pool, object, std::move(handler));
    int soft_seconds = link_->options().soft_timeout_seconds;
    int64_t until_ns = Clock::system().boot_ns() + (soft_seconds > 0 ? soft_seconds : kLongSeconds) * kNsPerSecond;
    int code = register_watch(*watch, until_ns);
    MutexLock lock(mutex_);
    if (stopped_) code = -ESHUTDOWN;
    if (code < 0) {
        retired_.push_back(watch);
        return error_of_rados(code, watch->told_);
    }
    watches_.push_back(watch);
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
    return std::unique_ptr<Mailbox>(std::make_unique<Handle>(shared_from_this(), watch));
}

void RadosMailboxes::close(const std::shared_ptr<Watch>& watch) {
    watch->calls_.close();
    watch->is_closed_ = true;
    {
        MutexLock lock(mutex_);
        watches_.remove(watch);
        retired_.push_back(watch);
    }
    retire(*watch, watch->cookie_.exchange(0));
}

// Checks what librados knows of each watch, every few seconds and when one reports an error.
void RadosMailboxes::run() {
    name_this_thread("rados-mail");
    mutex_.lock();
    while (!stopped_) {
        int64_t until_ns = Clock::system().boot_ns() + kCheckSeconds * kNsPerSecond;
        while (!stopped_ && !is_woken_ && changed_.wait_until(mutex_, until_ns)) {
        }
        is_woken_ = false;
        auto watches = watches_;
        mutex_.unlock();
        for (const auto& watch : watches) {
            if (watch->is_dead_ || !link_->gate().enter()) continue;
            uint64_t cookie = watch->cookie_;
            // After an error librados does not recover a watch; -ETIMEDOUT: it may have missed something.
            int age_ms = cookie == 0 ? -ENOTCONN : watch->io().watch_check(cookie);
            link_->gate().leave();
            if (age_ms < 0 && watch->broken_ == 0) watch->broken_ = -age_ms;
            if (watch->broken_ != 0) repair(watch);
        }
        watches.clear();
        mutex_.lock();
    }
    mutex_.unlock();
}

// Watches again, then says that messages may be missing: in this order none is missed unknown.
void RadosMailboxes::repair(const std::shared_ptr<Watch>& watch) {
    int why = watch->broken_;
    retire(*watch, watch->cookie_.exchange(0));
    int code = register_watch(*watch, Clock::system().boot_ns() + kLongSeconds * kNsPerSecond);
    int ours = errno_of_rados(code);
    if (ours == 0) {
        log_warning("a mailbox was lost and is watched again", {{"object", watch->told_}, {"errno", errno_name(why)}});
        watch->tell_lost(why);
    } else if (ours == ENOENT || ours == ESHUTDOWN || ours == EACCES) {
        watch->is_dead_ = true;
        watch->tell_lost(ours);
    }
    // Else: tried again at the next check.
}

void RadosMailboxes::stop() {
    std::list<std::shared_ptr<Watch>> open;
    {
        MutexLock lock(mutex_);
        if (!stopped_) {
            stopped_ = true;
            changed_.notify_all();
        }
        open = watches_;
    }
    for (const auto& watch : open) watch->calls_.close();
    if (thread_.joinable()) thread_.join();
    for (const auto& watch : open) retire(*watch, watch->cookie_.exchange(0));
}

void RadosMailboxes::forget_all() {
    MutexLock lock(mutex_);
    retired_.clear();
    abandoned_.clear();
}

// Who watches an object now: the addresses behind the numbers of those who stayed silent.
class RadosMailboxes::WatchersCall final : public RadosCallOf<Acks> {
public:
    WatchersCall(Acks acks, std::vector<uint64_t> silent, Then<Acks> then)
        : RadosCallOf(0, std::move(then)), acks_(std::move(acks)), silent_(std::move(silent)) {}
    librados::ObjectReadOperation operation_;
    std::list<obj_watch_t> watchers_;
    int code_ = 0;

protected:
    // Should this fail, the numbers have to do.
    void finish(int) override { tell(name_silent()); }
    void give_up(const Error&) override { tell(name_silent()); }

private:
    Acks name_silent() {
        for (uint64_t number : silent_) {
            ClientId client = number_as_client(number);
            for (const auto& watcher : watchers_)
                if (static_cast<uint64_t>(watcher.watcher_id) == number) client = watcher.addr;
            acks_.silent.push_back(std::move(client));
        }
        return std::move(acks_);
    }
    Acks acks_;
    const std::vector<uint64_t> silent_;
};

class RadosMailboxes::NotifyCall final : public RadosCallOf<Acks> {
public:
    NotifyCall(RadosCalls& calls, std::shared_ptr<const RadosPool> pool, const ObjectName& object,
               const Buffer& message, Then<Acks> then)
        : RadosCallOf(message.size(), std::move(then)), calls_(calls), pool_(std::move(pool)),
          name_(pool_->as_stored(object)), told_(pool_->as_told(object)), message_(copy_for_rados(message.view())) {}

    int send(librados::AioCompletion* completion, int seconds_max) {
        librados::IoCtx io = pool_->io;
        return io.aio_notify(name_, completion, message_, seconds_max * 1000ull, &reply_);
    }

protected:
    bool can_be_cancelled() const override { return false; }
    void finish(int code) override {
        // -ETIMEDOUT with a reply: some did not answer, and it names them.
        if (code < 0 && !(code == -ETIMEDOUT && reply_.length() > 0)) return tell(error_of_rados(code, told_));
        std::vector<librados::notify_ack_t> answered;
        std::vector<librados::notify_timeout_t> silent;
        librados::IoCtx io = pool_->io;
        io.decode_notify_response(reply_, &answered, &silent);

        Acks acks;
        for (const auto& ack : answered) {
            std::string payload = ack.payload_bl.to_str();
            Decoder decoder(payload);
            ClientId client(decoder.string(payload.size()));
            std::string_view reply = decoder.rest();
            if (!decoder.ok() || client.empty()) client = number_as_client(ack.notifier_id);
            acks.answered.emplace_back(std::move(client), Buffer::copy_of(reply));
        }
        if (silent.empty()) return tell(std::move(acks));
        std::vector<uint64_t> numbers;
        for (const auto& timeout : silent) numbers.push_back(timeout.notifier_id);
        name_silent(std::move(acks), std::move(numbers));
    }

private:
    void name_silent(Acks acks, std::vector<uint64_t> numbers) {
        auto then = [self = shared_this()](Result<Acks> result) { self->tell(std::move(result)); };
        auto call = std::make_shared<WatchersCall>(std::move(acks), std::move(numbers), then);
        call->operation_.list_watchers(&call->watchers_, &call->code_);
        calls_.start(call, pool_->io, [&](librados::AioCompletion* completion) {
            librados::IoCtx io = pool_->io;
            return io.aio_operate(name_, completion, &call->operation_, nullptr);
        });
    }
    std::shared_ptr<NotifyCall> shared_this() { return self_.lock(); }

public:
    std::weak_ptr<NotifyCall> self_;

private:
    RadosCalls& calls_;  // that this is one of
    const std::shared_ptr<const RadosPool> pool_;
    const std::string name_, told_;
    ceph::bufferlist message_, reply_;
};

void RadosMailboxes::notify(const ObjectName& object, Buffer message, int seconds_max, Then<Acks> then) {
    auto checked = Query(object).check();
    auto pool = link_->pool(object.pool);
    if (checked.ok() && !pool) checked = pool.error();
    if (checked.ok() && seconds_max < 1) checked = fail(EINVAL, "a notify waits one second or more");
    if (!checked) {
        link_->calls().run_elsewhere([then = std::move(then), checked] { then(checked.error()); });
        return;
    }
    auto call = std::make_shared<NotifyCall>(link_->calls(), *pool, object, message, std::move(then));
    call->self_ = call;
    link_->calls().start(call, (*pool)->io, [&](librados::AioCompletion* completion) {
        return call->send(completion, seconds_max);
    });
}

}  // namespace meshfs
