#include "fs/meta/mirror.h"

#include <algorithm>

namespace meshfs {
namespace {

constexpr size_t kOverhead = 96;  // of an entry of a map, about

std::string after(std::string_view key) { return std::string(key) + '\0'; }

// The first key behind all that begin with `prefix`; "": none.
std::string end_of(std::string prefix) {
    while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
    if (!prefix.empty()) prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
    return prefix;
}

std::string begin_of(const Query::Range& range) {
    if (range.after.empty() && range.prefix.empty()) return {};
    std::string from = range.after.empty() ? std::string() : after(range.after);
    return std::max(from, range.prefix);
}

// No key lies between it and `key`: names are shorter than what is added.
std::string last_before(std::string_view key) {
    std::string before(key);
    const char last = before.back();
    before.pop_back();
    if (last == '\0') return before;
    before.push_back(static_cast<char>(static_cast<unsigned char>(last) - 1));
    return before.append(2 * kNameMax, '\xff');
}

// Ends of runs: "" is behind everything.
bool is_before(std::string_view a, std::string_view b) { return !a.empty() && (b.empty() || a < b); }

}  // namespace

void Mirror::know_all() {
    keys_.clear();
    complete_.clear();
    complete_.emplace(std::string(), std::string());
    if (!xattrs_) xattrs_.emplace();
}

void Mirror::know_xattrs(std::map<std::string, std::string> xattrs) {
    if (about_.empty())
        if (auto about = xattrs.find(kAboutXattr); about != xattrs.end()) set_about(about->second);
    xattrs_ = std::move(xattrs);
}

void Mirror::set_about(std::string value) {
    about_ = std::move(value);
    decoded_about_.reset();
}

void Mirror::set_lease(std::string value) { lease_ = std::move(value); }

bool Mirror::is_known(std::string_view key) const { return keys_.contains(key) || complete_until(key).has_value(); }

std::optional<std::string_view> Mirror::complete_until(std::string_view key) const {
    auto next = complete_.upper_bound(key);
    if (next == complete_.begin()) return {};
    const auto& [from, until] = *std::prev(next);
    if (!until.empty() && until <= key) return {};
    return until;
}

void Mirror::add_complete(std::string from, std::string until) {
    auto next = complete_.upper_bound(from);
    if (next != complete_.begin()) {
        auto before = std::prev(next);
        if (before->second.empty() || before->second >= from) {
            from = before->first;
            if (is_before(until, before->second)) until = before->second;
            next = complete_.erase(before);
        }
    }
    while (next != complete_.end() && (until.empty() || next->first <= until)) {
        if (is_before(until, next->second)) until = next->second;
        if (next->second.empty()) until.clear();
        next = complete_.erase(next);
    }
    complete_.emplace(std::move(from), std::move(until));
}

void Mirror::put(const std::string& key, std::optional<std::string> value) {
    auto [place, is_new] = keys_.try_emplace(key);
    if (is_new) bytes_ += key.size() + kOverhead;
    bytes_ -= place->second ? place->second->size() : 0;
    bytes_ += value ? value->size() : 0;
    place->second = std::move(value);
}

void Mirror::learn(const Guard& guard) {
    if (guard.kind == Guard::Kind::xattr_is && guard.name == kAboutXattr && guard.value) {
        set_about(*guard.value);
        if (!xattrs_) xattrs_.emplace();  // groups have a lease and this
    }
    if (guard.kind == Guard::Kind::key_is && !is_known(guard.name)) put(guard.name, guard.value);
}

void Mirror::learn(const Query& query, const Answer& answer) {
    if (query.wants_xattrs() && !xattrs_) know_xattrs(answer.xattrs);
    for (const std::string& key : query.wanted_keys()) {
        if (is_known(key)) continue;
        auto found = answer.keys.find(key);
        put(key, found == answer.keys.end() ? std::nullopt : std::optional(found->second));
    }
    for (size_t i = 0; i < query.ranges().size(); ++i) {
        const Query::Range& range = query.ranges()[i];
        const RangeAnswer& page = answer.ranges.at(i);
        for (const auto& [key, value] : page.entries)
            if (!is_known(key)) put(key, value);
        std::string from = begin_of(range);
        if (page.more && page.entries.empty()) continue;
        add_complete(std::move(from), page.more ? after(page.entries.back().first) : end_of(range.prefix));
    }
}

std::optional<RangeAnswer> Mirror::answer_range(const Query::Range& range) const {
    std::string from = begin_of(range);
    const std::string end = end_of(range.prefix);
    if (!end.empty() && from >= end) return RangeAnswer{};
    auto until = complete_until(from);
    if (!until) return {};
    RangeAnswer out;
    size_t bytes = 0;
    const bool is_whole = !is_before(*until, end);  // the run reaches behind all that is asked for
    const std::string_view stop = is_whole ? std::string_view(end) : *until;
    for (auto key = keys_.lower_bound(from); key != keys_.end() && (stop.empty() || key->first < stop); ++key) {
        if (!key->second) continue;
        bool is_full = out.entries.size() >= range.entries_max || (bytes >= range.bytes_max && !out.entries.empty());
        if (is_full) {
            out.more = true;
            return out;
        }
        bytes += key->first.size() + key->second->size();
        out.entries.emplace_back(key->first, *key->second);
    }
    if (!is_whole) return {};
    return out;
}

std::optional<Answer> Mirror::answer(const Query& query) const {
    Answer out;
    if (query.wants_xattrs()) {
        if (!xattrs_) return {};
        out.xattrs = *xattrs_;
        out.xattrs[kLeaseXattr] = lease_;
        if (!about_.empty()) out.xattrs[kAboutXattr] = about_;
    }
    for (const std::string& key : query.wanted_keys()) {
        auto found = keys_.find(key);
        if (found == keys_.end()) {
            if (!complete_until(key)) return {};
        } else if (found->second) {
            out.keys.emplace(key, *found->second);
        }
    }
    for (const auto& range : query.ranges()) {
        auto page = answer_range(range);
        if (!page) return {};
        out.ranges.push_back(std::move(*page));
    }
    return out;
}

std::optional<const std::string*> Mirror::value(std::string_view key) const {
    auto found = keys_.find(key);
    if (found != keys_.end()) return found->second ? &*found->second : nullptr;
    if (!complete_until(key)) return {};
    return nullptr;
}

bool Mirror::visit(const std::string& prefix,
                   const std::function<void(const std::string& key, const std::string& value)>& one) const {
    const std::string end = end_of(prefix);
    auto until = complete_until(prefix);
    if (!until || is_before(*until, end)) return false;
    for (auto key = keys_.lower_bound(prefix); key != keys_.end() && key->first.starts_with(prefix); ++key)
        if (key->second) one(key->first, *key->second);
    return true;
}

const About* Mirror::about() const {
    if (!decoded_about_ && !about_.empty())
        if (auto about = decode_about(about_); about.ok()) decoded_about_ = std::move(*about);
    return decoded_about_ ? &*decoded_about_ : nullptr;
}

Query Mirror::missing(const Query& query) const {
    Query out(query.object());
    out.xattrs();  // whose object it is must be seen
    std::vector<std::string> keys;
    for (const std::string& key : query.wanted_keys())
        if (!is_known(key)) keys.push_back(key);
    out.keys(std::move(keys));
    for (const auto& range : query.ranges()) {
        if (answer_range(range)) continue;
        // From where it is not known on, so that each page brings the answer nearer.
        auto until = complete_until(begin_of(range));
        bool is_begun = until && !until->empty();
        out.range(is_begun ? last_before(*until) : range.after, range.prefix, std::max<size_t>(range.entries_max, 64),
                  range.bytes_max);
    }
    return out;
}

std::optional<bool> Mirror::holds(const Guard& guard) const {
    switch (guard.kind) {
        case Guard::Kind::absent: return false;
        case Guard::Kind::exists: return true;
        case Guard::Kind::xattr_is:
        case Guard::Kind::xattr_is_not: {
            std::optional<std::string> now;
            if (guard.name == kLeaseXattr) now = lease_;
            else if (guard.name == kAboutXattr && !about_.empty()) now = about_;
            else if (!xattrs_) return {};
            else if (auto found = xattrs_->find(guard.name); found != xattrs_->end()) now = found->second;
            return (now == guard.value) == (guard.kind == Guard::Kind::xattr_is);
        }
        case Guard::Kind::key_is: {
            auto found = keys_.find(guard.name);
            if (found != keys_.end()) return found->second == guard.value;
            if (!complete_until(guard.name)) return {};
            return !guard.value.has_value();
        }
    }
    return {};
}

void Mirror::note_dirty(const std::string& key, size_t value_size) {
    dirty_.insert(key);
    dirty_bytes_ += key.size() + value_size;  // a key changed twice counts twice: a bound, not a measure
}

void Mirror::apply(const std::vector<Effect>& effects, bool is_stored) {
    for (const Effect& effect : effects) {
        switch (effect.kind) {
            case Effect::Kind::set_keys:
                for (const auto& [key, value] : effect.keys) {
                    put(key, value);
                    if (!is_stored) note_dirty(key, value.size());
                }
                break;
            case Effect::Kind::remove_keys:
                for (const auto& [key, value] : effect.keys) {
                    put(key, {});
                    if (!is_stored) note_dirty(key, 0);
                }
                break;
            case Effect::Kind::set_xattr:
                if (effect.name == kAboutXattr) {
                    set_about(effect.value);
                    is_about_dirty_ |= !is_stored;
                }
                break;
            default: break;
        }
    }
}

Mirror::Changes Mirror::take_changes() {
    Changes changes;
    for (const std::string& key : dirty_) {
        auto now = keys_.find(key);
        if (now->second) changes.set.emplace_back(key, *now->second);
        else changes.removed.push_back(key);
    }
    if (is_about_dirty_) changes.about = about_;
    dirty_.clear();
    dirty_bytes_ = 0;
    is_about_dirty_ = false;
    return changes;
}

void Mirror::put_back(const Changes& changes) {
    for (const auto& [key, value] : changes.set) note_dirty(key, value.size());
    for (const auto& key : changes.removed) note_dirty(key, 0);
    is_about_dirty_ |= changes.about.has_value();
}

void Mirror::forget_removed(const Changes& changes) {
    for (const auto& key : changes.removed) {
        auto found = keys_.find(key);
        if (found == keys_.end() || found->second || dirty_.contains(key) || !complete_until(key)) continue;
        bytes_ -= key.size() + kOverhead;
        keys_.erase(found);
    }
}

Mirror::Changes Mirror::take_all() {
    (void)take_changes();
    Changes all;
    for (const auto& [key, value] : keys_) {
        if (value) all.set.emplace_back(key, *value);
        else all.removed.push_back(key);
    }
    all.about = about_;
    return all;
}

void Mirror::forget_all() {
    xattrs_.reset();
    set_about({});
    keys_.clear();
    complete_.clear();
    bytes_ = 0;
}

}  // namespace meshfs
