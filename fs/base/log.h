// One event, one line: a sentence, then key=value.
//
// error: data at risk or a promise broken; warning: we coped; info: start and stop; debug: operations
// and paths.  Never a secret.  Any thread; before log_to() lines go to stderr.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace meshfs {

enum class LogLevel : uint8_t { debug, info, warning, error };

struct LogField {
    LogField(std::string_view key_, std::string_view value_) : key(key_), value(value_) {}
    LogField(std::string_view key_, const char* value_) : key(key_), value(value_) {}
    template <class T>
        requires std::is_arithmetic_v<T>
    LogField(std::string_view key_, T value_) : key(key_), value(std::to_string(value_)) {}
    std::string key;
    std::string value;
};

bool log_wants(LogLevel level);
void log(LogLevel level, std::string_view sentence, std::initializer_list<LogField> fields = {});
inline void log_error(std::string_view s, std::initializer_list<LogField> f = {}) {
    log(LogLevel::error, s, f);
}
inline void log_warning(std::string_view s, std::initializer_list<LogField> f = {}) {
    log(LogLevel::warning, s, f);
}
inline void log_info(std::string_view s, std::initializer_list<LogField> f = {}) {
    log(LogLevel::info, s, f);
}
inline void log_debug(std::string_view s, std::initializer_list<LogField> f = {}) {
    if (log_wants(LogLevel::debug)) log(LogLevel::debug, s, f);
}

void set_log_level(LogLevel level);
bool parse_log_level(std::string_view text, LogLevel& level);  // false: not one of the four words
// "syslog", "stderr", or the path of a file that is appended to.  False: cannot be opened, errno says why.
bool log_to(const std::string& target);

}  // namespace meshfs
