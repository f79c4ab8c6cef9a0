// How guards and effects are said to Ceph.
//
// Ceph does the parts of an operation in order and undoes all if one fails, so the order decides which error is
// told: absent, exists and xattr guards first (EEXIST, ENOENT, ECANCELED); then `create(false)` if the mutation
// creates, since omap_cmp on an object that does not exist is -ENOENT; key guards; effects.
#include "fs/store/rados_operation.h"

#include <set>

namespace meshfs {
namespace {

constexpr size_t kShareMin = 1024;  // bytes: below, copying costs less than counting

using KeyGuards = std::map<std::string, std::pair<ceph::bufferlist, int>>;

// Ceph takes names of xattrs as C strings.
Status check_xattr_name(const std::string& name) {
    if (name.find('\0') == std::string::npos) return {};
    return fail(EINVAL, "the name of an object's xattr must not have a zero byte");
}

// An absent value equals an empty one, and no empty one is ever stored, so "absent" is compared with "".
ceph::bufferlist wanted_value(const Guard& guard) { return copy_for_rados(guard.value.value_or("")); }

Status add_xattr_guard(const Guard& guard, librados::ObjectOperation& operation) {
    TRY(check_xattr_name(guard.name));
    auto compare = guard.kind == Guard::Kind::xattr_is ? LIBRADOS_CMPXATTR_OP_EQ : LIBRADOS_CMPXATTR_OP_NE;
    operation.cmpxattr(guard.name.c_str(), compare, wanted_value(guard));
    return {};
}

// Usually one omap_cmp; a key that is guarded twice needs a second.
void add_key_guards(const std::vector<Guard>& guards, librados::ObjectOperation& operation) {
    KeyGuards all;
    for (const Guard& guard : guards) {
        if (guard.kind != Guard::Kind::key_is) continue;
        std::pair<ceph::bufferlist, int> wanted{wanted_value(guard), LIBRADOS_CMPXATTR_OP_EQ};
        if (!all.contains(guard.name)) {
            all.emplace(guard.name, std::move(wanted));
        } else {
            operation.omap_cmp(KeyGuards{{guard.name, std::move(wanted)}}, nullptr);
        }
    }
    if (!all.empty()) operation.omap_cmp(all, nullptr);
}

Status add_effect(const Effect& effect, librados::ObjectWriteOperation& operation) {
    using enum Effect::Kind;
    switch (effect.kind) {
        case create: operation.create(false); break;
        case set_xattr:
            TRY(check_xattr_name(effect.name));
            operation.setxattr(effect.name.c_str(), copy_for_rados(effect.value));
            break;
        case remove_xattr:
            TRY(check_xattr_name(effect.name));
            operation.rmxattr(effect.name.c_str());
            break;
        case set_keys: {
            std::map<std::string, ceph::bufferlist> keys;
            for (const auto& [name, value] : effect.keys) keys[name] = share_with_rados(value);
            operation.omap_set(keys);
            break;
        }
        case remove_keys: {
            std::set<std::string> names;
            for (const auto& [name, value] : effect.keys) names.insert(name);
            operation.omap_rm_keys(names);
            break;
        }
        case clear_keys: operation.omap_clear(); break;
        case write: operation.write(effect.offset, share_with_rados(effect.bytes.view())); break;
        case write_full: operation.write_full(share_with_rados(effect.bytes.view())); break;
        case truncate: operation.truncate(effect.offset); break;
        case zero: operation.zero(effect.offset, effect.length); break;
        case remove: operation.remove(); break;
    }
    return {};
}

}  // namespace

ceph::bufferlist share_with_rados(std::string_view bytes) {
    if (bytes.size() < kShareMin) return copy_for_rados(bytes);
    ceph::bufferlist out;
    // librados only reads what it sends; its type does not say so.
    out.push_back(ceph::buffer::create_static(bytes.size(), const_cast<char*>(bytes.data())));
    return out;
}

ceph::bufferlist copy_for_rados(std::string_view bytes) {
    ceph::bufferlist out;
    if (!bytes.empty()) out.push_back(ceph::buffer::copy(bytes.data(), bytes.size()));
    return out;
}

Buffers share_from_rados(const ceph::bufferlist& bytes) {
    Buffers out;
    for (const auto& piece : bytes.buffers()) {
        if (piece.length() == 0) continue;
        auto owner = std::make_shared<ceph::buffer::ptr>(piece);
        char* data = owner->c_str();
        size_t size = owner->length();
        out.push_back(Buffer::wrap(std::move(owner), data, size));
    }
    return out;
}

Status build_rados_operation(const Mutation& mutation, librados::ObjectWriteOperation& operation) {
    bool is_there = false;  // by what the operation has done or judged so far
    for (const Guard& guard : mutation.guards()) {
        if (guard.kind == Guard::Kind::absent && !is_there) operation.create(true);
        if (guard.kind == Guard::Kind::exists) operation.assert_exists();
        if (guard.kind == Guard::Kind::absent || guard.kind == Guard::Kind::exists) is_there = true;
    }
    for (const Guard& guard : mutation.guards()) {
        if (guard.kind != Guard::Kind::xattr_is && guard.kind != Guard::Kind::xattr_is_not) continue;
        TRY(add_xattr_guard(guard, operation));
        is_there = true;
    }
    for (const Effect& effect : mutation.effects()) {
        if (effect.kind != Effect::Kind::create || is_there) continue;
        operation.create(false);
        is_there = true;
    }
    for (const Guard& guard : mutation.guards()) is_there |= guard.kind == Guard::Kind::key_is;
    add_key_guards(mutation.guards(), operation);

    for (const Effect& effect : mutation.effects()) {
        // To Ceph, truncating or zeroing what is not there is nothing to do.
        if (!is_there && !effect.makes_object()) operation.assert_exists();
        TRY(add_effect(effect, operation));
        is_there = effect.kind != Effect::Kind::remove;
    }
    // librados refuses an operation without parts; a mutation without any asks for nothing.
    if (mutation.guards().empty() && mutation.effects().empty()) return fail(EINVAL, "a mutation of nothing");
    return {};
}

Status RadosAnswer::build(const Query& query, librados::ObjectReadOperation& operation) {
    operation.assert_exists();
    for (const Guard& guard : query.guards()) {
        bool is_xattr = guard.kind == Guard::Kind::xattr_is || guard.kind == Guard::Kind::xattr_is_not;
        if (is_xattr) TRY(add_xattr_guard(guard, operation));
    }
    add_key_guards(query.guards(), operation);

    if (query.wants_stat()) operation.stat2(&size_, &mtime_, next_code());
    if (query.wants_xattrs()) operation.getxattrs(&xattrs_, next_code());
    if (!query.wanted_keys().empty()) {
        std::set<std::string> names(query.wanted_keys().begin(), query.wanted_keys().end());
        operation.omap_get_vals_by_keys(names, &keys_, next_code());
    }
    for (const Query::Range& range : query.ranges()) {
        RangePart& part = ranges_.emplace_back();
        operation.omap_get_vals2(range.after, range.prefix, range.entries_max, &part.entries, &part.more,
                                 next_code());
    }
    for (const ByteRange& range : query.byte_ranges())
        operation.read(range.offset, range.length, &bytes_.emplace_back(), next_code());
    return {};
}

Result<Answer> RadosAnswer::take(const Query& query, const std::string& object) {
    for (int code : codes_)
        if (code < 0) return fail(EIO, "object " + object + ": the cluster's answer cannot be read");
    Answer answer{.size = size_, .mtime = {mtime_.tv_sec, static_cast<uint32_t>(mtime_.tv_nsec)}};
    for (const auto& [name, value] : xattrs_) answer.xattrs.emplace(name, value.to_str());
    for (const auto& [name, value] : keys_) answer.keys.emplace(name, value.to_str());
    for (size_t i = 0; i < ranges_.size(); ++i) {
        // Ceph has no limit of bytes, so what is too much came for nothing and is trimmed here.
        RangeAnswer range{.more = ranges_[i].more};
        size_t bytes = 0;
        for (const auto& [name, value] : ranges_[i].entries) {
            bytes += name.size() + value.length();
            if (!range.entries.empty() && bytes > query.ranges()[i].bytes_max) {
                range.more = true;
                break;
            }
            range.entries.emplace_back(name, value.to_str());
        }
        answer.ranges.push_back(std::move(range));
    }
    for (const auto& bytes : bytes_) answer.bytes.push_back(share_from_rados(bytes));
    return answer;
}

}  // namespace meshfs
