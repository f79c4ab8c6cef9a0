#include "fs/vfs/records.h"

#include <random>

#include "fs/base/wire.h"

namespace meshfs {
namespace {

constexpr size_t kRecordKeyMax = 1024;
constexpr size_t kMessageMax = 64 * 1024 + 16;  // and what its host puts in front
constexpr int kNotifySeconds = 5;

std::string random_name() {
    std::random_device random;
    return Encoder().u32(random()).u32(random()).take();
}

}  // namespace

Records::Records(Store& store, std::string name)
    : store_(store), name_(std::move(name)), self_(random_name()) {}
Records::~Records() { close_mail(); }

ObjectName Records::object() const { return {kMetaPool, "a." + name_}; }

Status Records::apply(const std::vector<RecordStep>& steps) {
    Mutation mutation(object());
    std::vector<Key> set;
    std::vector<std::string> removed;
    for (const RecordStep& step : steps) {
        if (step.key.empty() || step.key.size() > kRecordKeyMax)
            return fail(EINVAL, "a record's key must have 1 to 1,024 bytes");
        switch (step.kind) {
            case RecordStep::Kind::is: mutation.key_is(step.key, step.value); break;
            case RecordStep::Kind::absent: mutation.key_is(step.key, std::nullopt); break;
            case RecordStep::Kind::set: set.emplace_back(step.key, step.value); break;
            case RecordStep::Kind::remove: removed.push_back(step.key); break;
        }
    }
    mutation.create();  // beside it, guards of a missing object see absent keys
    if (!removed.empty()) mutation.remove_keys(removed);
    if (!set.empty()) mutation.set_keys(std::move(set));
    return store_.apply(std::move(mutation));
}

Result<std::optional<std::string>> Records::get(const std::string& key) {
    if (key.empty() || key.size() > kRecordKeyMax) return fail(EINVAL);
    auto answer = store_.ask(Query(object()).keys({key}));
    if (answer.code() == ENOENT) return std::optional<std::string>();
    if (!answer) return answer.error();
    auto found = answer->keys.find(key);
    if (found == answer->keys.end()) return std::optional<std::string>();
    return std::optional<std::string>(std::move(found->second));
}

Result<std::optional<Key>> Records::next(const std::string& after, const std::string& prefix) {
    auto answer = store_.ask(Query(object()).range(after, prefix, 1));
    if (answer.code() == ENOENT) return std::optional<Key>();
    if (!answer) return answer.error();
    if (answer->ranges.empty() || answer->ranges[0].entries.empty()) return std::optional<Key>();
    return std::optional<Key>(std::move(answer->ranges[0].entries[0]));
}

Status Records::open_mail(std::function<void(std::string)> receive) {
    if (mailbox_) return fail(EBUSY);
    TRY(store_.apply(Mutation(object()).create()));
    MailHandler handler;
    handler.message = [self = self_, receive = std::move(receive)](Buffer message, Acknowledge acknowledge) {
        Decoder d(message.view());
        std::string_view sender = d.string(64);
        std::string_view text = d.rest();
        bool is_other = d.ok() && sender != self;
        if (is_other) receive(std::string(text));
        acknowledge(Buffer::copy_of(is_other ? "1" : "0"));
    };
    handler.lost = [](int) {};  // mail is a hint: the records are the truth
    mailbox_ = TRY(store_.open_mailbox(object(), std::move(handler)));
    return {};
}

void Records::close_mail() { mailbox_.reset(); }

Result<size_t> Records::send(const std::string& message) {
    if (message.size() > kMessageMax) return fail(EMSGSIZE);
    Buffer envelope = Buffer::copy_of(Encoder().string(self_).bytes(message).take());
    Mutex mutex;
    CondVar told;
    std::optional<Result<Acks>> acks;
    store_.notify(object(), envelope, kNotifySeconds, [&](Result<Acks> result) {
        MutexLock lock(mutex);
        acks.emplace(std::move(result));
        told.notify_all();
    });
    MutexLock lock(mutex);
    while (!acks) told.wait(mutex);
    if (acks->code() == ENOENT) return size_t{0};
    if (!acks->ok()) return acks->error();
    size_t others = 0;
    for (const auto& [client, reply] : (*acks)->answered) others += reply.view() == "1" ? 1 : 0;
    return others;
}

}  // namespace meshfs
