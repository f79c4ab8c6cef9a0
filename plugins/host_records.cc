// The host's calls about records, watches and mail.
#include <cstring>

#include "fs/base/wire.h"
#include "plugins/instance.h"

namespace meshfs {
namespace {

std::string text_of(const void* bytes, size_t length) {
    return bytes == nullptr ? std::string() : std::string(static_cast<const char*>(bytes), length);
}

int host_records_apply(const meshfs_host* host, const meshfs_record* steps, size_t count) noexcept {
    auto& i = PluginInstance::of(host);
    std::vector<RecordStep> list;
    for (size_t n = 0; n < count; ++n) {
        RecordStep step;
        switch (steps[n].step) {
            case MESHFS_RECORD_IS: step.kind = RecordStep::Kind::is; break;
            case MESHFS_RECORD_ABSENT: step.kind = RecordStep::Kind::absent; break;
            case MESHFS_RECORD_SET: step.kind = RecordStep::Kind::set; break;
            case MESHFS_RECORD_REMOVE: step.kind = RecordStep::Kind::remove; break;
            default: return -EINVAL;
        }
        step.key = text_of(steps[n].key, steps[n].key_length);
        step.value = text_of(steps[n].value, steps[n].value_length);
        list.push_back(std::move(step));
    }
    Status applied = i.records().apply(list);
    return applied ? 0 : answer_of(i, applied.error());
}

int64_t host_records_get(const meshfs_host* host, const void* key, size_t key_length, void* value,
                         size_t size) noexcept {
    auto& i = PluginInstance::of(host);
    auto found = i.records().get(text_of(key, key_length));
    if (!found) return answer_of(i, found.error());
    if (!*found) return -ENOENT;
    std::memcpy(value, (*found)->data(), std::min(size, (*found)->size()));
    return static_cast<int64_t>((*found)->size());
}

int host_records_next(const meshfs_host* host, const void* after, size_t after_length, const void* prefix,
                      size_t prefix_length, void* key, size_t* key_length, void* value,
                      size_t* value_length) noexcept {
    auto& i = PluginInstance::of(host);
    auto found = i.records().next(text_of(after, after_length), text_of(prefix, prefix_length));
    if (!found) return answer_of(i, found.error());
    if (!*found) return 0;
    const auto& [name, content] = **found;
    bool fits = name.size() <= *key_length && content.size() <= *value_length;
    *key_length = name.size();
    *value_length = content.size();
    if (!fits) return -ERANGE;
    std::memcpy(key, name.data(), name.size());
    std::memcpy(value, content.data(), content.size());
    return 1;
}

int64_t host_watch(const meshfs_host* host, const char* path, meshfs_watcher watcher, void* argument) noexcept {
    if (path == nullptr || path[0] != '/' || watcher == nullptr) return -EINVAL;
    return static_cast<int64_t>(PluginInstance::of(host).add_watch(path, watcher, argument));
}

void host_unwatch(const meshfs_host* host, uint64_t watch) noexcept { PluginInstance::of(host).drop_watch(watch); }

int host_on_mail(const meshfs_host* host, meshfs_mail mail, void* argument) noexcept {
    return PluginInstance::of(host).set_mail(mail, argument);
}

int host_send(const meshfs_host* host, const void* message, size_t length) noexcept {
    auto& i = PluginInstance::of(host);
    if (message == nullptr || length > 64 * 1024) return -EMSGSIZE;
    auto others = i.records().send(Encoder().u8('m').bytes({static_cast<const char*>(message), length}).take());
    return others ? static_cast<int>(*others) : answer_of(i, others.error());
}

}  // namespace

void set_records_calls(meshfs_host& host) {
    host.records_apply = host_records_apply;
    host.records_get = host_records_get;
    host.records_next = host_records_next;
    host.watch = host_watch;
    host.unwatch = host_unwatch;
    host.on_mail = host_on_mail;
    host.send = host_send;
}

}  // namespace meshfs
