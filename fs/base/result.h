// Result<T>: a value, or why there is none.  Status: done, or why not.
//
// An Error is an errno and, where a person will read it, a sentence.  ENOENT and its like carry no
// sentence: a failed lookup allocates nothing.  errno is spoken from the store to the kernel; only the
// edges (librados, RocksDB, the C ABI) translate.  tl::expected would be the library for this, but
// Debian 12 does not have it.
#pragma once

#include <cassert>
#include <cerrno>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace meshfs {

class [[nodiscard]] Error {
public:
    explicit Error(int code) : code_(code) {}
    Error(int code, std::string detail) : code_(code), detail_(std::move(detail)) {}

    int code() const { return code_; }                     // an errno, always > 0
    const std::string& detail() const { return detail_; }  // empty where the errno says it all
    // "detail: No such file or directory (ENOENT)"
    std::string text() const;
    // The same error with what was attempted put in front of its sentence.
    Error in(const std::string& attempt) const {
        return Error(code_, detail_.empty() ? attempt : attempt + ": " + detail_);
    }

private:
    int code_;
    std::string detail_;
};

// The symbol of an errno: "ENOENT".
const char* errno_name(int code);

inline Error fail(int code) { return Error(code); }
inline Error fail(int code, std::string detail) { return Error(code, std::move(detail)); }

template <class T>
class [[nodiscard]] Result {
public:
    using Value = T;
    Result(T value) : held_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : held_(std::in_place_index<1>, std::move(error)) {}
    template <class U>
        requires(std::is_convertible_v<U &&, T> && !std::is_same_v<std::remove_cvref_t<U>, T> &&
                 !std::is_same_v<std::remove_cvref_t<U>, Error> &&
                 !std::is_same_v<std::remove_cvref_t<U>, Result<T>>)
    Result(U&& value) : held_(std::in_place_index<0>, std::forward<U>(value)) {}

    bool ok() const { return held_.index() == 0; }
    explicit operator bool() const { return ok(); }

    T& value() & { return std::get<0>(held_); }
    const T& value() const& { return std::get<0>(held_); }
    T value() && { return std::get<0>(std::move(held_)); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T operator*() && { return std::get<0>(std::move(held_)); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    const Error& error() const { return std::get<1>(held_); }
    // The errno, or 0 if there is a value.
    int code() const { return ok() ? 0 : error().code(); }

private:
    std::variant<T, Error> held_;
};

template <>
class [[nodiscard]] Result<void> {
public:
    using Value = void;
    Result() : error_(0) {}
    Result(Error error) : error_(std::move(error)) {}

    bool ok() const { return error_.code() == 0; }
    explicit operator bool() const { return ok(); }
    void value() const { assert(ok()); }
    const Error& error() const { return error_; }
    int code() const { return error_.code(); }

private:
    Error error_;  // code 0: done
};

using Status = Result<void>;

// The value of a call, or return its error from the function around.
#define TRY(call)                                                        \
    __extension__({                                                      \
        auto try_result_ = (call);                                       \
        if (!try_result_.ok()) [[unlikely]] return try_result_.error();  \
        std::move(try_result_).value();                                  \
    })

}  // namespace meshfs
