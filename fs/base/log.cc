// Owner of spdlog.
#include "fs/base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <mutex>

#include "fs/base/waiting.h"

namespace meshfs {
namespace {

std::atomic<LogLevel> level_now{LogLevel::info};

struct Sink {
    std::mutex mutex;
    std::shared_ptr<spdlog::logger> logger;
};
Sink& sink() {
    static Sink* s = [] {
        auto* made = new Sink;  // never freed: threads may log while the process ends
        made->logger = std::make_shared<spdlog::logger>(
            "meshfs", std::make_shared<spdlog::sinks::stderr_sink_mt>());
        made->logger->set_level(spdlog::level::trace);
        made->logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
        return made;
    }();
    return *s;
}

spdlog::level::level_enum spd(LogLevel level) {
    switch (level) {
        case LogLevel::debug: return spdlog::level::debug;
        case LogLevel::info: return spdlog::level::info;
        case LogLevel::warning: return spdlog::level::warn;
        case LogLevel::error: return spdlog::level::err;
    }
    return spdlog::level::err;
}

// A value with blanks, quotes or control bytes is quoted, so that a line stays a line.
void append_value(std::string& line, std::string_view value) {
    bool plain = !value.empty();
    for (char c : value) plain = plain && c > ' ' && c != '"' && c != '\\' && c != 0x7f;
    if (plain) {
        line += value;
        return;
    }
    line += '"';
    for (char c : value) {
        if (c == '"' || c == '\\') {
            line += '\\';
            line += c;
        } else if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) {
            line += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        } else {
            line += c;
        }
    }
    line += '"';
}

}  // namespace

bool log_wants(LogLevel level) { return level >= level_now.load(std::memory_order_relaxed); }
void set_log_level(LogLevel level) { level_now = level; }

void log(LogLevel level, std::string_view sentence, std::initializer_list<LogField> fields) {
    if (!log_wants(level)) return;
    std::string line(sentence);
    for (const LogField& field : fields) {
        line += ' ';
        line += field.key;
        line += '=';
        append_value(line, field.value);
    }
    Sink& s = sink();
    std::shared_ptr<spdlog::logger> logger;
    {
        std::lock_guard lock(s.mutex);
        logger = s.logger;
    }
    before_waiting();  // a pipe may be full, and a file lie on this very mount
    logger->log(spd(level), "{}", line);
    logger->flush();  // who debugs wants to see the last line before the crash
}

bool parse_log_level(std::string_view text, LogLevel& level) {
    if (text == "debug") return level = LogLevel::debug, true;
    if (text == "info") return level = LogLevel::info, true;
    if (text == "warning") return level = LogLevel::warning, true;
    if (text == "error") return level = LogLevel::error, true;
    return false;
}

bool log_to(const std::string& target) {
    try {
        spdlog::sink_ptr out;
        if (target == "syslog")
            out = std::make_shared<spdlog::sinks::syslog_sink_mt>("meshfs", LOG_PID, LOG_DAEMON, false);
        else if (target == "stderr")
            out = std::make_shared<spdlog::sinks::stderr_sink_mt>();
        else
            out = std::make_shared<spdlog::sinks::basic_file_sink_mt>(target);
        auto logger = std::make_shared<spdlog::logger>("meshfs", std::move(out));
        logger->set_level(spdlog::level::trace);
        logger->set_pattern(target == "syslog" ? "%l %v" : "%Y-%m-%dT%H:%M:%S.%e %l %v");
        std::lock_guard lock(sink().mutex);
        sink().logger = std::move(logger);
        return true;
    } catch (const spdlog::spdlog_ex&) {
        return false;
    }
}

}  // namespace meshfs
