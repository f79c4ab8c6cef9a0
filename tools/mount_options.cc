#include "tools/mount_options.h"

#include <unistd.h>

#include <algorithm>
#include <climits>
#include <filesystem>
#include <functional>
#include <map>

#include "fs/base/log.h"
#include "fs/base/nearest.h"
#include "tools/line_socket.h"

namespace meshfs {
namespace {

Status set_bytes(const std::string& text, uint64_t min, uint64_t max, const std::function<void(uint64_t)>& set) {
    uint64_t bytes = TRY(parse_bytes(text));
    if (bytes < min || bytes > max)
        return fail(EINVAL, "\"" + text + "\" is out of range: " + human_bytes(min) + " to " + human_bytes(max));
    set(bytes);
    return {};
}

Status set_number(const std::string& text, uint64_t min, uint64_t max, const std::function<void(uint64_t)>& set) {
    bool digits = !text.empty() && text.size() <= 9 && text.find_first_not_of("0123456789") == std::string::npos;
    uint64_t number = digits ? std::stoull(text) : 0;
    if (!digits || number < min || number > max)
        return fail(EINVAL, "\"" + text + "\" is no number from " + std::to_string(min) + " to " + std::to_string(max));
    set(number);
    return {};
}

Status set_duration(const std::string& text, const std::string& min, const std::function<void(int64_t)>& set) {
    int64_t ns = TRY(parse_duration_ns(text));
    if (ns < TRY(parse_duration_ns(min))) return fail(EINVAL, "\"" + text + "\" is too short: at least " + min);
    set(ns);
    return {};
}

// Whether an option takes a value; never: it is known, and refused with the reason.
enum class Value : uint8_t { none, needed, never };
using Apply = std::function<Status(MountOptions&, const std::string& value)>;
enum class Remount : uint8_t { refused, accepted, changes };
struct Rule {
    Value value;
    Apply apply;
    Remount remount = Remount::refused;
};

Apply drop() {
    return [](MountOptions&, const std::string&) -> Status { return {}; };
}
Apply to_kernel(const std::string& name) {
    return [name](MountOptions& o, const std::string& value) -> Status {
        o.fuse.kernel_options.push_back(value.empty() ? name : name + "=" + value);
        return {};
    };
}
Apply refuse(const std::string& why) {
    return [why](MountOptions&, const std::string&) -> Status { return fail(EINVAL, why); };
}
template <class Set>
Apply plain(Set set) {
    return [set](MountOptions& o, const std::string& value) -> Status {
        set(o, value);
        return {};
    };
}

// The daemon leaves the directory its caller was in: what is named from there is named in full.
std::string full_path(const std::string& path) {
    std::error_code failed;
    auto full = std::filesystem::absolute(path, failed);
    return failed ? path : full.string();
}

int whole_seconds(int64_t ns) { return static_cast<int>(std::clamp<int64_t>(ns / kNsPerSecond, 1, INT_MAX)); }

void add_store_rules(std::map<std::string, Rule>& r) {
    r["conf"] = {Value::needed, plain([](auto& o, auto& v) { o.store.conf = full_path(v); })};
    r["id"] = {Value::needed, plain([](auto& o, auto& v) { o.store.id = v; })};
    r["keyring"] = {Value::needed, plain([](auto& o, auto& v) { o.store.keyring = full_path(v); })};
    r["config"] = {Value::needed, plain([](auto& o, auto& v) { o.config_path = full_path(v); })};
    r["mount_timeout"] = {Value::needed, [](MountOptions& o, const std::string& v) {
        return set_duration(v, "1s", [&](int64_t ns) { o.store.mount_timeout_seconds = whole_seconds(ns); });
    }};
}

void add_waiting_rules(std::map<std::string, Rule>& r) {
    r["hard"] = {Value::none, plain([](auto& o, auto&) { o.soft = false; }), Remount::changes};
    r["soft"] = {Value::none, plain([](auto& o, auto&) { o.soft = true; }), Remount::changes};
    r["timeo"] = {Value::needed, [](MountOptions& o, const std::string& v) {
        return set_duration(v, "1s", [&](int64_t ns) { o.timeo_seconds = whole_seconds(ns); });
    }, Remount::changes};
    r["umount_timeout"] = {Value::needed, [](MountOptions& o, const std::string& v) {
        return set_duration(v, "1s", [&](int64_t ns) { o.umount_timeout_ns = ns; });
    }};
    r["timeout"] = {Value::needed, [](MountOptions& o, const std::string& v) -> Status {
        if (v == "auto") return {};
        return set_duration(v, "0s", [&](int64_t ns) { o.fuse.valid_ns_max = ns; });
    }};
    r["commit"] = {Value::needed, [](MountOptions& o, const std::string& v) {
        return set_duration(v, "10ms", [&](int64_t ns) { o.vfs.commit_ns = o.vfs.data.flush_after_ns = o.meta.commit_ns = ns; });
    }, Remount::changes};
}

void add_size_rules(std::map<std::string, Rule>& r) {
    r["dirty"] = {Value::needed, [](MountOptions& o, const std::string& v) {
        return set_bytes(v, 4u << 20, 1ull << 40, [&](uint64_t n) { o.vfs.data.dirty_bytes_max = n; });
    }, Remount::changes};
    r["cache"] = {Value::needed, [](MountOptions& o, const std::string& v) {
        return set_bytes(v, 1u << 20, 1ull << 44, [&](uint64_t n) { o.vfs.data.cache_bytes_max = n; });
    }};
    r["readahead"] = {Value::needed, [](MountOptions& o, const std::string& v) {
        return set_bytes(v, 0, 1u << 30, [&](uint64_t n) { o.fuse.readahead_bytes = n; });
    }};
    r["max_io"] = {Value::needed, [](MountOptions& o, const std::string& v) {
        return set_bytes(v, 128u << 10, 1u << 20, [&](uint64_t n) { o.fuse.io_bytes_max = static_cast<uint32_t>(n); });
    }};
    r["blksize"] = {Value::needed, [](MountOptions& o, const std::string& v) {
        return set_bytes(v, 512, 64u << 20, [&](uint64_t n) { o.fuse.block_bytes = static_cast<uint32_t>(n); });
    }};
    r["background"] = {Value::needed, [](MountOptions& o, const std::string& v) {
        return set_number(v, 1, 65535, [&](uint64_t n) { o.fuse.background = static_cast<uint32_t>(n); });
    }};
    r["threads"] = {Value::needed, [](MountOptions& o, const std::string& v) -> Status {
        if (v == "auto") return {};
        return set_number(v, 0, 16, [&](uint64_t n) { o.fuse.readers = n; });
    }};
    r["workers"] = {Value::needed, [](MountOptions& o, const std::string& v) {
        return set_number(v, 1, 4096, [&](uint64_t n) { o.fuse.workers = n; });
    }};
}

void add_behaviour_rules(std::map<std::string, Rule>& r) {
    r["subdir"] = {Value::needed, plain([](auto& o, auto& v) { o.subdir = v; })};
    r["create"] = {Value::none, plain([](auto& o, auto&) { o.create = true; })};
    r["nonempty"] = {Value::none, plain([](auto& o, auto&) { o.nonempty = true; })};
    r["allow_other"] = {Value::none, plain([](auto& o, auto&) { o.fuse.allow_other = true; }), Remount::accepted};
    r["noallow_other"] = {Value::none, plain([](auto& o, auto&) { o.fuse.allow_other = false; })};
    r["acl"] = {Value::none, plain([](auto& o, auto&) { o.fuse.acl = o.vfs.acl = true; })};
    r["noacl"] = {Value::none, plain([](auto& o, auto&) { o.fuse.acl = o.vfs.acl = false; })};
    r["noplugins"] = {Value::none, plain([](auto& o, auto&) { o.plugins.clear(); })};
    r["nolock"] = {Value::none, plain([](auto& o, auto&) { o.vfs.local_locks = true; })};
    r["fg"] = {Value::none, plain([](auto& o, auto&) { o.foreground = true; })};
    r["debug"] = {Value::none, plain([](auto& o, auto&) { o.fuse.debug = o.foreground = true; })};
    r["log"] = {Value::needed, plain([](auto& o, auto& v) {
        o.log_target = v == "syslog" || v == "stderr" ? v : full_path(v);
    })};
    r["metrics"] = {Value::needed, [](MountOptions& o, const std::string& v) -> Status {
        TRY(check_address(v));
        o.metrics = v;
        return {};
    }};
    r["log_level"] = {Value::needed, [](MountOptions& o, const std::string& v) -> Status {
        LogLevel level;
        if (!parse_log_level(v, level)) return fail(EINVAL, "\"" + v + "\" is not one of debug, info, warning, error");
        o.log_level = v;
        return {};
    }, Remount::changes};
    r["io"] = {Value::needed, [](MountOptions& o, const std::string& v) -> Status {
        using Io = FuseSettings::Io;
        if (v != "auto" && v != "cached" && v != "direct")
            return fail(EINVAL, "\"" + v + "\" is not one of auto, cached, direct");
        o.fuse.io = v == "auto" ? Io::automatic : v == "cached" ? Io::cached : Io::direct;
        return {};
    }};
    r["relatime"] = {Value::none, plain([](auto& o, auto&) { o.vfs.atime = VfsSettings::Atime::relatime; }),
                     Remount::accepted};
    r["strictatime"] = {Value::none, plain([](auto& o, auto&) { o.vfs.atime = VfsSettings::Atime::strict; })};
    r["noatime"] = {Value::none, [](MountOptions& o, const std::string& v) {
        o.vfs.atime = VfsSettings::Atime::noatime;
        return to_kernel("noatime")(o, v);
    }};
    r["ro"] = {Value::none, [](MountOptions& o, const std::string& v) {
        o.vfs.read_only = o.meta.read_only = o.store.read_only = true;
        return to_kernel("ro")(o, v);
    }, Remount::accepted};
    r["rw"] = {Value::none, plain([](auto& o, auto&) {
        o.vfs.read_only = o.meta.read_only = o.store.read_only = false;
        std::erase(o.fuse.kernel_options, "ro");
    }), Remount::accepted};
}

void add_kernel_and_dropped_rules(std::map<std::string, Rule>& r) {
    for (const char* name : {"nosuid", "nodev", "noexec", "suid", "dev", "exec", "auto_unmount"})
        r[name] = {Value::none, to_kernel(name), Remount::accepted};
    r["hold"] = {Value::none, plain([](auto& o, auto&) { o.meta.hold = true; })};
    r["nohold"] = {Value::none, plain([](auto& o, auto&) { o.meta.hold = false; })};
    for (const std::string name : {"sync", "dirsync", "async"})
        r[name] = {Value::none, [name](MountOptions& o, const std::string& v) {
            o.meta.synchronous = name != "async";
            return to_kernel(name)(o, v);
        }, Remount::changes};
    for (const char* name : {"context", "fscontext", "defcontext", "rootcontext"})
        r[name] = {Value::needed, to_kernel(name)};
    for (const char* name : {"_netdev", "nofail", "auto", "noauto", "user", "users", "nouser", "owner", "group",
                             "defaults", "default_permissions", "norelatime", "nostrictatime", "atime", "diratime",
                             "nodiratime"})
        r[name] = {Value::none, drop(), Remount::accepted};
    // The last three mount(8) reads from /proc/self/mountinfo, to hand them back with remount.
    for (const char* name : {"comment", "user_id", "group_id", "max_read"})
        r[name] = {Value::needed, drop(), Remount::accepted};
    r["writeback_cache"] = {Value::never, refuse("the kernel would own size and mtime; MeshFS writes back itself "
                                                "(see dirty= and commit=)")};
    r["remount"] = {Value::none, drop(), Remount::accepted};
    r["cache_dir"] = r["cache_size"] = {Value::never, refuse("this version caches in memory only (see cache=)")};
    r["intr_after"] = {Value::never, refuse("not supported; `meshfs abort DIR` frees callers of a silent store")};
    r["clone_fd"] = {Value::never, refuse("libfuse 3.14 has it for its own loop only")};
    r["io_uring"] = {Value::needed, [](MountOptions&, const std::string& v) -> Status {
        if (v == "off" || v == "auto") return {};
        if (v == "on") return fail(EINVAL, "this build has no FUSE over io_uring; leave it off");
        return fail(EINVAL, "\"" + v + "\" is not one of on, off, auto");
    }};
}

std::map<std::string, Rule> all_rules() {
    std::map<std::string, Rule> rules;
    add_store_rules(rules);
    add_waiting_rules(rules);
    add_size_rules(rules);
    add_behaviour_rules(rules);
    add_kernel_and_dropped_rules(rules);
    return rules;
}

Error unknown_option(const std::string& name, const std::map<std::string, Rule>& rules) {
    std::vector<std::string> known;
    for (const auto& [known_name, rule] : rules) known.push_back(known_name);
    std::string near = nearest(name, known);
    std::string hint = near.empty() ? "mount.fuse.meshfs(8) has the list" : "did you mean \"" + near + "\"?";
    return fail(EINVAL, "unknown mount option \"" + name + "\"; " + hint);
}

Status apply(const std::map<std::string, Rule>& rules, MountOptions& options, const std::string& option) {
    size_t equals = option.find('=');
    std::string name = option.substr(0, equals);
    std::string value = equals == std::string::npos ? "" : option.substr(equals + 1);
    if (name.starts_with("x-") || name.starts_with("X-")) return {};
    auto rule = rules.find(name);
    if (rule == rules.end()) return unknown_option(name, rules);
    if (rule->second.value == Value::needed && value.empty())
        return fail(EINVAL, "mount option \"" + name + "\" needs a value: " + name + "=...");
    if (rule->second.value == Value::none && equals != std::string::npos)
        return fail(EINVAL, "mount option \"" + name + "\" takes no value");
    Status done = rule->second.apply(options, value);
    if (!done.ok()) return fail(done.code(), "mount option " + option + ": " + done.error().detail());
    return {};
}

// The file's words are those of -o, but for a few that are a pair of options there.
Status apply_config(const std::map<std::string, Rule>& rules, bool is_rados, MountOptions& options, const Config& config) {
    for (const SettingRule& rule : setting_rules()) {
        if (!config.is_set(rule.table, rule.key)) continue;
        const std::string& value = config.value(rule.table, rule.key);
        std::string option = rule.key + "=" + value;
        if (rule.table == "log") option = (rule.key == "to" ? "log=" : "log_" + rule.key + "=") + value;
        else if (rule.table == "metrics") option = "metrics=" + value;
        else if (rule.table != "mount" && (rule.table != "rados" || !is_rados)) continue;
        else if (rule.key == "atime") option = value;
        else if (rule.kind == SettingRule::Kind::flag) option = (TRY(parse_flag(value)) ? "" : "no") + rule.key;
        if (option == "nosoft") option = "hard";
        if (option == "nonolock") continue;
        Status done = apply(rules, options, option);
        if (!done.ok()) return done.error().in(config.setting(rule.table, rule.key).origin);
    }
    for (const PluginTable& table : config.plugins())
        options.plugins.push_back({table.module, table.prefix, table.settings, table.where});
    return {};
}

// The last config= counts; the default file may be missing.
Result<Config> config_for(const Source& source, const std::vector<std::string>& options, std::string& path) {
    bool named = false;
    for (const auto& option : options)
        if (option.starts_with("config=")) path = option.substr(7), named = true;
    auto config = Config::read(path);
    if (!config.ok() && config.code() == ENOENT && !named) return Config();
    if (!config.ok()) return config;
    const std::string& described = config->value("volume", "source");
    if (described.empty()) return config;
    Source its = TRY(parse_source(described));
    if (normal_source(its) != normal_source(source)) return Config();  // it describes another volume
    return config;
}

}  // namespace

std::vector<std::string> split_options(const std::vector<std::string>& lists) {
    std::vector<std::string> out;
    for (const auto& list : lists) {
        std::string word;
        bool quoted = false;
        for (size_t i = 0; i < list.size(); ++i) {
            if (list[i] == '"') quoted = !quoted;
            else if (list[i] == '\\' && i + 1 < list.size()) word += list[++i];
            else if (list[i] == ',' && !quoted) out.push_back(std::exchange(word, {}));
            else word += list[i];
        }
        out.push_back(word);
    }
    std::erase(out, "");
    return out;
}

Result<Source> source_of_argument(const std::string& text) {
    const size_t slash = text.find('/');
    const bool is_relative = !text.empty() && slash != 0 && text.find(':') >= slash;
    std::error_code ignored;
    if (!is_relative || (slash == text.npos && !std::filesystem::is_directory(text, ignored))) return parse_source(text);
    auto path = std::filesystem::absolute(text, ignored).lexically_normal().string();
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    return parse_source(path);
}

std::string normal_source(const Source& source) {
    switch (source.kind) {
        case Source::Kind::memory: return "memory:";
        case Source::Kind::rados: return "rados:" + source.pool + "/" + source.volume;
        case Source::Kind::local: break;
    }
    std::error_code ignored;
    auto path = std::filesystem::weakly_canonical(std::filesystem::absolute(source.path), ignored);
    std::string text = ignored ? source.path : path.string();
    while (text.size() > 1 && text.back() == '/') text.pop_back();
    return text;
}

Result<MountOptions> parse_mount_options(const Source& source, const std::vector<std::string>& options, bool sloppy) {
    MountOptions parsed;
    parsed.fuse.allow_other = geteuid() == 0;
    parsed.given = options;
    const auto rules = all_rules();
    Config config = TRY(config_for(source, options, parsed.config_path));
    TRY(apply_config(rules, source.kind == Source::Kind::rados, parsed, config));
    for (const auto& option : options) {
        Status done = apply(rules, parsed, option);
        if (done.ok()) continue;
        if (!sloppy || !done.error().detail().starts_with("unknown")) return done.error();
        parsed.warnings.push_back(done.error().detail());
    }
    parsed.store.soft_timeout_seconds = parsed.soft ? parsed.timeo_seconds : 0;
    if (!parsed.subdir.starts_with("/")) return fail(EINVAL, "mount option subdir: must be absolute: subdir=/...");
    return parsed;
}

Status check_settings(const Config& config) {
    MountOptions options;
    return apply_config(all_rules(), true, options, config);
}

std::vector<std::string> mount_option_names() {
    std::vector<std::string> names;
    for (const auto& [name, rule] : all_rules())
        if (rule.value != Value::never) names.push_back(name + (rule.value == Value::needed ? "=" : ""));
    return names;
}

Result<MountOptions> parse_remount(const MountOptions& now, const std::vector<std::string>& options) {
    const auto rules = all_rules();
    MountOptions changed = now;
    for (const auto& option : options) {
        std::string name = option.substr(0, option.find('='));
        auto rule = rules.find(name);
        if (rule == rules.end() && !name.starts_with("x-") && !name.starts_with("X-")) return unknown_option(name, rules);
        if (rule == rules.end()) continue;
        // mount(8) hands back what was given, and what fstab has.
        bool is_kept = std::find(now.given.begin(), now.given.end(), option) != now.given.end();
        if ((rule->second.remount == Remount::refused && !is_kept) || (name == "rw" && now.vfs.read_only))
            return fail(EINVAL, "mount option " + option + " cannot change while mounted; umount and mount again");
        if (rule->second.remount != Remount::changes) continue;
        TRY(apply(rules, changed, option));
        std::erase_if(changed.given, [&](const std::string& before) { return before.substr(0, before.find('=')) == name; });
        changed.given.push_back(option);
    }
    changed.store.soft_timeout_seconds = changed.soft ? changed.timeo_seconds : 0;
    return changed;
}

Result<StoreOptions> parse_store_options(const Source& source, const std::vector<std::string>& options) {
    // All of mount's words are understood, so that one line of options serves every command.
    return TRY(parse_mount_options(source, options, false)).store;
}

}  // namespace meshfs
