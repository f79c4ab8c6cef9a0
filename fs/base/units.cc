// Values with units, as people write them.
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "fs/base/config.h"

namespace meshfs {
namespace {

struct Amount {
    double number = 0;
    std::string unit;
};

Result<Amount> split(const std::string& text) {
    if (text.empty() || !std::isdigit(static_cast<unsigned char>(text[0]))) return fail(EINVAL);
    char* end = nullptr;
    Amount amount;
    amount.number = std::strtod(text.c_str(), &end);
    if (!std::isfinite(amount.number) || text.find_first_of("xXeE") != std::string::npos) return fail(EINVAL);
    while (*end == ' ') ++end;
    amount.unit = end;
    return amount;
}

}  // namespace

Result<uint64_t> parse_bytes(const std::string& text) {
    auto amount = split(text);
    auto wrong = fail(EINVAL, "\"" + text + "\" is no size; write 4096, 64K, 256M, 1G or 1.5TiB");
    if (!amount) return wrong;
    std::string unit = amount->unit;
    double factor = 1;
    if (!unit.empty() && unit != "B") {
        size_t power = std::string("KMGTP").find(static_cast<char>(std::toupper(unit[0])));
        std::string rest = unit.substr(1);
        if (power == std::string::npos || (!rest.empty() && rest != "iB" && rest != "B" && rest != "i")) return wrong;
        factor = std::pow(1024.0, static_cast<double>(power + 1));
    }
    double bytes = amount->number * factor;
    if (bytes > 9.2e18) return wrong;
    return static_cast<uint64_t>(bytes);
}

Result<int64_t> parse_duration_ns(const std::string& text) {
    auto amount = split(text);
    auto wrong = fail(EINVAL, "\"" + text + "\" is no duration; write 30s, 200ms, 5m or 1h");
    if (!amount) return wrong;
    const std::string& unit = amount->unit;
    double ns = unit.empty() || unit == "s" ? 1e9
                : unit == "ms"              ? 1e6
                : unit == "us"              ? 1e3
                : unit == "m"               ? 60e9
                : unit == "h"               ? 3600e9
                                            : 0;
    if (ns == 0 || amount->number * ns > 9.2e18) return wrong;
    return static_cast<int64_t>(amount->number * ns);
}

Result<bool> parse_flag(const std::string& text) {
    if (text == "on" || text == "true" || text == "yes" || text == "1") return true;
    if (text == "off" || text == "false" || text == "no" || text == "0") return false;
    return fail(EINVAL, "\"" + text + "\" is neither on nor off");
}

std::string human_bytes(uint64_t bytes) {
    static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = static_cast<double>(bytes);
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < std::size(kUnits)) value /= 1024, ++unit;
    char out[32];
    std::snprintf(out, sizeof out, unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
    return out;
}

}  // namespace meshfs
