// Measurements in Prometheus' text format, version 0.0.4.  Debian 12 has no library for it, and it is little.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace meshfs {

class MetricsText {
public:
    using Labels = std::vector<std::pair<std::string_view, std::string_view>>;
    // Begins a family: its samples follow.  type: counter, gauge, histogram, summary.
    void family(const std::string& name, const char* type, const char* help);
    // suffix: "_count"; only where the format asks for one.
    void sample(const Labels& labels, double value, const char* suffix = "");
    // counts[i]: values of at most bounds[i] but more than bounds[i - 1]; one more count than bounds: the rest.
    void histogram(const Labels& labels, const std::vector<double>& bounds, const std::vector<uint64_t>& counts, double sum);
    const std::string& text() const { return text_; }

private:
    std::string name_, text_;
};

// [a-zA-Z_][a-zA-Z0-9_]*, at most 100 bytes
bool is_metric_name(std::string_view name);

}  // namespace meshfs
