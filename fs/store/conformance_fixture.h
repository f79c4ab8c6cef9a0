// What the conformance tests share: an open store of the kind under test, and short ways to ask it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "fs/store/conformance_stores.h"
#include "fs/store/store.h"

#define ASSERT_OK(expression)                                                       \
    do {                                                                            \
        const auto& ok_result_ = (expression);                                      \
        ASSERT_TRUE(ok_result_.ok()) << #expression << ": " << ok_result_.error().text(); \
    } while (0)
#define EXPECT_OK(expression) EXPECT_STREQ(errno_name((expression).code()), errno_name(0)) << #expression
#define EXPECT_ERRNO(expression, errno_wanted) \
    EXPECT_STREQ(errno_name((expression).code()), errno_name(errno_wanted)) << #expression

namespace meshfs {

inline std::string kind_name(const testing::TestParamInfo<ConformanceKind>& info) { return info.param.name; }

class StoreConformance : public testing::TestWithParam<ConformanceKind> {
protected:
    StoreConformance() : place_(GetParam().make()), store_(place_->open()) {}

    Store& store() { return *store_; }
    void reopen() {
        store_->stop();
        store_.reset();
        store_ = place_->open();
    }

    std::optional<std::string> key_of(const ObjectName& object, const std::string& key) {
        auto answer = store().ask(Query(object).keys({key}));
        if (!answer || answer->keys.empty()) return std::nullopt;
        return answer->keys.begin()->second;
    }
    std::optional<std::string> xattr_of(const ObjectName& object, const std::string& name) {
        auto answer = store().ask(Query(object).xattrs());
        if (!answer || !answer->xattrs.contains(name)) return std::nullopt;
        return answer->xattrs.at(name);
    }
    // "ENOENT" if there is none: an object of these tests has other bytes.
    std::string bytes_of(const ObjectName& object, SnapId at = SnapId::head) {
        auto answer = store().ask(Query(object, at).bytes(0, kObjectMax));
        return answer.ok() ? join(answer->bytes.at(0)) : errno_name(answer.code());
    }
    std::vector<std::string> names_in(const Query& query) {
        auto answer = store().ask(query);
        std::vector<std::string> names;
        if (answer.ok())
            for (const auto& [name, value] : answer->ranges.at(0).entries) names.push_back(name);
        return names;
    }
    Status write(const ObjectName& object, uint64_t offset, std::string_view bytes, SnapContext snaps = {}) {
        Transfer t{.direction = Transfer::Direction::write, .object = object, .offset = offset,
                   .bytes = Buffer::copy_of(bytes), .snaps = std::move(snaps)};
        auto done = store().transfer(std::move(t));
        if (!done) return done.error();
        return *done == bytes.size() ? Status() : Status(fail(EIO, "a short write"));
    }
    std::string read(const ObjectName& object, uint64_t offset, size_t length, SnapId at = SnapId::head) {
        Buffer buffer = Buffer::zeros(length);
        auto done = store().transfer(
            {.direction = Transfer::Direction::read, .object = object, .offset = offset, .bytes = buffer, .at = at});
        return done.ok() ? std::string(buffer.view().substr(0, *done)) : errno_name(done.code());
    }

    const ObjectName o_{0, "o"};
    const ObjectName data_{1, "d"};
    std::unique_ptr<ConformancePlace> place_;
    std::unique_ptr<Store> store_;  // after place_: goes first
};

inline Buffer buffer_of(std::string_view bytes) { return Buffer::copy_of(bytes); }

// Bytes that tell one offset from another.
inline std::string pattern(size_t size, uint32_t seed = 1) {
    std::string out(size, '\0');
    for (char& c : out) {
        seed = seed * 1664525 + 1013904223;
        c = static_cast<char>(seed >> 24);
    }
    return out;
}

}  // namespace meshfs
