#include "tools/metrics_text.h"

#include <cctype>
#include <charconv>

namespace meshfs {
namespace {

void append_number(std::string& text, double value) {
    char digits[32];
    auto end = std::to_chars(digits, digits + sizeof digits, value);
    text.append(digits, end.ptr);
}

void append_label(std::string& text, std::string_view name, std::string_view value) {
    text += text.back() == '{' ? "" : ",";
    text.append(name).append("=\"");
    for (char c : value) {
        if (c == '"' || c == '\\') text += '\\';
        if (c == '\n') text += "\\n";
        else text += c;
    }
    text += '"';
}

}  // namespace

bool is_metric_name(std::string_view name) {
    for (char c : name)
        if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_') return false;
    return !name.empty() && name.size() <= 100 && !std::isdigit(static_cast<unsigned char>(name[0]));
}

void MetricsText::family(const std::string& name, const char* type, const char* help) {
    name_ = name;
    text_ += "# HELP " + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
}

void MetricsText::sample(const Labels& labels, double value, const char* suffix) {
    text_ += name_ + suffix;
    if (!labels.empty()) {
        text_ += '{';
        for (const auto& [name, said] : labels) append_label(text_, name, said);
        text_ += '}';
    }
    text_ += ' ';
    append_number(text_, value);
    text_ += '\n';
}

void MetricsText::histogram(const Labels& labels, const std::vector<double>& bounds,
                            const std::vector<uint64_t>& counts, double sum) {
    uint64_t below = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
        below += counts[i];
        std::string bound = "+Inf";
        if (i < bounds.size()) bound.clear(), append_number(bound, bounds[i]);
        Labels with_bound = labels;
        with_bound.emplace_back("le", bound);
        sample(with_bound, static_cast<double>(below), "_bucket");
    }
    sample(labels, sum, "_sum");
    sample(labels, static_cast<double>(below), "_count");
}

}  // namespace meshfs
