// meshfs.toml: settings of a volume's mounts, and its plugins.            Manual: meshfs.toml(5)
//
// A value carries its unit ("800GiB", "30s").  An unknown key is refused, naming the nearest.  Each value knows where
// it came from: `default`, "FILE:LINE", or "-o".
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "fs/base/result.h"

namespace meshfs {

// What a setting may be: checked when it is read, so that a mistake names its line.
struct SettingRule {
    enum class Kind : uint8_t { text, flag, bytes, duration, number, word };
    std::string table;  // "mount"
    std::string key;    // "cache"
    Kind kind = Kind::text;
    std::string default_value;
    std::vector<std::string> words;  // of Kind::word
    std::string help;
};
// All there are, in the order of the manual.
const std::vector<SettingRule>& setting_rules();

struct Setting {
    std::string value;
    std::string origin;  // "default", "FILE:LINE"
};

struct PluginTable {
    std::string module, prefix;
    std::map<std::string, std::string> settings;
    std::string where;  // "FILE:LINE"
};

class Config {
public:
    Config();  // all defaults
    // ENOENT: no such file; EINVAL: with file, line, key and what is allowed; EACCES.
    static Result<Config> read(const std::string& path);
    static Result<Config> parse(const std::string& text, const std::string& path);

    const std::string& value(const std::string& table, const std::string& key) const;
    bool is_set(const std::string& table, const std::string& key) const;  // not by default
    const Setting& setting(const std::string& table, const std::string& key) const;
    const std::vector<PluginTable>& plugins() const { return plugins_; }

private:
    std::map<std::string, Setting> settings_;  // "table.key"
    std::vector<PluginTable> plugins_;
};

// "800GiB", "64K", "1M", "4096": bytes; K, M, G, T are powers of 1,024.  EINVAL.
Result<uint64_t> parse_bytes(const std::string& text);
// "30s", "1.5s", "200ms", "5m", "1h"; a bare number is seconds.  Nanoseconds.  EINVAL.
Result<int64_t> parse_duration_ns(const std::string& text);
// "on", "off", "true", "false", "yes", "no", "1", "0".  EINVAL.
Result<bool> parse_flag(const std::string& text);
// "1.5 GiB"
std::string human_bytes(uint64_t bytes);

}  // namespace meshfs
