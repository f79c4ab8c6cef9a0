// A plugin's records: a small key-value area of the volume, in one object, and the mail between its hosts.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fs/base/result.h"
#include "fs/store/store.h"

namespace meshfs {

struct RecordStep {
    enum class Kind : uint8_t { is, absent, set, remove };
    Kind kind = Kind::set;
    std::string key;    // 1 .. 1,024 bytes
    std::string value;  // is, set: 1 .. kValueMax bytes
};

// Object `a.<name>` of the metadata pool.  Any thread; calls block.
class Records {
public:
    // name: [a-z0-9-], at most 32 bytes.  `store` outlives it.
    Records(Store& store, std::string name);
    ~Records();

    // All or nothing; ECANCELED: a guard failed; durable when it returns.
    Status apply(const std::vector<RecordStep>& steps);
    Result<std::optional<std::string>> get(const std::string& key);
    // The first record after `after` that begins with `prefix`.
    Result<std::optional<Key>> next(const std::string& after, const std::string& prefix);

    // Messages of the other Records of this name, on any host of the volume; `receive` must not block.
    Status open_mail(std::function<void(std::string message)> receive);
    void close_mail();
    // Answers how many others have it.  At most 64 KiB.
    Result<size_t> send(const std::string& message);

private:
    ObjectName object() const;
    Store& store_;
    const std::string name_;
    const std::string self_;  // tells own messages from others'
    std::unique_ptr<Mailbox> mailbox_;
};

}  // namespace meshfs
