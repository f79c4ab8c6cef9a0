// Owner of toml++.
#include "fs/base/config.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <sstream>

#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "fs/base/nearest.h"

namespace meshfs {
namespace {

constexpr size_t kFileMax = 1 << 20;

using Kind = SettingRule::Kind;

Status check_value(const SettingRule& rule, const std::string& value) {
    switch (rule.kind) {
        case Kind::text: return {};
        case Kind::flag: TRY(parse_flag(value)); return {};
        case Kind::bytes: TRY(parse_bytes(value)); return {};
        case Kind::duration: TRY(parse_duration_ns(value)); return {};
        case Kind::number:
            if (value.empty() || value.size() > 9 || value.find_first_not_of("0123456789") != value.npos)
                return fail(EINVAL, "\"" + value + "\" is no number");
            return {};
        case Kind::word:
            if (std::find(rule.words.begin(), rule.words.end(), value) != rule.words.end()) return {};
            std::string all;
            for (const auto& word : rule.words) all += (all.empty() ? "" : ", ") + word;
            return fail(EINVAL, "\"" + value + "\" is not one of " + all);
    }
    return fail(EINVAL);
}

// A scalar as it would be written after -o; nothing for arrays and tables.
std::optional<std::string> text_of(const toml::node& node) {
    if (auto s = node.as_string()) return s->get();
    if (auto i = node.as_integer()) return std::to_string(i->get());
    if (auto b = node.as_boolean()) return b->get() ? "on" : "off";
    if (auto f = node.as_floating_point()) {
        std::ostringstream out;
        out << f->get();
        return out.str();
    }
    return std::nullopt;
}

std::string line_of(const std::string& path, const toml::node& node) {
    return path + ":" + std::to_string(node.source().begin.line);
}

Result<PluginTable> plugin_of(const toml::table& table, const std::string& path) {
    PluginTable plugin;
    plugin.where = line_of(path, table);
    for (const auto& [key, node] : table) {
        auto value = text_of(node);
        if (!value)
            return fail(EINVAL, line_of(path, node) + ": setting \"" + std::string(key.str()) +
                                    "\" of a plugin must be a text, number or true/false");
        if (key.str() == "module") plugin.module = *value;
        else if (key.str() == "prefix") plugin.prefix = *value;
        else plugin.settings[std::string(key.str())] = *value;
    }
    if (plugin.module.empty()) return fail(EINVAL, plugin.where + ": [[plugin]] needs module = \"NAME\"");
    if (plugin.prefix.empty()) return fail(EINVAL, plugin.where + ": [[plugin]] needs prefix = \"/PATH\"");
    return plugin;
}

Error unknown(const std::string& where, const std::string& what, const std::string& word,
              std::vector<std::string> known) {
    std::string near = nearest(word, known);
    std::string text = where + ": unknown " + what + " \"" + word + "\"";
    if (!near.empty()) return fail(EINVAL, text + "; did you mean \"" + near + "\"?");
    std::sort(known.begin(), known.end());
    for (size_t i = 0; i < known.size(); ++i) text += (i == 0 ? "; known are " : ", ") + known[i];
    return fail(EINVAL, text);
}

}  // namespace

const std::vector<SettingRule>& setting_rules() {
    static const std::vector<SettingRule> rules = {
        {"volume", "source", Kind::text, "", {}, "the volume this file describes: SOURCE as in mount(8)"},
        {"rados", "conf", Kind::text, "/etc/ceph/ceph.conf", {}, "Ceph's configuration file"},
        {"rados", "id", Kind::text, "admin", {}, "who connects: client.ID"},
        {"rados", "keyring", Kind::text, "", {}, "file with the key; from conf unless given"},
        {"mount", "mount_timeout", Kind::duration, "30s", {}, "how long to try to connect"},
        {"mount", "umount_timeout", Kind::duration, "80s", {}, "how long to flush when unmounting"},
        {"mount", "soft", Kind::flag, "off", {}, "a silent store is EIO after timeo, instead of waiting"},
        {"mount", "timeo", Kind::duration, "60s", {}, "see soft"},
        {"mount", "commit", Kind::duration, "1s", {}, "age of unsynced bytes"},
        {"mount", "dirty", Kind::bytes, "256M", {}, "bytes written and not yet stored"},
        {"mount", "cache", Kind::bytes, "1G", {}, "memory for bytes read; without effect yet, the kernel's cache serves"},
        {"mount", "readahead", Kind::bytes, "8M", {}, "how far the kernel reads ahead"},
        {"mount", "io", Kind::word, "auto", {"auto", "cached", "direct"}, "use of the kernel's page cache"},
        {"mount", "atime", Kind::word, "relatime", {"relatime", "noatime", "strictatime"}, "access times"},
        {"mount", "threads", Kind::number, "0", {}, "threads that read the device; 0: one a core, at most 16"},
        {"mount", "workers", Kind::number, "64", {}, "threads for operations that block"},
        {"mount", "background", Kind::number, "256", {}, "requests the kernel may have in flight"},
        {"mount", "acl", Kind::flag, "on", {}, "POSIX ACLs"},
        {"mount", "nolock", Kind::flag, "off", {}, "file locks hold on this mount only"},
        {"log", "to", Kind::text, "syslog", {}, "syslog, stderr, or a file"},
        {"metrics", "listen", Kind::text, "", {}, "where Prometheus asks: HOST:PORT or the path of a socket; empty: nowhere"},
        {"log", "level", Kind::word, "info", {"debug", "info", "warning", "error"}, "least level that is logged"},
    };
    return rules;
}

Config::Config() {
    for (const auto& rule : setting_rules()) settings_[rule.table + "." + rule.key] = {rule.default_value, "default"};
}

Result<Config> Config::read(const std::string& path) {
    // Not a stream: its iterators throw when a read fails, as that of a directory does.
    std::unique_ptr<FILE, decltype(&std::fclose)> file(std::fopen(path.c_str(), "re"), &std::fclose);
    std::string text(kFileMax + 1, '\0');
    if (file) text.resize(std::fread(text.data(), 1, text.size(), file.get()));
    if (!file || std::ferror(file.get())) return fail(errno, "cannot read configuration " + path);
    return parse(text, path);
}

Result<Config> Config::parse(const std::string& text, const std::string& path) {
    if (text.size() > kFileMax) return fail(EINVAL, path + ": over 1 MiB is no configuration");
    toml::parse_result parsed = toml::parse(text, path);
    if (!parsed)
        return fail(EINVAL, path + ":" + std::to_string(parsed.error().source().begin.line) + ": " +
                                std::string(parsed.error().description()));
    Config config;
    std::vector<std::string> tables{"plugin"};
    for (const auto& rule : setting_rules())
        if (std::find(tables.begin(), tables.end(), rule.table) == tables.end()) tables.push_back(rule.table);
    for (const auto& [name, node] : parsed.table()) {
        std::string table(name.str());
        if (table == "plugin") {
            const toml::array* list = node.as_array();
            if (list == nullptr || !list->is_array_of_tables())
                return fail(EINVAL, line_of(path, node) + ": write plugins as [[plugin]], with two brackets");
            for (const auto& one : *list) config.plugins_.push_back(TRY(plugin_of(*one.as_table(), path)));
            continue;
        }
        if (std::find(tables.begin(), tables.end(), table) == tables.end())
            return unknown(line_of(path, node), "table", table, tables);
        if (!node.is_table()) return fail(EINVAL, line_of(path, node) + ": write [" + table + "], then its keys");
        for (const auto& [key, value] : *node.as_table()) {
            const SettingRule* rule = nullptr;
            std::vector<std::string> keys;
            for (const auto& candidate : setting_rules()) {
                if (candidate.table != table) continue;
                keys.push_back(candidate.key);
                if (candidate.key == key.str()) rule = &candidate;
            }
            std::string where = line_of(path, value);
            if (rule == nullptr) return unknown(where, "key in [" + table + "]", std::string(key.str()), keys);
            auto given = text_of(value);
            if (!given) return fail(EINVAL, where + ": " + rule->key + " must be a single value");
            if (Status checked = check_value(*rule, *given); !checked)
                return fail(EINVAL, where + ": " + rule->key + ": " + checked.error().detail());
            config.settings_[table + "." + rule->key] = {*given, where};
        }
    }
    return config;
}

const Setting& Config::setting(const std::string& table, const std::string& key) const {
    auto found = settings_.find(table + "." + key);
    assert(found != settings_.end());  // a setting the program asks for is in setting_rules()
    return found->second;
}

const std::string& Config::value(const std::string& table, const std::string& key) const {
    return setting(table, key).value;
}

bool Config::is_set(const std::string& table, const std::string& key) const {
    return setting(table, key).origin != "default";
}

}  // namespace meshfs
