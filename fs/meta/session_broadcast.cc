// Asking every session of the volume something, over the registry's objects that all watch.
#include <memory>
#include <set>

#include "fs/base/wire.h"
#include "fs/meta/registry.h"
#include "fs/meta/session.h"

namespace meshfs {
namespace {

constexpr int kAnswerSecondsMax = 1;  // who is slower is asked again
constexpr uint8_t kMessageVersion = 1;

// All notifications of one question.  Shared by the asker and the callbacks.
struct Question {
    Mutex mutex;
    CondVar answered;
    size_t left GUARDED_BY(mutex) = 0;
    std::map<SessionId, std::string> answers GUARDED_BY(mutex);
};

void take_answers(Question& question, const Result<Acks>& acks) {
    MutexLock lock(question.mutex);
    if (acks.ok())
        for (const auto& [client, reply] : acks->answered) {
            auto record = open_record(reply.view());
            if (!record.ok() || record->version != kMessageVersion) continue;
            Decoder d(record->payload);
            SessionId session{d.u32()};
            if (d.ok()) question.answers[session] = std::string(d.rest());
        }
    --question.left;
    question.answered.notify_all();
}

}  // namespace

void Session::on_question(std::function<std::string(std::string_view)> answer) {
    MutexLock lock(mutex_);
    answer_ = std::move(answer);
}

// A session that cannot be asked keeps others from purging: tried again at each beat.
void Session::watch_registry() {
    MailHandler handler;
    handler.message = [this](Buffer message, Acknowledge acknowledge) {
        std::function<std::string(std::string_view)> answer;
        {
            MutexLock lock(mutex_);
            answer = answer_;
        }
        auto record = open_record(message.view());
        if (!answer || !record.ok() || record->version != kMessageVersion) return;  // silence: not known
        Encoder e;
        e.u32(raw(id_)).bytes(answer(record->payload));
        acknowledge(Buffer::copy_of(seal_record(kMessageVersion, e.data())));
    };
    handler.lost = [this](int) { registry_lost_ = true; };
    registry_lost_ = false;
    registry_box_.reset();
    auto opened = store_.open_mailbox(registry_object(registry_of(id_)), std::move(handler));
    if (opened.ok()) registry_box_ = std::move(opened).value();
    else registry_lost_ = true;
}

Result<std::map<SessionId, std::string>> Session::ask_everybody(std::string_view question) {
    if (store_.is_exclusive()) return std::map<SessionId, std::string>();
    auto registry = TRY(read_registry(store_, clock_));
    registry.erase(id_);
    std::set<unsigned> objects;
    for (const auto& [session, record] : registry) objects.insert(registry_of(session));
    auto asked = std::make_shared<Question>();
    {
        MutexLock lock(asked->mutex);
        asked->left = objects.size();
    }
    Buffer message = Buffer::copy_of(seal_record(kMessageVersion, question));
    for (unsigned object : objects)
        store_.notify(registry_object(object), message, kAnswerSecondsMax,
                      [asked](Result<Acks> acks) { take_answers(*asked, acks); });
    std::map<SessionId, std::string> answers;
    {
        MutexLock lock(asked->mutex);
        while (asked->left > 0) asked->answered.wait(asked->mutex);
        answers = std::move(asked->answers);
    }
    Status silent;  // all of them are looked at, so that who is dead is known the sooner
    for (const auto& [session, record] : registry) {
        if (answers.contains(session)) continue;
        auto state = look_at(session);
        if (!state.ok()) silent = state.error();
        else if (*state == SessionState::alive) silent = fail(EAGAIN, "a mount on " + record.host + " does not answer");
    }
    if (!silent.ok()) return silent.error();
    return answers;
}

}  // namespace meshfs
