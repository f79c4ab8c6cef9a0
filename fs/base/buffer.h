// Counted bytes: taken and given without a copy, alive as long as anyone refers to them.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace meshfs {

class Buffer {
public:
    Buffer() = default;
    static Buffer allocate(size_t size) {  // not zeroed
        if (size == 0) return {};
        auto owner = std::shared_ptr<char[]>(new char[size]);
        char* data = owner.get();
        return Buffer(std::move(owner), data, size);
    }
    static Buffer copy_of(std::string_view bytes) {
        Buffer b = allocate(bytes.size());
        if (!bytes.empty()) std::memcpy(b.data_, bytes.data(), bytes.size());
        return b;
    }
    static Buffer zeros(size_t size) {
        Buffer b = allocate(size);
        if (size > 0) std::memset(b.data_, 0, size);
        return b;
    }
    // Memory of somebody else; `owner` keeps it alive.
    static Buffer wrap(std::shared_ptr<const void> owner, char* data, size_t size) {
        return Buffer(std::move(owner), data, size);
    }

    char* data() { return data_; }
    const char* data() const { return data_; }
    size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    std::string_view view() const { return {data_, size_}; }
    // offset + length <= size().
    Buffer slice(size_t offset, size_t length) const { return Buffer(owner_, data_ + offset, length); }

private:
    Buffer(std::shared_ptr<const void> owner, char* data, size_t size)
        : owner_(std::move(owner)), data_(data), size_(size) {}
    std::shared_ptr<const void> owner_;  // every Buffer cut from the same bytes
    char* data_ = nullptr;
    size_t size_ = 0;
};

// Pieces that follow each other.
using Buffers = std::vector<Buffer>;
size_t size_of(const Buffers& pieces);
std::string join(const Buffers& pieces);

}  // namespace meshfs
