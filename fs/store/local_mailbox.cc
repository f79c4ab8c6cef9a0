#include "fs/store/local_mailbox.h"

#include <algorithm>
#include <set>

#include "fs/base/clock.h"

namespace meshfs::local {

struct Mailboxes::Box {
    explicit Box(MailHandler handler_) : handler(std::move(handler_)) {}
    const MailHandler handler;
    Gate calls;  // open while the Mailbox lives
};

struct Mailboxes::Notice {
    int64_t deadline_ns = 0;
    Then<Acks> then;
    std::set<BoxPtr> waiting;  // under Mailboxes::mutex_, as all here
    Acks acks;
    bool is_over = false;
};

class Mailboxes::OpenBox final : public Mailbox {
public:
    OpenBox(Mailboxes& all, BoxPtr box) : all_(all), box_(std::move(box)) {}
    ~OpenBox() override { all_.close(box_); }

private:
    Mailboxes& all_;
    BoxPtr box_;
};

Mailboxes::Mailboxes(ClientId client)
    : client_(std::move(client)), mail_("local-mail", 1, kCallsMax), deadlines_([this] { watch_deadlines(); }) {}

Mailboxes::~Mailboxes() { stop(); }

std::unique_ptr<Mailbox> Mailboxes::open(const ObjectName& object, MailHandler handler) {
    auto box = std::make_shared<Box>(std::move(handler));
    MutexLock lock(mutex_);
    boxes_.emplace(object, box);
    return std::make_unique<OpenBox>(*this, box);
}

void Mailboxes::close(const BoxPtr& box) {
    {
        MutexLock lock(mutex_);
        std::erase_if(boxes_, [&](const auto& entry) { return entry.second == box; });
    }
    box->calls.close();
}

void Mailboxes::notify(const ObjectName& object, Buffer message, int seconds_max, Then<Acks> then) {
    auto notice = std::make_shared<Notice>();
    notice->deadline_ns = Clock::system().boot_ns() + seconds_max * kNsPerSecond;
    notice->then = std::move(then);
    std::vector<BoxPtr> boxes;
    {
        MutexLock lock(mutex_);
        auto [first, last] = boxes_.equal_range(object);
        for (auto it = first; it != last; ++it) boxes.push_back(it->second);
        notice->waiting.insert(boxes.begin(), boxes.end());
        notices_.push_back(notice);
        changed_.notify_all();
    }
    bool is_taken = mail_.try_post([this, notice, boxes, message] {
        for (const BoxPtr& box : boxes) {
            if (!box->calls.enter()) {
                forget(notice, box);
                continue;
            }
            box->handler.message(message, [this, gate = acknowledgements_, notice, box](Buffer reply) {
                if (!gate->enter()) return;
                acknowledge(notice, box, std::move(reply));
                gate->leave();
            });
            box->calls.leave();
        }
        if (boxes.empty()) end(notice);
    });
    if (is_taken) return;
    MutexLock lock(mutex_);
    notice->deadline_ns = 0;  // too many messages: the watcher ends it at once
    changed_.notify_all();
}

void Mailboxes::lose(const ObjectName& object) {
    std::vector<BoxPtr> boxes;
    {
        MutexLock lock(mutex_);
        auto [first, last] = boxes_.equal_range(object);
        for (auto it = first; it != last; ++it) boxes.push_back(it->second);
        boxes_.erase(first, last);
    }
    if (boxes.empty()) return;
    mail_.try_post([boxes] {
        for (const BoxPtr& box : boxes) {
            if (!box->calls.enter()) continue;
            box->handler.lost(ENOENT);
            box->calls.leave();
        }
    });
}

void Mailboxes::acknowledge(const NoticePtr& notice, const BoxPtr& box, Buffer reply) {
    {
        MutexLock lock(mutex_);
        if (notice->is_over || notice->waiting.erase(box) == 0) return;
        notice->acks.answered.emplace_back(client_, std::move(reply));
        if (!notice->waiting.empty()) return;
    }
    end(notice);
}

void Mailboxes::forget(const NoticePtr& notice, const BoxPtr& box) {
    {
        MutexLock lock(mutex_);
        if (notice->is_over || notice->waiting.erase(box) == 0 || !notice->waiting.empty()) return;
    }
    end(notice);
}

void Mailboxes::end(const NoticePtr& notice) {
    {
        MutexLock lock(mutex_);
        if (notice->is_over) return;
        notice->is_over = true;
        for (size_t i = 0; i < notice->waiting.size(); ++i) notice->acks.silent.push_back(client_);
        std::erase(notices_, notice);
        changed_.notify_all();
    }
    // An acknowledgement may come from anywhere, even from inside the handler: the caller hears of it here only.
    notice->then(std::move(notice->acks));
}

void Mailboxes::watch_deadlines() {
    name_this_thread("local-mail-time");
    MutexLock lock(mutex_);
    while (true) {
        NoticePtr over;
        int64_t next_ns = INT64_MAX;
        int64_t now_ns = Clock::system().boot_ns();
        for (const auto& notice : notices_) {
            if (notice->deadline_ns <= now_ns || stopped_) over = notice;
            next_ns = std::min(next_ns, notice->deadline_ns);
        }
        if (over) {
            mutex_.unlock();
            end(over);
            mutex_.lock();
            continue;
        }
        if (stopped_) return;
        if (next_ns == INT64_MAX) changed_.wait(mutex_);
        else changed_.wait_until(mutex_, next_ns);
    }
}

void Mailboxes::stop() {
    {
        MutexLock lock(mutex_);
        stopped_ = true;
        changed_.notify_all();
    }
    if (deadlines_.joinable()) deadlines_.join();
    mail_.stop();
    acknowledgements_->close();
}

}  // namespace meshfs::local
